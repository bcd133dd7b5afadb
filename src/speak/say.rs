//! The macOS `say` command, one file a text.
//!
//! `say` cannot stream: it writes a WAV into a folder of ours, which is read when it is complete and removed. It is the
//! fallback where `AVSpeechSynthesizer` gives nothing. Compiled everywhere; it opens where the program is.

use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::languages::{Languages, code_of};
use super::{SpeakError, SpeechPiece, Synthesizer, VoiceSettings};

/// Its name in `tts.engine`.
pub const ENGINE: &str = "say";

/// The engine, ready to start children.
#[derive(Debug)]
pub struct Say {
    program: PathBuf,
    voices: Languages,
    words_per_minute: u32,
}

impl Say {
    /// Finds the program and checks that it has the voice.
    ///
    /// # Errors
    /// [`SpeakError::Unavailable`] where there is none, [`SpeakError::NoVoice`] when it does not know the voice.
    pub fn open(settings: &VoiceSettings) -> Result<Self, SpeakError> {
        Self::with_program("say", settings)
    }

    /// The same with another program of the same usage.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_program(
        program: impl Into<PathBuf>,
        settings: &VoiceSettings,
    ) -> Result<Self, SpeakError> {
        let rate = settings.rate.unwrap_or(1.0).clamp(0.3, 3.0);
        let (program, voice) = (program.into(), settings.voice.clone());
        let listed = Command::new(&program)
            .args(["-v", "?"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| unavailable(&error))?;
        let known = String::from_utf8_lossy(&listed.stdout);
        let own = match &voice {
            Some(voice) => Some(known.lines().find(|line| lists(line, voice)).ok_or_else(
                || SpeakError::NoVoice {
                    voice: voice.clone(),
                },
            )?),
            None => None,
        };
        let own_code = own.and_then(|line| Some(listed_as(line)?.0));
        let voices = known.lines().filter_map(listed_as);
        Ok(Self {
            program,
            voices: Languages::new(voice, own_code, voices),
            words_per_minute: (WORDS_PER_MINUTE * rate).round() as u32,
        })
    }

    fn write(&self, text: &str, file: &Path) -> Result<(), SpeakError> {
        let mut command = Command::new(&self.program);
        command
            .args(["--file-format=WAVE", "--data-format=LEI16@22050", "-o"])
            .arg(file)
            .args(["-r", &self.words_per_minute.to_string()]);
        if let Some(voice) = self.voices.voice() {
            command.args(["-v", voice]);
        }
        let mut child = command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| unavailable(&error))?;
        let mut input = child.stdin.take().expect("standard input is piped");
        let written = input.write_all(text.as_bytes());
        drop(input);
        let status = child.wait().map_err(|error| failed(&error))?;
        // A child that fails closes its input early; its status says more than the broken pipe.
        if !status.success() {
            return Err(failed(&status));
        }
        written.map_err(|error| failed(&error))
    }
}

impl Synthesizer for Say {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn languages(&self) -> Vec<String> {
        self.voices.codes()
    }

    fn set_language(&mut self, code: Option<&str>) -> bool {
        self.voices.choose(code)
    }

    fn synthesize(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        if !text.contains(char::is_alphanumeric) {
            return Ok(());
        }
        let file = TemporaryFile::reserve().map_err(|error| failed(&error))?;
        // Double brackets would be taken for embedded commands.
        self.write(&text.replace("[[", "[ ["), &file.0)?;
        let reader = hound::WavReader::open(&file.0).map_err(|error| failed(&error))?;
        let spec = reader.spec();
        let channels = usize::from(spec.channels.max(1));
        let samples: Result<Vec<i16>, _> = reader.into_samples::<i16>().step_by(channels).collect();
        let samples = samples.map_err(|error| failed(&error))?;
        let mut piece = Vec::with_capacity(PIECE_SAMPLES);
        for chunk in samples.chunks(PIECE_SAMPLES) {
            piece.clear();
            piece.extend(chunk.iter().map(|sample| f32::from(*sample) / 32_768.0));
            let speech = SpeechPiece {
                rate: spec.sample_rate,
                samples: &piece,
            };
            if on_piece(speech).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// "Samantha            en_US    # Hello!": the name may hold blanks and ends before two of them.
fn lists(line: &str, voice: &str) -> bool {
    let name = line.split("  ").next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case(voice)
}

/// The language's code and the voice's name of such a line.
fn listed_as(line: &str) -> Option<(String, String)> {
    let before = line.split('#').next().unwrap_or_default().trim_end();
    let (name, tag) = before.rsplit_once(' ')?;
    Some((code_of(tag)?.to_owned(), name.trim().to_owned()))
}

/// A file of ours in the folder for temporary files, removed on drop.
#[derive(Debug)]
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// Creates it empty and readable for the user alone: the sound holds what was said.
    fn reserve() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hark-say-{}-{number}.wav", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(engine = ENGINE, %error, "a temporary file was left behind");
        }
    }
}

fn unavailable(error: &std::io::Error) -> SpeakError {
    let reason = if error.kind() == ErrorKind::NotFound {
        "it is part of macOS only".to_owned()
    } else {
        error.to_string()
    };
    SpeakError::Unavailable {
        engine: ENGINE,
        reason,
    }
}

fn failed(reason: &impl ToString) -> SpeakError {
    SpeakError::Failed {
        engine: ENGINE,
        reason: reason.to_string(),
    }
}

/// The normal speed of most of its voices.
const WORDS_PER_MINUTE: f32 = 180.0;

/// 93 ms at 22,050 Hz.
const PIECE_SAMPLES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_tells_who_speaks_what() {
        let line = "Bad News            en_US    # The light you see...";
        assert_eq!(
            listed_as(line),
            Some(("en".to_owned(), "Bad News".to_owned()))
        );
        let line = "Eddy (German (Germany)) de_DE    # Hallo! Ich heiße Eddy.";
        let found = listed_as(line).map(|(code, _)| code);
        assert_eq!(found.as_deref(), Some("de"));
        assert_eq!(listed_as(""), None);
    }
}
