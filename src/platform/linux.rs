//! Linux: XDG folders, `/proc`, and the volume through PipeWire's or PulseAudio's command.

mod memory;

use std::path::PathBuf;
use std::time::Duration;

use x11rb::connection::Connection as _;

use super::Permission;
use super::audio::Attachment;
use super::command::{CommandError, run};
use super::directories::Directories;
use super::hotkey::HotkeyError;
use super::speech::{InstalledVoice, OnSamples, SystemVoiceError, Utterance};
use super::volume::{Volume, VolumeError};

pub(super) const SYSTEM: super::System = super::System::Linux;
pub(super) use memory::{
    available_bytes, footprint_bytes, gpu_limit_bytes, group_lives, listener, listening, pressure,
    processes, started,
};

pub(super) const NAME: &str = "Linux";
pub(super) const INSTALL_COMMAND: &str = "sudo apt-get install";
pub(super) const SERVICE_KIND: super::ServiceKind = super::ServiceKind::Systemd;
pub(super) const PROGRAM_PATH: &str =
    "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
pub(super) const MICROPHONE_SETTINGS_HINT: &str = "Check with `pactl list sources short` that a microphone is there, and that your user may use it.";

pub(super) fn microphone_permission() -> Permission {
    Permission::NotApplicable
}

pub(super) fn ask_for_microphone(_limit: std::time::Duration) {}

/// The nice level that PulseAudio and PipeWire take for themselves.
const SOUND_NICE: libc::c_int = -11;

pub(super) fn raise_this_thread() -> bool {
    // SAFETY: the call takes plain numbers; a process of 0 is the calling thread on Linux, and no other is touched.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, SOUND_NICE) == 0 }
}

/// PulseAudio and PipeWire name their devices by how they are attached.
pub(super) fn attachment(id: &str) -> Option<Attachment> {
    if id.starts_with("bluez") {
        Some(Attachment::Bluetooth)
    } else if id.starts_with("alsa_") {
        let built_in = id.contains(".pci-") || id.contains(".platform-");
        Some(if built_in {
            Attachment::BuiltIn
        } else {
            Attachment::Other
        })
    } else {
        None
    }
}

/// Asks the sound server for its recording streams; without `pactl` nobody tells.
pub(super) fn another_program_listens() -> Option<bool> {
    let streams = run("pactl", &["list", "source-outputs"], LIMIT).ok()?;
    let mut sources = recorded_by_others(&streams, std::process::id()).peekable();
    if sources.peek().is_none() {
        return Some(false);
    }
    // What records a loudspeaker's monitor does not listen to the room.
    let known = run("pactl", &["list", "short", "sources"], LIMIT).ok()?;
    let is_monitor = |source: &str| {
        known.lines().any(|line| {
            let mut fields = line.split('\t');
            fields.next() == Some(source)
                && fields.next().is_some_and(|name| name.ends_with(".monitor"))
        })
    };
    Some(sources.any(|source| !is_monitor(source)))
}

/// Numbers of the sources that programs other than `own` record from: not the sound server's own modules (they have no
/// process), not a stream that is paused, and not a level meter.
fn recorded_by_others(streams: &str, own: u32) -> impl Iterator<Item = &str> {
    let own = format!("application.process.id = \"{own}\"");
    streams
        .split("Source Output #")
        .skip(1)
        .filter(move |stream| {
            stream.contains("application.process.id = ")
                && !stream.contains(own.as_str())
                && !stream.contains("Corked: yes")
                && !stream.contains("Peak detect")
        })
        .filter_map(|stream| {
            stream
                .lines()
                .find_map(|line| line.trim().strip_prefix("Source: "))
        })
}

pub(super) fn total_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

pub(super) fn processor_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    // Arm kernels tell no name.
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub(super) fn own_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

pub(super) const fn secure_input() -> Option<bool> {
    None
}

