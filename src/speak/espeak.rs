//! espeak-ng as a child process that streams its samples.
//!
//! One child a text: it starts in about 10 ms and is killed on `Break` or drop, so none outlives the call. The text goes
//! through its standard input, where `ps` does not show it. The header of its WAV is skipped unread, since its lengths
//! are false (measured with 1.51: 0x7ffff024 for every text); what follows are 16-bit samples at 22,050 Hz.

use std::io::{ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::platform;

use super::languages::{Languages, code_of};
use super::{SpeakError, SpeechPiece, Synthesizer, VoiceSettings};

/// Its name in `tts.engine`.
pub const ENGINE: &str = "espeak-ng";

/// The engine, ready to start children.
#[derive(Debug)]
pub struct Espeak {
    program: PathBuf,
    voices: Languages,
    words_per_minute: u32,
}

impl Espeak {
    /// Finds the program and checks that it has the voice.
    ///
    /// # Errors
    /// [`SpeakError::Unavailable`] when it is not installed, [`SpeakError::NoVoice`] when it does not know the voice.
    pub fn open(settings: &VoiceSettings) -> Result<Self, SpeakError> {
        Self::with_program("espeak-ng", settings)
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
        let program = program.into();
        let voice = settings.voice.clone().unwrap_or_else(|| VOICE.to_owned());
        // espeak-ng itself takes "no-such" for Norwegian, so the name is looked for in its list (a few milliseconds).
        let listed = Command::new(&program)
            .arg("--voices")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| unavailable(&error))?;
        let list = String::from_utf8_lossy(&listed.stdout);
        if !lists_voice(&list, &voice) {
            return Err(SpeakError::NoVoice { voice });
        }
        Ok(Self {
            program,
            voices: languages(&list, voice),
            words_per_minute: (WORDS_PER_MINUTE * rate).round() as u32,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--stdin", "-v", self.voices.voice().unwrap_or(VOICE), "-s"])
            .arg(self.words_per_minute.to_string());
        command
    }

    fn start(&self) -> Result<Reaped, SpeakError> {
        self.command()
            .arg("--stdout")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Reaped)
            .map_err(|error| unavailable(&error))
    }
}

impl Synthesizer for Espeak {
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
        let mut child = self.start()?;
        let stopped = child.say(text, on_piece)?;
        let status = child.0.wait().map_err(failed)?;
        if stopped || status.success() {
            return Ok(());
        }
        Err(SpeakError::Failed {
            engine: ENGINE,
            reason: status.to_string(),
        })
    }
}

/// Gives the samples as they come; whether the receiver had enough.
fn stream(
    mut output: impl Read,
    on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
) -> std::io::Result<bool> {
    let mut header = HEADER_BYTES;
    let mut bytes = vec![0; PIECE_BYTES];
    let mut kept = 0;
    let mut samples = Vec::with_capacity(PIECE_BYTES / 2);
    loop {
        let read = match output.read(&mut bytes[kept..]) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = kept + read;
        let skipped = header.min(end);
        header -= skipped;
        let whole = skipped + (end - skipped) / 2 * 2;
        samples.clear();
        samples.extend(
            bytes[skipped..whole]
                .chunks_exact(2)
                .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0),
        );
        // A read may end within a sample: its first half waits for the next one.
        bytes.copy_within(whole..end, 0);
        kept = end - whole;
        let piece = SpeechPiece {
            rate: RATE,
            samples: &samples,
        };
        if !samples.is_empty() && on_piece(piece).is_break() {
            return Ok(true);
        }
    }
}

/// A child that does not outlive this value.
#[derive(Debug)]
struct Reaped(Child);

