//! The microphone and the loudspeaker: permission, presence, format, and whether sound really comes.

use std::time::Duration;

use super::super::echo::{EchoRecord, words};
use super::bounded::{Stuck, within};
use super::{Check, Setup};
use crate::audio::capture::Microphone;
use crate::audio::devices::{self, ChooseError, DeviceInfo, DeviceList, Wanted};
use crate::audio::echo::meter::EchoState;
use crate::audio::{AudioSource, CaptureError, Captured};
use crate::config::resolved::{Audio, EchoCancellation};
use crate::platform::clock::Clock;
use crate::platform::quiet::quietly;
use crate::platform::{self, Permission};

/// All checks of this group. Takes up to 2 s where there is a microphone.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let audio = &setup.config.audio;
    let permitted = platform::microphone_permission();
    let mut found = vec![permission(permitted)];
    let list = match within(LISTING, || quietly(devices::list)) {
        Ok(list) => list,
        Err(stuck) => {
            found.push(hangs("microphone", &stuck));
            found.push(hangs("loudspeaker", &stuck));
            return found;
        }
    };
    let input = microphone(&list, audio);
    let usable = input.status != super::Status::Fail && has_input(&list, audio);
    found.push(input);
    found.push(if found.iter().any(|check| check.permission) {
        Check::skip("microphone_sound", "the microphone may not be opened")
    } else if usable {
        microphone_sound(audio)
    } else {
        Check::skip("microphone_sound", "there is no microphone to listen to")
    });
    found.push(loudspeaker(&list, audio));
    found.push(super::voices::bluetooth(&list, &wanted(audio)));
    found.push(echo(
        audio.echo_cancellation,
        super::super::echo::kept(&setup.places).as_ref(),
    ));
    found.push(other_programs(
        audio.yield_to_calls,
        platform::audio::another_program_listens(),
    ));
    found
}

/// Whether this process may listen.
#[must_use]
pub fn permission(permission: Permission) -> Check {
    const NAME: &str = "microphone_permission";
    let hint = platform::microphone_settings_hint();
    match permission {
        Permission::Granted => Check::ok(NAME, "Hark may use the microphone"),
        Permission::NotApplicable => {
            Check::skip(NAME, "this system has no switch for the microphone")
        }
        Permission::Denied => Check::denied(
            NAME,
            "the system does not let Hark use the microphone",
            format!("{hint} Then run `hark doctor` again."),
        ),
        Permission::Restricted => Check::denied(
            NAME,
            "the administrator of this machine does not allow the microphone",
            format!("ask the administrator. {hint} Then run `hark doctor` again."),
        ),
        Permission::NotAsked => Check::warn(
            NAME,
            "the system has not asked yet whether Hark may use the microphone",
            "run `hark listen` once in a terminal and answer the question",
        ),
    }
}

/// Whether the configured microphone is there, and in which format it gives its sound.
#[must_use]
pub fn microphone(list: &DeviceList, audio: &Audio) -> Check {
    const NAME: &str = "microphone";
    let choice = devices::choose_input(list, &wanted(audio));
    let without = "Without one, `hark transcribe FILE` and `hark run --input FILE` still work.";
    match choice {
        Ok(choice) => format_of(NAME, "audio.input", choice.device, &choice.why.to_string()),
        Err(ChooseError::NoDefault { present }) => Check::warn(
            NAME,
            if present.is_empty() {
                format!("this machine has no microphone ({})", list.host)
            } else {
                format!(
                    "the system has no default microphone; there are {}",
                    present.join(", ")
                )
            },
            format!("plug one in or name one, then see `hark devices`. {without}"),
        ),
        Err(error) => Check::fail(NAME, error.to_string(), rename("audio.input")),
    }
}

/// How echo cancellation fared when the daemon last spoke, and who may interrupt it therefore.
#[must_use]
pub fn echo(setting: EchoCancellation, kept: Option<&EchoRecord>) -> Check {
    const NAME: &str = "echo_cancellation";
    if setting == EchoCancellation::Off {
        return Check::skip(
            NAME,
            "switched off (audio.echo_cancellation): Hark hears nothing while it speaks",
        );
    }
    let Some(record) = kept else {
        return Check::skip(
            NAME,
            "not known yet: Hark has not spoken through a loudspeaker that its microphone may hear",
        );
    };
    let devices = format!("{} and {}", record.input, record.output);
    let told = words(record.state, record.removed_db, record.delay_ms).unwrap_or_default();
    if record.state == EchoState::NotConverged {
        return Check::warn(
            NAME,
            format!("{devices}: {told}"),
            "use a headset, turn the loudspeaker down, or move it away from the microphone; then `hark run` and let it speak \
             for ten seconds",
        );
    }
    Check::ok(NAME, format!("{devices}: {told}"))
}

