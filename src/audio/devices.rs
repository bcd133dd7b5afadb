//! Which devices there are, and which one is used and why.
//!
//! [`list`] asks the host (may block for 100 ms and more; never from a callback). [`choose`] is the policy, a
//! pure function over what was listed. `hark devices` prints what this module returns.

use std::fmt;

use cpal::traits::{DeviceTrait, HostTrait};
use serde::Serialize;

use crate::platform::audio::{Attachment, attachment};

/// Which way sound flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Microphones.
    Input,
    /// Loudspeakers.
    Output,
}

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The name that people see.
    pub name: String,
    /// The host's own name for it, stable over restarts.
    pub id: String,
    /// Whether the system uses it when nothing is named.
    pub default: bool,
    /// Whether it gives what a loudspeaker plays, and no microphone. PulseAudio makes one of these the default when the last
    /// microphone is unplugged; taken as one, the assistant would listen to itself.
    pub monitor: bool,
    /// How it is attached.
    pub attached: Attachment,
    /// Its usual frames a second; `None` when it cannot be asked (in use, gone).
    pub rate: Option<u32>,
    /// Its usual channels.
    pub channels: Option<u16>,
    /// Its usual sample format, as `f32` or `i16`.
    pub sample: Option<String>,
}

/// Everything that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceList {
    /// The sound system that was asked.
    pub host: String,
    /// Microphones.
    pub inputs: Vec<DeviceInfo>,
    /// Loudspeakers.
    pub outputs: Vec<DeviceInfo>,
}

/// Why a device was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was named.
    Named,
    /// It is the first of the preferred ones that is present.
    Preferred {
        /// Its place in the list, from 1.
        place: usize,
    },
    /// Nothing was named, and the system uses it.
    Default,
    /// The system would use the microphone of the Bluetooth headset that plays, which would make both of its directions
    /// sound like a telephone; this one belongs to the machine.
    SparesHeadset,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named in the configuration"),
            Self::Preferred { place } => write!(
                f,
                "number {place} of audio.prefer, the first that is present"
            ),
            Self::Default => f.write_str("the system's default"),
            Self::SparesHeadset => f.write_str(
                "the machine's own, so that the Bluetooth headset keeps its sound (audio.spare_headset)",
            ),
        }
    }
}

/// A device with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The device.
    pub device: &'a DeviceInfo,
    /// The reason.
    pub why: Why,
}

/// Why no device was chosen. Every text lists what there is, so that the user can name one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// The name fits none. Name one of those listed, or plug it in.
    #[error("no device is named {wanted}; there {}", listing(.present))]
    NoSuch {
        /// The name.
        wanted: String,
        /// What there is.
        present: Vec<String>,
    },
    /// The name fits several. Name one of them in full.
    #[error("{wanted} fits several devices: {}", .fitting.join(", "))]
    Ambiguous {
        /// The name.
        wanted: String,
        /// Those that it fits.
        fitting: Vec<String>,
    },
    /// Nothing was named and the system has no default. Name one of those listed, or plug one in.
    #[error("the system has no default device; there {}", listing(.present))]
    NoDefault {
        /// What there is.
        present: Vec<String>,
    },
}

fn listing(present: &[String]) -> String {
    if present.is_empty() {
        "is none".to_owned()
    } else {
        format!("are {}", present.join(", "))
    }
}

/// Chooses from `devices`: `wanted` when it is not `default`, else the first of `prefer` that is present, else the system's
/// default unless that is a monitor. A name fits by name or id, whole or in part, upper or lower case; a whole fit beats parts.
///
/// # Errors
/// See [`ChooseError`]. A named device that is missing is an error and not replaced: the user would talk to the wrong one.
pub fn choose<'a>(
    devices: &'a [DeviceInfo],
    wanted: &str,
    prefer: &[String],
) -> Result<Choice<'a>, ChooseError> {
    if !is_default(wanted) {
        return fit(devices, wanted).map(|device| Choice {
            device,
            why: Why::Named,
        });
    }
    // A preferred device that is absent or unclear is passed over: the list is written for machines that change.
    let preferred = prefer.iter().enumerate().find_map(|(index, name)| {
        fit(devices, name).ok().map(|device| Choice {
            device,
            why: Why::Preferred { place: index + 1 },
        })
    });
    preferred
        .or_else(|| {
            devices
                .iter()
                .find(|device| device.default && !device.monitor)
                .map(|device| Choice {
                    device,
                    why: Why::Default,
                })
        })
        .ok_or_else(|| ChooseError::NoDefault {
            present: names(devices),
        })
}

