//! Real devices, on a PulseAudio server of the test's own: a dead microphone, a live one, a headset's loudspeaker.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Home;

/// A sound server; dropping it ends it.
struct SoundServer {
    server: Child,
    folder: tempfile::TempDir,
}

impl SoundServer {
    /// With these modules, and nothing of the machine's own; `None`, and a word about it, where PulseAudio is not installed.
    fn start(modules: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let socket = format!(
            "module-native-protocol-unix auth-anonymous=1 socket={}",
            folder.path().join("native").display()
        );
        let mut command = Command::new("pulseaudio");
        command
            .args([
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
            ])
            .args(["-L", &socket])
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for module in modules {
            command.args(["-L", module]);
        }
        let Ok(server) = command.spawn() else {
            println!("skipped: pulseaudio is not installed");
            return None;
        };
        let server = Self { server, folder };
        let ready = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.folder.path().join("native").exists()
        });
        assert!(ready, "pulseaudio has not opened its socket within 10 s");
        Some(server)
    }

    /// A home folder whose programs hear through this server.
    fn home(&self) -> Home {
        let folder = self.folder.path();
        Home::new()
            .with(
                "PULSE_SERVER",
                &format!("unix:{}", folder.join("native").display()),
            )
            .with("XDG_RUNTIME_DIR", folder.to_str().unwrap())
            .with("HOME", folder.to_str().unwrap())
            // Not what these tests are about.
            .with("HARK_STT_MODEL", "small.en")
            .with("HARK_TTS_ENGINE", "none")
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

#[test]
fn a_microphone_that_gives_zeros_is_told_from_one_that_hears() {
    let modules = [
        "module-null-source source_name=dead",
        // A tone played into a room and heard there; module-sine-source itself hangs at every other opening.
        "module-null-sink sink_name=room",
        "module-sine sink=room frequency=440",
        "module-remap-source master=room.monitor source_name=tone",
    ];
    let Some(server) = SoundServer::start(&modules) else {
        return;
    };
    let dead = server.home().with("HARK_AUDIO_INPUT", "dead").doctor();
    dead.expect("microphone", "ok", "named in the configuration", "");
    dead.expect(
        "microphone_sound",
        "fail",
        "nothing but zeros",
        "`hark devices`",
    );
    assert_eq!(dead.code, Some(1));
    let live = server.home().with("HARK_AUDIO_INPUT", "tone").doctor();
    live.expect("microphone_sound", "ok", "hears sound", "");
}

#[test]
fn a_loudspeaker_at_the_rate_of_a_hands_free_headset_is_pointed_out() {
    let modules = ["module-null-sink sink_name=headset rate=16000"];
    let Some(server) = SoundServer::start(&modules) else {
        return;
    };
    let found = server.home().doctor();
    found.expect("loudspeaker", "warn", "hands-free", "audio.input");
    // The monitor of the loudspeaker is no microphone.
    found.expect(
        "microphone",
        "warn",
        "no default microphone",
        "`hark devices`",
    );
}