impl Reaped {
    /// Lets it say `text`; whether the receiver had enough before the end.
    fn say(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<bool, SpeakError> {
        let mut input = self.0.stdin.take().expect("standard input is piped");
        let output = self.0.stdout.take().expect("standard output is piped");
        // Double brackets would be taken for phoneme names.
        let text = text.replace("[[", "[ [");
        std::thread::scope(|scope| {
            // A long text fills the pipe before the child has read it, while we must read the child's samples.
            let writer = std::thread::Builder::new()
                .name("espeak-text".to_owned())
                .spawn_scoped(scope, move || input.write_all(text.as_bytes()))
                .map_err(failed)?;
            let stopped = stream(output, on_piece).map_err(failed)?;
            if stopped {
                self.kill();
            }
            match writer.join() {
                // A child that was killed or that failed closes the pipe; its status tells which.
                Ok(Err(error)) if error.kind() != ErrorKind::BrokenPipe => Err(failed(error)),
                Ok(_) => Ok(stopped),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn kill(&mut self) {
        if let Err(error) = self.0.kill() {
            tracing::warn!(engine = ENGINE, %error, "the speech engine could not be stopped");
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
            if let Err(error) = self.0.wait() {
                tracing::warn!(engine = ENGINE, %error, "the speech engine was not reaped");
            }
        }
    }
}

fn unavailable(error: &std::io::Error) -> SpeakError {
    let reason = if error.kind() == ErrorKind::NotFound {
        format!(
            "it is not installed; install it with: {}",
            platform::install_command("espeak-ng")
        )
    } else {
        error.to_string()
    };
    SpeakError::Unavailable {
        engine: ENGINE,
        reason,
    }
}

fn failed(error: std::io::Error) -> SpeakError {
    SpeakError::Failed {
        engine: ENGINE,
        reason: error.to_string(),
    }
}

/// The voice when none is named.
const VOICE: &str = "en-us";

/// espeak-ng's own normal speed.
const WORDS_PER_MINUTE: f32 = 175.0;

/// The rate of its voices.
const RATE: u32 = 22_050;

const HEADER_BYTES: usize = 44;

/// 93 ms of speech: small enough to begin at once, large enough to cost nothing.
const PIECE_BYTES: usize = 4096;

/// Whether espeak-ng's list (priority, language, gender, name, file, other languages) holds `voice`, a variant behind a plus
/// sign left aside: by language, by name, by file, or by another language that a voice also speaks.
fn lists_voice(list: &str, voice: &str) -> bool {
    let wanted = voice.split('+').next().unwrap_or_default();
    list.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        let language = fields.nth(1);
        let (name, file) = (fields.nth(1), fields.next());
        let base = file.and_then(|file| file.rsplit('/').next());
        let others = fields.map(|field| field.trim_start_matches('('));
        [language, name, file, base]
            .into_iter()
            .flatten()
            .chain(others)
            .any(|known| known.eq_ignore_ascii_case(wanted))
    })
}

/// The voices of such a list by the languages that they speak.
fn languages(list: &str, own: String) -> Languages {
    let lines: Vec<&str> = list.lines().skip(1).collect();
    let own_line = lines
        .iter()
        .find(|line| lists_voice(&format!("\n{line}"), &own));
    let own_code = own_line.and_then(|line| spoken_by(line).next().map(|(_, code)| code));
    let voices = lines.iter().flat_map(|line| spoken_by(line));
    let mut voices: Vec<(String, String)> = voices
        .map(|(voice, code)| (code.to_owned(), voice.to_owned()))
        .collect();
    // "pt" speaks Portuguese before "pt-br" does; where none has the bare name the list's own order counts.
    voices.sort_by_key(|(code, voice)| code != voice);
    Languages::new(Some(own), own_code.map(str::to_owned), voices)
}

/// The voice of a line with each ISO 639-1 code that it speaks: its own, then those in parentheses ("(zh-cmn 5)(zh 5)").
fn spoken_by(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut fields = line.split_whitespace();
    let voice = fields.nth(1).unwrap_or_default();
    // Language, gender, name and file stand before them.
    let others = fields.skip(3).filter_map(|field| field.rsplit('(').next());
    std::iter::once(voice)
        .chain(others)
        .filter_map(move |tag| Some((voice, code_of(tag)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 5  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  nb              --/M      Norwegian_Bokmål   gmq/nb               (no 5)
";

    #[test]
    fn a_voice_is_known_by_language_name_or_file_and_a_variant_does_not_matter() {
        for voice in [
            "en-us",
            "EN-US",
            "en",
            "en-us+f3",
            "gmw/en-US",
            "English_(America)",
            "no",
        ] {
            assert!(lists_voice(LIST, voice), "{voice}");
        }
        for voice in ["no-such", "xyzzy", "", "+f3"] {
            assert!(!lists_voice(LIST, voice), "{voice}");
        }
    }
}