/// Chooses the microphone as [`choose`] does, but spares the headset: where nothing is named or preferred, the loudspeaker
/// in use is attached by Bluetooth, and so is the default microphone, the machine's own microphone is taken, if it has one.
///
/// # Errors
/// See [`ChooseError`].
pub fn choose_input<'a>(list: &'a DeviceList, wanted: &Wanted) -> Result<Choice<'a>, ChooseError> {
    let choice = choose(&list.inputs, &wanted.input, &wanted.prefer)?;
    let by_radio = |device: &DeviceInfo| device.attached == Attachment::Bluetooth;
    if !(wanted.spare_headset && choice.why == Why::Default && by_radio(choice.device)) {
        return Ok(choice);
    }
    let plays = choose(&list.outputs, &wanted.output, &[]);
    if !plays.is_ok_and(|output| by_radio(output.device)) {
        return Ok(choice);
    }
    let own = list
        .inputs
        .iter()
        .find(|device| device.attached == Attachment::BuiltIn && !device.monitor);
    Ok(own.map_or(choice, |device| Choice {
        device,
        why: Why::SparesHeadset,
    }))
}

/// Which devices the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The microphone: `default`, a name or a unique part of one.
    pub input: String,
    /// Microphones in order of preference.
    pub prefer: Vec<String>,
    /// The loudspeaker.
    pub output: String,
    /// Whether the microphone of a Bluetooth headset that plays is left alone.
    pub spare_headset: bool,
}

impl Wanted {
    /// This microphone and no policy.
    #[must_use]
    pub fn input(input: &str, prefer: &[String]) -> Self {
        Self {
            input: input.to_owned(),
            prefer: prefer.to_vec(),
            output: "default".to_owned(),
            spare_headset: false,
        }
    }
}

/// Whether a name in the configuration stands for the system's default.
#[must_use]
pub fn is_default(wanted: &str) -> bool {
    let wanted = wanted.trim();
    wanted.is_empty() || wanted.eq_ignore_ascii_case("default")
}

fn fit<'a>(devices: &'a [DeviceInfo], wanted: &str) -> Result<&'a DeviceInfo, ChooseError> {
    let sought = wanted.trim().to_lowercase();
    let whole = |device: &&DeviceInfo| {
        device.name.to_lowercase() == sought || device.id.to_lowercase() == sought
    };
    let part = |device: &&DeviceInfo| {
        device.name.to_lowercase().contains(&sought) || device.id.to_lowercase().contains(&sought)
    };
    let mut fitting: Vec<&DeviceInfo> = devices.iter().filter(whole).collect();
    if fitting.is_empty() {
        fitting = devices.iter().filter(part).collect();
    }
    match fitting[..] {
        [only] => Ok(only),
        [] => Err(ChooseError::NoSuch {
            wanted: wanted.to_owned(),
            present: names(devices),
        }),
        _ => Err(ChooseError::Ambiguous {
            wanted: wanted.to_owned(),
            fitting: fitting.iter().map(|device| device.name.clone()).collect(),
        }),
    }
}

fn names(devices: &[DeviceInfo]) -> Vec<String> {
    devices.iter().map(|device| device.name.clone()).collect()
}

/// Asks the host for everything that there is. No device at all is an empty list, not an error.
#[must_use]
pub fn list() -> DeviceList {
    let host = cpal::default_host();
    DeviceList {
        host: host.id().name().to_owned(),
        inputs: of_direction(&host, Direction::Input),
        outputs: of_direction(&host, Direction::Output),
    }
}

/// Whether it is worth asking. ALSA is what remains on Linux when no sound server answers; without a card in the kernel it has
/// nothing, still offers a default device, and prints a page of errors when that is opened.
fn may_have_devices(host: &cpal::Host) -> bool {
    host.id().name() != "ALSA"
        || std::fs::read_to_string("/proc/asound/cards")
            .is_ok_and(|cards| !cards.contains("no soundcards"))
}

