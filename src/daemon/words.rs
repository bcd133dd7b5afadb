//! What the daemon tells the user when something is wrong: what happened, and what to do next.

use super::events::News;
use crate::audio::CaptureError;
use crate::platform::{self, Permission};
use crate::speak::thread::SpeakFailure;

/// The microphone gives exact zeros: the mark of a permission that is missing, or of a switch on the device.
pub fn microphone_silent() -> News {
    let (kind, message) = match platform::microphone_permission() {
        Permission::Denied | Permission::Restricted => (
            "microphone_denied",
            format!(
                "the system does not let Hark hear the microphone. {} Then restart Hark",
                platform::microphone_settings_hint()
            ),
        ),
        Permission::NotAsked => (
            "microphone_denied",
            "the system has not asked yet whether Hark may use the microphone: run `hark listen` once in a terminal and \
             answer the question"
                .to_owned(),
        ),
        Permission::Granted | Permission::NotApplicable => (
            "microphone_silent",
            "the microphone gives nothing but exact silence: it is muted by a key or a switch of its own, or its driver \
             hangs; unmute it, or choose another that `hark devices` lists with --input"
                .to_owned(),
        ),
    };
    News::Error {
        kind: kind.to_owned(),
        message,
    }
}

/// The microphone gives so little that no speech can be in it.
pub fn microphone_faint(peak_db: i32) -> News {
    News::Error {
        kind: "microphone_faint".to_owned(),
        message: format!(
            "the microphone gives almost nothing (its loudest sample of the last minute had {peak_db} dB of full scale; a quiet \
             room has more): turn its level up in the system's sound settings, or see `hark doctor`"
        ),
    }
}

/// The input cannot be used (yet).
pub fn input_error(error: &CaptureError) -> News {
    let (kind, next) = match error {
        CaptureError::Denied => (
            "microphone_denied",
            "allow it in System Settings, Privacy & Security, Microphone",
        ),
        CaptureError::NoDevice { .. } => (
            "no_input",
            "plug one in, or name one that `hark devices` lists with --input",
        ),
        CaptureError::Lost { .. } => ("input_lost", "Hark goes on as soon as there is one again"),
        CaptureError::Unusable { .. } => (
            "input_unusable",
            "choose another that `hark devices` lists with --input",
        ),
    };
    News::Error {
        kind: kind.to_owned(),
        message: format!("{error}; {next}"),
    }
}

/// The agent failed with `kind`.
pub fn agent_failure(kind: &str) -> String {
    format!("the reply failed: {kind}; `hark ask hello` shows whether the model answers")
}

/// A failure of the voice, for events and for people.
pub struct SpeakerTrouble {
    /// The kind, for scripts.
    pub kind: &'static str,
    /// The sentence.
    pub message: String,
}

/// The speaking thread could not say a turn.
///
/// `file` is the output where it is no loudspeaker.
pub fn speaker_failure(failure: SpeakFailure, file: Option<&str>) -> SpeakerTrouble {
    if let (SpeakFailure::Output, Some(file)) = (failure, file) {
        return SpeakerTrouble {
            kind: "output_lost",
            message: format!(
                "{file} cannot be written any more; free some space, or choose another file"
            ),
        };
    }
    let (kind, what, next) = match failure {
        SpeakFailure::Unavailable => (
            "voice_unavailable",
            "the speech engine is gone",
            "install it again, or set tts.engine",
        ),
        SpeakFailure::NoVoice => (
            "no_voice",
            "the speech engine has no such voice",
            "set tts.voice to one that it has",
        ),
        SpeakFailure::Voice => (
            "voice_failed",
            "the speech engine failed on this answer",
            "try `hark say hello`",
        ),
        SpeakFailure::Backlog => (
            "speaker_backlog",
            "there was more to say than can wait",
            "ask for a shorter answer",
        ),
        SpeakFailure::Output => (
            "output_lost",
            "the loudspeaker was lost",
            "Hark goes on as soon as there is one; see `hark devices`",
        ),
    };
    SpeakerTrouble {
        kind,
        message: format!("{what}; {next}"),
    }
}
