//! The voices that are installed for the language that is spoken, and the profile of a Bluetooth headset.

use std::time::Duration;

use super::{Check, Setup};
use crate::audio::devices::{self, DeviceList, Wanted};
use crate::config::resolved::Voice;
use crate::platform::audio::Attachment;
use crate::platform::command::{CommandError, run};
use crate::platform::{self, System};

/// The voices of this machine for the language of the settings.
#[must_use]
pub fn check(setup: &Setup) -> Check {
    let language = match setup.config.stt.language.as_str() {
        "auto" => "en",
        language => language,
    };
    let Some(engine) = listed(setup.config.tts.engine) else {
        return Check::skip(NAME, "tts.engine is \"none\"");
    };
    match list(engine) {
        Ok(printed) => judge(engine, language, &printed),
        // That the engine is missing is said by the check of the voice itself.
        Err(error) => Check::skip(NAME, format!("the voices cannot be listed: {error}")),
    }
}

/// The voices of this machine for a language; `None` where they cannot be listed.
#[must_use]
pub fn installed(engine: Voice, language: &str) -> Option<Vec<String>> {
    let engine = listed(engine)?;
    let printed = list(engine).ok()?;
    Some(match engine {
        Listed::Espeak => espeak(&printed, language),
        Listed::Say => say(&printed, language),
    })
}

fn listed(engine: Voice) -> Option<Listed> {
    match (engine, platform::system()) {
        (Voice::None, _) => None,
        (Voice::Espeak, _) | (Voice::Auto, System::Linux | System::Other) => Some(Listed::Espeak),
        (Voice::Auto | Voice::AvSpeech | Voice::Say, _) => Some(Listed::Say),
    }
}

fn list(engine: Listed) -> Result<String, CommandError> {
    match engine {
        Listed::Espeak => run("espeak-ng", &["--voices"], LISTING),
        Listed::Say => run("say", &["-v", "?"], LISTING),
    }
}

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// `espeak-ng --voices`.
    Espeak,
    /// `say -v ?`, which lists the voices of the system.
    Say,
}

/// Judges a list of voices.
#[must_use]
pub fn judge(engine: Listed, language: &str, printed: &str) -> Check {
    let found = match engine {
        Listed::Espeak => espeak(printed, language),
        Listed::Say => say(printed, language),
    };
    if found.is_empty() {
        let remedy = match engine {
            Listed::Espeak => format!(
                "`{}`, or another language in stt.language",
                platform::install_command("espeak-ng-data")
            ),
            Listed::Say => format!("{MANAGE}; then `hark doctor` again"),
        };
        return Check::warn(
            NAME,
            format!(
                "no voice for the language \"{language}\" is installed: answers would be read with a foreign tongue"
            ),
            remedy,
        );
    }
    let shown: Vec<&str> = found.iter().take(3).map(String::as_str).collect();
    let more = if found.len() > 3 { ", …" } else { "" };
    let plural = if found.len() == 1 { "" } else { "s" };
    let told = format!(
        "{} voice{plural} for \"{language}\": {}{more}",
        found.len(),
        shown.join(", ")
    );
    let good = |name: &String| name.contains("(Premium)") || name.contains("(Enhanced)");
    if engine == Listed::Say && !found.iter().any(good) {
        return Check::ok(
            NAME,
            format!("{told}; better ones can be downloaded: {MANAGE}"),
        );
    }
    Check::ok(NAME, told)
}

/// Names of `espeak-ng --voices` whose language is this, of whatever country.
fn espeak(printed: &str, language: &str) -> Vec<String> {
    printed
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let code = fields.nth(1)?;
            let name = fields.nth(1)?;
            (code.split('-').next() == Some(language)).then(|| name.to_owned())
        })
        .collect()
}

/// Names of `say -v ?`: `Ava (Premium)       en_US    # Hello!`.
fn say(printed: &str, language: &str) -> Vec<String> {
    printed
        .lines()
        .filter_map(|line| {
            let (before, _) = line.split_once('#')?;
            let (name, code) = before.trim_end().rsplit_once(char::is_whitespace)?;
            (code.split(['_', '-']).next() == Some(language)).then(|| name.trim().to_owned())
        })
        .collect()
}

/// Whether a Bluetooth headset is made a telephone by its own microphone.
#[must_use]
pub fn bluetooth(list: &DeviceList, wanted: &Wanted) -> Check {
    const NAME: &str = "bluetooth";
    let headset = list
        .inputs
        .iter()
        .chain(&list.outputs)
        .find(|device| device.attached == Attachment::Bluetooth);
    let Some(headset) = headset else {
        return Check::skip(NAME, "no Bluetooth headset is connected");
    };
    match devices::choose_input(list, wanted) {
        Ok(choice) if choice.device.attached == Attachment::Bluetooth => Check::warn(
            NAME,
            format!(
                "{} is the microphone ({}): while Hark listens the headset is in its hands-free profile, and what you hear \
                 through it sounds like a telephone",
                choice.device.name, choice.why
            ),
            "let another microphone hear: `hark devices` lists them, audio.input in the file that `hark config path` names \
             chooses, and audio.spare_headset = true prefers the machine's own",
        ),
        _ => Check::ok(
            NAME,
            format!(
                "{} keeps its music profile: another microphone is used",
                headset.name
            ),
        ),
    }
}

const NAME: &str = "voices";
const MANAGE: &str = "System Settings, Accessibility, Spoken Content, System Voice, Manage Voices (`open \"x-apple.systempreferences:com.apple.preference.universalaccess\"`)";

/// Both lists come within a second.
const LISTING: Duration = Duration::from_secs(5);