fn of_direction(host: &cpal::Host, direction: Direction) -> Vec<DeviceInfo> {
    let devices = devices_of(host, direction);
    if devices.is_empty() {
        return Vec::new();
    }
    let default = default_device(host, direction).and_then(|device| device.id().ok());
    devices
        .iter()
        .map(|device| describe(device, direction, default.as_ref()))
        .collect()
}

fn devices_of(host: &cpal::Host, direction: Direction) -> Vec<cpal::Device> {
    if !may_have_devices(host) {
        return Vec::new();
    }
    // A sound system that cannot list has nothing to offer; the error on opening says why.
    let Ok(devices) = host.devices() else {
        return Vec::new();
    };
    devices
        .filter(|device| match direction {
            Direction::Input => device.supports_input(),
            Direction::Output => device.supports_output(),
        })
        .collect()
}

fn default_device(host: &cpal::Host, direction: Direction) -> Option<cpal::Device> {
    match direction {
        Direction::Input => host.default_input_device(),
        Direction::Output => host.default_output_device(),
    }
}

fn describe(
    device: &cpal::Device,
    direction: Direction,
    default: Option<&cpal::DeviceId>,
) -> DeviceInfo {
    let config = match direction {
        Direction::Input => device.default_input_config(),
        Direction::Output => device.default_output_config(),
    }
    .ok();
    DeviceInfo {
        rate: config
            .as_ref()
            .map(cpal::SupportedStreamConfig::sample_rate),
        channels: config.as_ref().map(cpal::SupportedStreamConfig::channels),
        sample: config
            .as_ref()
            .map(|config| config.sample_format().to_string()),
        ..name(device, direction, default)
    }
}

/// As [`describe`], without asking for the format, which is what takes time.
fn name(
    device: &cpal::Device,
    direction: Direction,
    default: Option<&cpal::DeviceId>,
) -> DeviceInfo {
    let id = device.id().ok();
    let id_text = id.as_ref().map(|id| id.id().to_owned()).unwrap_or_default();
    let name = device.description().map_or_else(
        |_| id_text.clone(),
        |description| description.name().to_owned(),
    );
    DeviceInfo {
        monitor: direction == Direction::Input && id_text.ends_with(".monitor"),
        attached: attachment(&id_text, &name),
        name,
        default: id.is_some() && id.as_ref() == default,
        id: id_text,
        rate: None,
        channels: None,
        sample: None,
    }
}

/// The names of everything that there is: quicker than [`list`], and enough to choose by.
fn names_of(host: &cpal::Host) -> DeviceList {
    let of = |direction| {
        let default = default_device(host, direction).and_then(|device| device.id().ok());
        devices_of(host, direction)
            .iter()
            .map(|device| name(device, direction, default.as_ref()))
            .collect()
    };
    DeviceList {
        host: host.id().name().to_owned(),
        inputs: of(Direction::Input),
        outputs: of(Direction::Output),
    }
}

/// What a choice would be now, to be compared with what was chosen: the id of a device and the reason.
pub(super) fn choose_again(
    host: &cpal::Host,
    direction: Direction,
    wanted: &Wanted,
) -> Result<(String, Why), ChooseError> {
    let list = names_of(host);
    let choice = match direction {
        Direction::Input => choose_input(&list, wanted),
        Direction::Output => choose(&list.outputs, &wanted.output, &[]),
    }?;
    Ok((choice.device.id.clone(), choice.why))
}

/// A device of the host, ready to be opened.
pub(super) struct Found {
    pub(super) host: cpal::Host,
    pub(super) device: cpal::Device,
    pub(super) name: String,
    /// Why it was chosen: it is given up when this reason would lead to another one.
    pub(super) why: Why,
}

impl Found {
    /// Whether the system chose it.
    pub(super) fn by_default(&self) -> bool {
        self.why == Why::Default
    }
}