/// The crate of [`super::hotkey`] takes a display that it cannot reach for one that works, so that is asked here. Under
/// Wayland the X server that some programs still use sees only the keys of those programs.
pub(super) fn hotkey_display() -> Result<(), HotkeyError> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let session = std::env::var("XDG_SESSION_TYPE").unwrap_or_default();
    if set("WAYLAND_DISPLAY") || session.eq_ignore_ascii_case("wayland") {
        return Err(HotkeyError::Wayland);
    }
    if !set("DISPLAY") {
        return Err(HotkeyError::NoDisplay {
            reason: "DISPLAY is not set".to_owned(),
        });
    }
    match x11rb::connect(None) {
        Ok((connection, _)) if !connection.setup().roots.is_empty() => Ok(()),
        Ok(_) => Err(HotkeyError::NoDisplay {
            reason: "it has no screen".to_owned(),
        }),
        Err(error) => Err(HotkeyError::NoDisplay {
            reason: error.to_string(),
        }),
    }
}

/// X11 has no main thread.
pub(super) fn on_main_thread<T>(work: impl FnOnce() -> T) -> T {
    work()
}

pub(super) fn run_main_loop<T>(work: impl FnOnce() -> T) -> std::io::Result<T> {
    Ok(work())
}

pub(super) fn directories(path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<Directories> {
    // The specification says that a relative path in these variables is to be ignored.
    let xdg = |name: &str, usual: &str| {
        path(name)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(path("HOME")?.join(usual)))
            .map(|base| base.join("hark"))
    };
    let state = xdg("XDG_DATA_HOME", ".local/share")?;
    let session = xdg("XDG_STATE_HOME", ".local/state")?;
    let runtime = path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute());
    Some(Directories {
        config: xdg("XDG_CONFIG_HOME", ".config")?,
        logs: session.join("logs"),
        runtime: runtime.map_or(session, |path| path.join("hark")),
        state,
    })
}

/// There is no system voice: no value of this type exists.
#[derive(Debug)]
pub(super) enum Voice {}

impl Voice {
    pub(super) fn open() -> Option<Self> {
        None
    }

    pub(super) fn installed(&self) -> Vec<InstalledVoice> {
        match *self {}
    }

    pub(super) fn say(
        &mut self,
        _utterance: Utterance<'_>,
        _on_samples: OnSamples<'_>,
    ) -> Result<(), SystemVoiceError> {
        match *self {}
    }
}

pub(super) fn volume() -> Result<Volume, VolumeError> {
    let wpctl = run("wpctl", &["get-volume", "@DEFAULT_AUDIO_SINK@"], LIMIT);
    if let Some(printed) = unless_missing(wpctl)? {
        return read_wpctl(&printed).ok_or(VolumeError::Unreadable);
    }
    let level = unless_missing(run("pactl", &["get-sink-volume", "@DEFAULT_SINK@"], LIMIT))?
        .ok_or(VolumeError::Unsupported)?;
    let mute = run("pactl", &["get-sink-mute", "@DEFAULT_SINK@"], LIMIT)?;
    read_pactl(&level, &mute).ok_or(VolumeError::Unreadable)
}

pub(super) fn set_volume(percent: u8) -> Result<(), VolumeError> {
    let percent = format!("{percent}%");
    first_present(
        &["set-volume", "@DEFAULT_AUDIO_SINK@", &percent],
        &["set-sink-volume", "@DEFAULT_SINK@", &percent],
    )
}

pub(super) fn set_muted(muted: bool) -> Result<(), VolumeError> {
    let switch = if muted { "1" } else { "0" };
    first_present(
        &["set-mute", "@DEFAULT_AUDIO_SINK@", switch],
        &["set-sink-mute", "@DEFAULT_SINK@", switch],
    )
}

fn first_present(wpctl: &[&str], pactl: &[&str]) -> Result<(), VolumeError> {
    if unless_missing(run("wpctl", wpctl, LIMIT))?.is_some()
        || unless_missing(run("pactl", pactl, LIMIT))?.is_some()
    {
        return Ok(());
    }
    Err(VolumeError::Unsupported)
}