/// Whether another program listens, for which a daemon would stay quiet.
#[must_use]
pub fn other_programs(yields: bool, listens: Option<bool>) -> Check {
    const NAME: &str = "other_programs";
    match listens {
        None => Check::skip(
            NAME,
            "this system does not tell whether other programs use a microphone",
        ),
        Some(false) => Check::ok(NAME, "no other program uses a microphone"),
        Some(true) if yields => Check::warn(
            NAME,
            "another program uses a microphone: until it ends, Hark neither wakes nor speaks unasked",
            "end the call or the recording, or set audio.yield_to_calls = false in the file that `hark config path` names",
        ),
        Some(true) => Check::ok(
            NAME,
            "another program uses a microphone, too (audio.yield_to_calls is off)",
        ),
    }
}

fn wanted(audio: &Audio) -> Wanted {
    Wanted {
        input: audio.input.clone(),
        prefer: audio.prefer.clone(),
        output: audio.output.clone(),
        spare_headset: audio.spare_headset,
    }
}

fn has_input(list: &DeviceList, audio: &Audio) -> bool {
    devices::choose_input(list, &wanted(audio)).is_ok_and(|choice| choice.device.rate.is_some())
}

/// Whether the configured loudspeaker is there, and its format.
#[must_use]
pub fn loudspeaker(list: &DeviceList, audio: &Audio) -> Check {
    const NAME: &str = "loudspeaker";
    match devices::choose(&list.outputs, &audio.output, &[]) {
        Ok(choice) => format_of(NAME, "audio.output", choice.device, &choice.why.to_string()),
        Err(ChooseError::NoDefault { .. }) => Check::warn(
            NAME,
            format!("this machine has no loudspeaker ({})", list.host),
            "plug one in, then see `hark devices`. Without one, `hark say --out FILE.wav TEXT` and \
             `hark run --output FILE.wav` still work.",
        ),
        Err(error) => Check::fail(NAME, error.to_string(), rename("audio.output")),
    }
}

fn rename(key: &str) -> String {
    format!(
        "`hark devices` lists what there is; plug the device in, or correct {key} in the file that `hark config path` names"
    )
}

fn format_of(name: &'static str, key: &str, device: &DeviceInfo, why: &str) -> Check {
    let (Some(rate), Some(channels)) = (device.rate, device.channels) else {
        return Check::fail(
            name,
            format!(
                "{} is there but cannot be asked for its format: another program may hold it",
                device.name
            ),
            rename(key),
        );
    };
    let sample = device.sample.as_deref().unwrap_or("unknown");
    let plural = if channels == 1 { "" } else { "s" };
    let format = format!(
        "{} ({why}): {rate} Hz, {channels} channel{plural}, {sample}",
        device.name
    );
    // What Bluetooth gives to a headset whose microphone is open: 8 kHz by CVSD, 16 kHz by mSBC.
    if matches!(rate, 8_000 | 16_000) {
        return Check::warn(
            name,
            format!(
                "{format}. That is the rate of a Bluetooth headset in hands-free mode, in which both directions sound \
                 like a telephone"
            ),
            "use another microphone, so that the headset returns to music quality: `hark devices` lists them, audio.input in \
             the file that `hark config path` names chooses",
        );
    }
    Check::ok(name, format)
}

fn hangs(name: &'static str, stuck: &Stuck) -> Check {
    Check::fail(
        name,
        format!("the sound system cannot be asked: {stuck}"),
        "restart the sound system (PipeWire: `systemctl --user restart pipewire wireplumber`; PulseAudio: `pulseaudio -k`; \
         macOS: `sudo killall coreaudiod`), then run `hark doctor` again",
    )
}

/// What a second or two of a microphone sounds like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// No sample came.
    Nothing,
    /// Every sample is exactly zero: no microphone gives that.
    Zeros,
    /// So little that speech cannot be in it; the loudest sample in dB of full scale.
    Faint {
        /// Below [`FAINT_DB`].
        peak_db: f64,
    },
    /// A room; its level in dB of full scale.
    Room {
        /// Root of the mean square.
        level_db: f64,
    },
    /// Many samples are at full scale.
    Overdriven {
        /// Their share, 0..1.
        share: f64,
    },
}