/// Finds the device that [`choose_input`] or [`choose`] names on the default host. The default is taken without listing,
/// which costs 40–85 ms a device on CoreAudio, unless it is a headset's microphone that may have to be spared.
pub(super) fn find(direction: Direction, wanted: &Wanted) -> Result<Found, ChooseError> {
    let host = cpal::default_host();
    let (named, prefer) = match direction {
        Direction::Input => (&wanted.input, wanted.prefer.as_slice()),
        Direction::Output => (&wanted.output, [].as_slice()),
    };
    let spares = direction == Direction::Input && wanted.spare_headset;
    if is_default(named) && prefer.is_empty() {
        match find_default(&host, direction) {
            Ok((_, Attachment::Bluetooth)) if spares => {}
            Ok((found, _)) => return Ok(found),
            Err(error) => return Err(error),
        }
    }
    let list = names_of(&host);
    let (infos, choice) = match direction {
        Direction::Input => (&list.inputs, choose_input(&list, wanted)),
        Direction::Output => (&list.outputs, choose(&list.outputs, named, &[])),
    };
    let Choice {
        device: chosen,
        why,
    } = choice?;
    let device = devices_of(&host, direction)
        .into_iter()
        .find(|device| device.id().is_ok_and(|id| id.id() == chosen.id))
        .ok_or_else(|| ChooseError::NoSuch {
            wanted: chosen.name.clone(),
            present: names(infos),
        })?;
    Ok(Found {
        host,
        device,
        name: chosen.name.clone(),
        why,
    })
}