fn unless_missing(result: Result<String, CommandError>) -> Result<Option<String>, CommandError> {
    match result {
        Ok(printed) => Ok(Some(printed)),
        Err(CommandError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// "Volume: 0.45 \[MUTED\]"
fn read_wpctl(printed: &str) -> Option<Volume> {
    let level: f32 = printed.split_whitespace().nth(1)?.parse().ok()?;
    Some(Volume {
        percent: (level * 100.0).round().clamp(0.0, 100.0) as u8,
        muted: printed.contains("[MUTED]"),
    })
}

/// "Volume: front-left: 39322 /  60% / …" and "Mute: no"; the words before the colons depend on the language.
fn read_pactl(level: &str, mute: &str) -> Option<Volume> {
    let percent = level
        .split('/')
        .find_map(|part| part.trim().strip_suffix('%'))?;
    let percent: u32 = percent.parse().ok()?;
    Some(Volume {
        percent: u8::try_from(percent.min(100)).ok()?,
        muted: mute.trim_end().ends_with("yes"),
    })
}

/// Both commands wait for the sound server, which may hang.
const LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_answers_are_understood() {
        let half = read_wpctl("Volume: 0.45 [MUTED]\n").unwrap();
        assert_eq!((half.percent, half.muted), (45, true));
        let level = "Volume: front-left: 39322 /  60% / -13.31 dB,   front-right: 39322 /  60% / -13.31 dB\n        balance 0.00\n";
        let pulse = read_pactl(level, "Mute: no\n").unwrap();
        assert_eq!((pulse.percent, pulse.muted), (60, false));
        assert!(read_wpctl("Node not found").is_none());
    }

    #[test]
    fn a_call_is_told_from_ourselves_a_meter_a_module_and_a_paused_stream() {
        let stream = |number: u32, source: u32, process: &str, more: &str| {
            format!(
                "Source Output #{number}\n\tDriver: protocol-native.c\n\tSource: {source}\n\t{more}\n\tProperties:\n\t\t{process}\n\n"
            )
        };
        let text = [
            stream(1, 3, "application.process.id = \"77\"", "Corked: no"),
            stream(2, 4, "application.process.id = \"80\"", "Corked: yes"),
            stream(3, 5, "media.name = \"Loopback\"", "Corked: no"),
            stream(
                4,
                6,
                "application.process.id = \"81\"\n\t\tmedia.name = \"Peak detect\"",
                "Corked: no",
            ),
            stream(5, 7, "application.process.id = \"82\"", "Corked: no"),
        ]
        .concat();
        assert_eq!(recorded_by_others(&text, 77).collect::<Vec<_>>(), ["7"]);
        assert_eq!(recorded_by_others("", 77).count(), 0);
    }

    #[test]
    fn devices_are_known_by_their_names() {
        assert_eq!(
            attachment("bluez_output.AC_12.1"),
            Some(Attachment::Bluetooth)
        );
        assert_eq!(
            attachment("alsa_input.pci-0000_00_1f.3.analog-stereo"),
            Some(Attachment::BuiltIn)
        );
        assert_eq!(
            attachment("alsa_input.usb-Focusrite-00.mono"),
            Some(Attachment::Other)
        );
        assert_eq!(attachment("mic"), None);
    }

    #[test]
    fn this_machine_has_a_plausible_amount_of_memory() {
        let bytes = total_memory_bytes().unwrap();
        assert!(bytes > 64 << 20, "{bytes}");
    }

    #[test]
    fn xdg_folders_are_taken_and_relative_ones_are_not() {
        let found = super::super::directories::directories(|name| match name {
            "HOME" => Some("/home/a".into()),
            "XDG_CONFIG_HOME" => Some("/conf".into()),
            "XDG_DATA_HOME" => Some("relative".into()),
            _ => None,
        });
        let found = found.unwrap();
        assert_eq!(found.config, PathBuf::from("/conf/hark"));
        assert_eq!(found.state, PathBuf::from("/home/a/.local/share/hark"));
        assert_eq!(found.logs, PathBuf::from("/home/a/.local/state/hark/logs"));
    }
}
