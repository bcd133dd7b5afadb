//! The whole verb with a real systemd of the user, where this machine lets us run one: as root, in a mount namespace of its
//! own, so that nothing of the machine is touched.

use std::process::Command;

/// Starts a user's systemd, then runs the words given as its script.
const STAGE: &str = r#"
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
for cgroup in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
  if [ -w $cgroup/cgroup.procs ] && mkdir -p $cgroup/hark-test.$$ 2>/dev/null; then echo $$ > $cgroup/hark-test.$$/cgroup.procs && break; fi
done
/usr/lib/systemd/systemd --user --log-level=err >"$HOME/systemd.log" 2>&1 &
manager=$!
trap 'kill $manager 2>/dev/null; wait $manager 2>/dev/null || true' EXIT
for try in $(seq 100); do
  case $(systemctl --user is-system-running 2>/dev/null) in running|degraded) up=1; break ;; esac
  sleep 0.1
done
[ "${up:-}" ] || { echo NO-SYSTEMD; exit 0; }
"#;

/// What the script printed, or `None` where no systemd can be run; why is printed.
fn on_a_real_systemd(script: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let staged = Command::new("unshare")
        .args(["--mount", "bash", "-c", &format!("{STAGE}{script}")])
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", "/run/hark-test")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HARK", env!("CARGO_BIN_EXE_hark"))
        .output();
    let Ok(output) = staged else {
        println!("skipped: unshare is not installed, so systemd cannot be run apart");
        return None;
    };
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    if out.starts_with("NO-SYSTEMD") || err.contains("unshare failed") || err.contains("mount:") {
        println!("skipped: no systemd can be run here ({})", err.trim());
        return None;
    }
    assert!(output.status.success(), "{out}\n{err}");
    Some(out)
}

#[test]
fn a_real_systemd_runs_restarts_and_forgets_hark() {
    let Some(said) = on_a_real_systemd(
        r#"
export HARK_HOME="$HOME/hark"
mkdir -p "$HARK_HOME"
# There is no sound in this namespace, so a program that writes down how it was started stands in for the daemon: what is
# shown here is what systemd does with the unit and what the verb makes of it.
cat > "$HOME/stand-in" <<'EOS'
#!/bin/sh
trap 'exit 0' TERM
echo "$@ $HARK_SERVICE $HARK_HOME" >> "$HOME/started"
while :; do sleep 0.2; done
EOS
chmod +x "$HOME/stand-in"
"$HARK" service install --dry-run > "$HOME/dry"
unit=$HOME/.config/systemd/user/hark.service
mkdir -p "$(dirname "$unit")"
"$HARK" service print | sed "s|^ExecStart=\"[^\"]*\"|ExecStart=\"$HOME/stand-in\"|" > "$unit"
systemctl --user daemon-reload
"$HARK" service start
"$HARK" service status
"$HARK" service restart
"$HARK" service stop
"$HARK" service status && exit 9 || echo "status $?"
"$HARK" service start
pid=$(systemctl --user show -P MainPID hark.service)
kill -9 $pid
for try in $(seq 60); do now=$(systemctl --user show -P MainPID hark.service); [ "$now" != 0 ] && [ "$now" != $pid ] && break; sleep 0.1; done
[ "$now" != $pid ] && [ "$now" != 0 ] && echo "came back after kill -9"
"$HARK" service uninstall
systemctl --user show -P LoadState hark.service
echo "starts: $(wc -l < "$HOME/started") with $(sort -u "$HOME/started" | wc -l) command line"
"#,
    ) else {
        return;
    };
    for words in [
        "Hark, the local voice assistant runs (process ",
        "Hark, the local voice assistant: runs, process ",
        "Hark, the local voice assistant has ended.",
        "Hark, the local voice assistant: stopped",
        "status 3",
        "came back after kill -9",
        "Hark, the local voice assistant is no service any more.",
        "not-found",
        "starts: 4 with 1 command line",
    ] {
        assert!(said.contains(words), "{words:?} is missing in:\n{said}");
    }
}