fn find_default(
    host: &cpal::Host,
    direction: Direction,
) -> Result<(Found, Attachment), ChooseError> {
    let no_default = || ChooseError::NoDefault {
        present: Vec::new(),
    };
    if !may_have_devices(host) {
        return Err(no_default());
    }
    let device = default_device(host, direction).ok_or_else(no_default)?;
    let DeviceInfo {
        name,
        monitor,
        attached,
        ..
    } = name(&device, direction, None);
    if monitor {
        return Err(no_default());
    }
    let found = Found {
        host: cpal::default_host(),
        device,
        name,
        why: Why::Default,
    };
    Ok((found, attached))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn device(name: &str, id: &str, default: bool) -> DeviceInfo {
        DeviceInfo {
            name: name.to_owned(),
            id: id.to_owned(),
            default,
            monitor: id.ends_with(".monitor"),
            attached: match id.split('-').next() {
                Some("built") => Attachment::BuiltIn,
                Some("bt") => Attachment::Bluetooth,
                _ => Attachment::Other,
            },
            rate: Some(48_000),
            channels: Some(1),
            sample: Some("f32".to_owned()),
        }
    }

    fn desk() -> Vec<DeviceInfo> {
        vec![
            device("MacBook Pro Microphone", "built-in", true),
            device("Scarlett Solo USB", "usb-1", false),
            device("Scarlett Solo USB 2", "usb-2", false),
            device("AirPods", "bt-1", false),
        ]
    }

    fn chosen(wanted: &str, prefer: &[&str]) -> Result<(String, Why), ChooseError> {
        let prefer: Vec<String> = prefer.iter().map(|name| (*name).to_owned()).collect();
        choose(&desk(), wanted, &prefer).map(|choice| (choice.device.id.clone(), choice.why))
    }

    /// Microphones and loudspeakers; the ones with a star are the default.
    fn list(inputs: &[&str], outputs: &[&str]) -> DeviceList {
        let all = |ids: &[&str]| {
            ids.iter()
                .map(|id| {
                    let plain = id.trim_end_matches('*');
                    device(plain, plain, id.ends_with('*'))
                })
                .collect()
        };
        DeviceList {
            host: "test".to_owned(),
            inputs: all(inputs),
            outputs: all(outputs),
        }
    }

    #[test]
    fn a_bluetooth_headset_that_plays_keeps_its_sound_where_the_machine_has_a_microphone() {
        /// Inputs, outputs, what is named, whether the headset is spared, and what is chosen.
        type Case = (
            &'static [&'static str],
            &'static [&'static str],
            &'static str,
            bool,
            &'static str,
        );
        let cases: &[Case] = &[
            // Headset on both sides.
            (
                &["built-in", "bt-pods*"],
                &["built-out", "bt-pods*"],
                "default",
                true,
                "built-in",
            ),
            // Switched off, or asked for.
            (
                &["built-in", "bt-pods*"],
                &["built-out", "bt-pods*"],
                "default",
                false,
                "bt-pods",
            ),
            (
                &["built-in", "bt-pods*"],
                &["built-out", "bt-pods*"],
                "bt-pods",
                true,
                "bt-pods",
            ),
            // The headset listens while the machine's own loudspeaker plays: the user has a reason.
            (
                &["built-in", "bt-pods*"],
                &["built-out*", "bt-pods"],
                "default",
                true,
                "bt-pods",
            ),
            // A machine without a microphone of its own, and one with a monitor only.
            (
                &["usb-1", "bt-pods*"],
                &["bt-pods*"],
                "default",
                true,
                "bt-pods",
            ),
            (
                &["built-x.monitor", "bt-pods*"],
                &["bt-pods*"],
                "default",
                true,
                "bt-pods",
            ),
            // The default is something else anyway.
            (
                &["built-in", "usb-1*", "bt-pods"],
                &["bt-pods*"],
                "default",
                true,
                "usb-1",
            ),
        ];
        for (inputs, outputs, input, spare_headset, expected) in cases {
            let wanted = Wanted {
                spare_headset: *spare_headset,
                ..Wanted::input(input, &[])
            };
            let list = list(inputs, outputs);
            let choice = choose_input(&list, &wanted).unwrap();
            assert_eq!(
                choice.device.id, *expected,
                "{inputs:?} {outputs:?} {input}"
            );
        }
    }

    #[test]
    fn a_preferred_headset_is_used_all_the_same() {
        let list = list(&["built-in*", "bt-pods"], &["bt-pods*"]);
        let wanted = Wanted {
            spare_headset: true,
            ..Wanted::input("default", &["bt-pods".to_owned()])
        };
        let choice = choose_input(&list, &wanted).unwrap();
        assert_eq!(
            (choice.device.id.as_str(), choice.why),
            ("bt-pods", Why::Preferred { place: 1 })
        );
    }

    #[test]
    fn nothing_named_takes_the_default() {
        assert_eq!(
            chosen("default", &[]),
            Ok(("built-in".into(), Why::Default))
        );
        assert_eq!(chosen("", &[]), Ok(("built-in".into(), Why::Default)));
    }

    #[test]
    fn a_unique_part_of_a_name_or_an_id_is_enough_and_case_does_not_matter() {
        assert_eq!(chosen("airpods", &[]), Ok(("bt-1".into(), Why::Named)));
        assert_eq!(chosen("BT-1", &[]), Ok(("bt-1".into(), Why::Named)));
    }

    #[test]
    fn a_whole_name_wins_over_the_longer_one_that_contains_it() {
        assert_eq!(
            chosen("scarlett solo usb", &[]),
            Ok(("usb-1".into(), Why::Named))
        );
    }

    #[test]
    fn an_unclear_name_lists_what_it_fits() {
        let error = chosen("scarlett", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scarlett fits several devices: Scarlett Solo USB, Scarlett Solo USB 2"
        );
    }

    #[test]
    fn a_missing_device_is_not_replaced_and_the_error_lists_what_there_is() {
        let text = chosen("Jabra", &["AirPods"]).unwrap_err().to_string();
        assert!(
            text.contains("no device is named Jabra") && text.contains("AirPods"),
            "{text}"
        );
        let text = choose(&[], "Jabra", &[]).unwrap_err().to_string();
        assert_eq!(text, "no device is named Jabra; there is none");
    }

    #[test]
    fn the_first_preferred_device_that_is_present_wins_over_the_default() {
        let preferred = chosen("default", &["Jabra", "scarlett", "usb-2", "AirPods"]);
        assert_eq!(preferred, Ok(("usb-2".into(), Why::Preferred { place: 3 })));
        assert_eq!(
            chosen("default", &["Jabra"]),
            Ok(("built-in".into(), Why::Default))
        );
    }

    #[test]
    fn what_the_loudspeaker_plays_is_taken_for_a_microphone_only_when_it_is_named() {
        let devices = [device("Monitor of Speaker", "speaker.monitor", true)];
        assert!(matches!(
            choose(&devices, "default", &[]),
            Err(ChooseError::NoDefault { .. })
        ));
        assert!(choose(&devices, "monitor", &[]).is_ok());
    }

    #[test]
    fn no_default_is_an_error_that_lists_what_there_is() {
        let devices = [device("AirPods", "bt-1", false)];
        let text = choose(&devices, "default", &[]).unwrap_err().to_string();
        assert_eq!(text, "the system has no default device; there are AirPods");
    }
}