/// Judges what was captured.
#[must_use]
pub fn judge(samples: &[f32]) -> Heard {
    if samples.is_empty() {
        return Heard::Nothing;
    }
    let peak = samples.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    if peak == 0.0 {
        return Heard::Zeros;
    }
    let decibels = |amplitude: f64| 20.0 * amplitude.log10();
    let peak_db = decibels(f64::from(peak));
    if peak_db < FAINT_DB {
        return Heard::Faint { peak_db };
    }
    let full = samples.iter().filter(|s| s.abs() >= FULL_SCALE).count();
    let share = full as f64 / samples.len() as f64;
    if share > MOST_AT_FULL_SCALE {
        return Heard::Overdriven { share };
    }
    let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    Heard::Room {
        level_db: decibels((square / samples.len() as f64).sqrt()),
    }
}

/// What was heard, in words.
#[must_use]
pub fn told(name: &str, heard: Heard) -> Check {
    const NAME: &str = "microphone_sound";
    let hint = platform::microphone_settings_hint();
    let again = "then run `hark doctor` again";
    match heard {
        Heard::Nothing => Check::fail(
            NAME,
            format!(
                "{name} is open but gave nothing for {} s",
                LISTENING.as_secs()
            ),
            format!("plug it out and in again, or choose another (`hark devices`), {again}"),
        ),
        Heard::Zeros => Check::fail(
            NAME,
            format!(
                "{name} gives nothing but zeros. That is no quiet room, which always hisses a little: it is switched off, \
                 or the system withholds its sound"
            ),
            format!(
                "look for a mute switch on the microphone. {hint} Otherwise choose another (`hark devices`), {again}"
            ),
        ),
        Heard::Faint { peak_db } => Check::warn(
            NAME,
            format!(
                "{name} gives almost nothing (loudest {peak_db:.0} dB of full scale): it is muted or turned down"
            ),
            format!("turn up its input level in the system's sound settings, {again}"),
        ),
        Heard::Overdriven { share } => Check::warn(
            NAME,
            format!(
                "{name} is overdriven: {:.0} % of the samples are at full scale",
                share * 100.0
            ),
            format!("turn down its input level in the system's sound settings, {again}"),
        ),
        Heard::Room { level_db } => {
            let room = if level_db < QUIET_ROOM_DB {
                "a quiet room"
            } else {
                "sound"
            };
            Check::ok(
                NAME,
                format!("{name} hears {room} ({level_db:.0} dB of full scale)"),
            )
        }
    }
}

fn microphone_sound(audio: &Audio) -> Check {
    const NAME: &str = "microphone_sound";
    let wanted = wanted(audio);
    match within(OPENING + LISTENING, move || listen(wanted)) {
        Ok(Ok((name, samples))) => told(&name, judge(&samples)),
        Ok(Err(CaptureError::Denied)) => Check::denied(
            NAME,
            "the system does not let Hark open the microphone",
            format!(
                "{} Then run `hark doctor` again.",
                platform::microphone_settings_hint()
            ),
        ),
        Ok(Err(error)) => Check::fail(NAME, error.to_string(), rename("audio.input")),
        Err(stuck) => hangs(NAME, &stuck),
    }
}

/// A second of sound, or what comes in [`LISTENING`]: some devices begin with half a second of zeros.
fn listen(wanted: Wanted) -> Result<(String, Vec<f32>), CaptureError> {
    let mut microphone = quietly(|| Microphone::open_wanted(wanted))?;
    let format = microphone.format();
    let second = format.rate as usize * usize::from(format.channels.max(1));
    let clock = Clock::start();
    let began = clock.now();
    let mut samples = Vec::new();
    while clock.now().since(began) < LISTENING {
        match microphone.read(&mut samples, Duration::from_millis(20))? {
            Captured::Samples { .. } | Captured::Nothing => {}
            Captured::Reformatted | Captured::Ended => break,
        }
        if samples.len() >= second && samples.iter().any(|sample| *sample != 0.0) {
            break;
        }
    }
    Ok((microphone.name().to_owned(), samples))
}

/// How long the sound system may take to tell what it has: CoreAudio takes 85 ms a device.
const LISTING: Duration = Duration::from_secs(5);
/// How long a device may take to open: what the edge grants itself.
const OPENING: Duration = Duration::from_secs(7);
/// How long sound is waited for.
const LISTENING: Duration = Duration::from_secs(2);
/// Loudest sample of a microphone that is muted or turned down: 16-bit noise of ±10 steps. A quiet room with a usable gain
/// reaches −60 and more.
pub const FAINT_DB: f64 = -70.0;
/// Mean level under which a room is called quiet.
const QUIET_ROOM_DB: f64 = -50.0;
/// From here on a sample counts as clipped.
const FULL_SCALE: f32 = 0.999;
/// Speech at a good level has none; one in a hundred is audible.
const MOST_AT_FULL_SCALE: f64 = 0.01;
