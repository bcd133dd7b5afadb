//! From an error to what the user sees and what a script gets: message, next step, exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it was tried and failed |
//! | 2 | usage or configuration is wrong; nothing was done |
//! | 3 | the daemon or a needed backend cannot be reached |
//! | 4 | a permission is missing |
//! | 70 | a bug in Hark |

use crate::audio::decode::DecodeError;
use crate::audio::{CaptureError, PlaybackError};
use crate::config::LoadError;
use crate::llm::LlmError;
use crate::speak::SpeakError;
use crate::transcribe::TranscribeError;

/// It was tried and failed.
pub const FAILED: u8 = 1;
/// Usage or configuration is wrong.
pub const USAGE: u8 = 2;
/// The daemon or a needed backend cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// A permission is missing.
pub const PERMISSION: u8 = 4;
/// A bug in Hark.
pub const BUG: u8 = 70;

/// An error of a verb that knows its exit code and its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened, to which thing.
    pub message: String,
    /// What to do next.
    pub next: String,
}

impl Failure {
    /// Wrong usage: nothing was done.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            message: message.into(),
            next: next.into(),
        }
    }

    /// It was tried and failed.
    pub fn failed(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            message: message.into(),
            next: next.into(),
        }
    }
}

/// The exit code of an error and what the user can do about it, where that is not in its message already.
#[must_use]
pub fn judge(error: &anyhow::Error) -> (u8, Option<String>) {
    if let Some(code) = verbs(error) {
        return (code, None);
    }
    let config = super::config::exit_code(error);
    let transcripts = super::transcripts::exit_code(error);
    if config.max(transcripts) > FAILED {
        return (config.max(transcripts), None);
    }
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.code, Some(failure.next.clone()));
        }
        if let Some(judged) = judge_edge(cause) {
            return judged;
        }
    }
    (FAILED, None)
}

/// The codes of verbs that know their own and whose messages end in the next step.
fn verbs(error: &anyhow::Error) -> Option<u8> {
    let transcribe = error
        .downcast_ref::<super::transcribe::TranscribeCommandError>()
        .map(|e| e.exit_code());
    let models = error
        .downcast_ref::<super::models::ModelsCommandError>()
        .map(|e| e.exit_code());
    transcribe.or(models)
}

fn judge_edge(cause: &(dyn std::error::Error + 'static)) -> Option<(u8, Option<String>)> {
    if cause.is::<LoadError>() || cause.is::<super::config::ConfigRefusal>() {
        return Some((USAGE, None));
    }
    if let Some(error) = cause.downcast_ref::<crate::models::ModelError>() {
        let wrong_name = matches!(error, crate::models::ModelError::Unknown { .. });
        return Some((if wrong_name { USAGE } else { FAILED }, None));
    }
    if cause.is::<crate::llm::http::SetupError>() {
        return Some((USAGE, Some("see `hark config show llm`".to_owned())));
    }
    // Their messages end in the next step.
    if cause.is::<crate::gateway::BindError>() {
        return Some((FAILED, None));
    }
    if cause.is::<crate::gateway::token::TokenError>() {
        return Some((USAGE, None));
    }
    let next = |text: &str| Some(text.to_owned());
    if let Some(error) = cause.downcast_ref::<CaptureError>() {
        return Some(match error {
            CaptureError::Denied => (
                PERMISSION,
                next("allow it in System Settings, Privacy & Security, Microphone"),
            ),
            CaptureError::NoDevice { .. } => (
                FAILED,
                next("see `hark devices`, or give a file: --input FILE"),
            ),
            CaptureError::Lost { .. } => (FAILED, next("see `hark devices`, then start again")),
            CaptureError::Unusable { .. } => {
                (FAILED, next("see `hark devices` for the inputs there are"))
            }
        });
    }
    if let Some(error) = cause.downcast_ref::<DecodeError>() {
        return Some(match error {
            DecodeError::Unreadable { .. } => (
                FAILED,
                next("name a sound file that is there and that you may read"),
            ),
            DecodeError::NotAudio { .. } => (FAILED, None),
            DecodeError::Empty { .. } => (FAILED, next("record or export it again")),
        });
    }
    if let Some(error) = cause.downcast_ref::<PlaybackError>() {
        return Some(match error {
            PlaybackError::Write { .. } => (
                FAILED,
                next("free some space, or write to another place with --out or --output"),
            ),
            _ => (
                FAILED,
                next("see `hark devices`, or write to a file: --output FILE"),
            ),
        });
    }
    if let Some(error) = cause.downcast_ref::<LlmError>() {
        return Some(match error {
            LlmError::Unreachable { .. } => (
                UNREACHABLE,
                next(
                    "start the server (`ollama serve` or `mlx_lm.server`), or name another with llm.backend",
                ),
            ),
            LlmError::NoModel { .. } => (
                FAILED,
                next("pull the model there, or name one that it has in config.toml"),
            ),
            _ => (FAILED, None),
        });
    }
    if let Some(error) = cause.downcast_ref::<SpeakError>() {
        return Some(match error {
            SpeakError::NoVoice { .. } => (
                USAGE,
                next("name a voice that the engine has: `espeak-ng --voices` or `say -v ?`"),
            ),
            SpeakError::Unavailable { .. } => (
                FAILED,
                next("install espeak-ng (Linux: apt-get install espeak-ng), or set tts.engine"),
            ),
            SpeakError::Failed { .. } => (FAILED, None),
        });
    }
    if let Some(error) = cause.downcast_ref::<TranscribeError>() {
        return Some(match error {
            TranscribeError::Model { .. } => (
                FAILED,
                next(
                    "check it with `hark models verify`, or pull it again with `hark models pull NAME`",
                ),
            ),
            _ => (FAILED, None),
        });
    }
    None
}
