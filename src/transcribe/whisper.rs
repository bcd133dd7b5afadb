//! Whisper through whisper.cpp.
//!
//! Owns the model and one decoding state; lives on the whisper thread or on a command's own thread. Promises: a damaged
//! file is an error and never a crash; nothing that was heard before can influence the next result; silence gives no
//! text; the C library writes nothing to the terminal (its messages go to `tracing` as `whisper_rs`). Which audio holds
//! speech, and when to transcribe, is decided by others.
//!
//! **Encoder context.** The encoder's time grows with its context, whatever the audio (measured with a 4-layer model of
//! 128 dimensions, one thread, x86: 3 s of audio take 64 ms of CPU at 256 positions and 1216 ms at the full 1500; 50
//! positions are a second). With flash attention whisper.cpp 1.8.3 rounds keys up to a multiple of 256 without a mask, and
//! what it reads there is whatever an earlier encoding left: earlier audio leaks into the next text. So the context is
//! always a multiple of 256. 1500 is none, and the layers of the cross-attention cache lie at other offsets with it
//! (measured: 1500 after 768 in one state changed the probability of every token), so it is used for every piece of a
//! state or for none. `tests/transcribe/leak.rs` shows the leak and its absence.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState,
};

use super::ggml::{self, Shape};
use super::guards::{self, Evidence, GuardPolicy};
use super::hints;
use super::split;
use super::tokens::{SAMPLES_A_POSITION, Token, stretches};
use super::{Abort, Segment, TranscribeError, TranscribeOptions, Transcriber, Transcription};
use crate::platform::clock::Clock;
use crate::platform::gpu;
use crate::private::Private;
use crate::time::{SAMPLE_RATE, samples_to_duration};

/// How much of the encoder is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderContext {
    /// As much as the audio fills, in steps of 256 positions (5.12 s), at most 1280; longer audio is cut.
    Fitted,
    /// All 1500 positions for every piece, as the models were trained: five times slower on a short question.
    Full,
}

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WhisperSettings {
    /// Threads for the CPU part. All cores are never right: the workers spin at each barrier, and with one more busy
    /// process the whole becomes several times slower.
    pub threads: usize,
    /// Whether the GPU is used where this build has one.
    pub gpu: bool,
    /// Flash attention: meant for the GPU. On the CPU it is three to five times slower (measured as in the module
    /// documentation: 189 against 64 ms at 256 positions, 5803 against 1216 ms at 1500).
    pub flash_attention: bool,
    /// See [`EncoderContext`].
    pub context: EncoderContext,
    /// Which text is believed.
    pub guards: GuardPolicy,
    /// Mean log-probability below which the piece is decoded once more, with five hypotheses at a time, and the better text
    /// is kept. Three hypotheses more cost as much as the first again; most pieces never need it.
    pub doubtful_logprob: f32,
}

impl Default for WhisperSettings {
    fn default() -> Self {
        let gpu = gpu::speech_on_gpu();
        Self {
            threads: default_threads(),
            gpu,
            flash_attention: gpu,
            context: EncoderContext::Fitted,
            guards: GuardPolicy::default(),
            doubtful_logprob: -0.6,
        }
    }
}

/// All cores but one, between one and four: beyond four, whisper.cpp gains little.
#[must_use]
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 4))
}

/// How long the start took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadTimings {
    /// Checking and reading the file, and making the state.
    pub load: Duration,
    /// The first transcription, of one second of faint noise: it allocates the buffers and, on a GPU, compiles.
    pub warm_up: Duration,
}

/// A loaded Whisper model. See the module documentation.
pub struct Whisper {
    name: String,
    shape: Shape,
    settings: WhisperSettings,
    context: WhisperContext,
    state: WhisperState,
    /// Parameters with the language set. whisper-rs leaks a string at each `set_language`, so each language gets one set
    /// for the life of the model.
    params: Vec<(&'static str, Pass, FullParams<'static, 'static>)>,
    /// Words of the user, see [`super::hints`].
    hints: Vec<String>,
    /// What a model that takes a prompt is told: the assistant's name and those words.
    prompted: Vec<String>,
    timings: LoadTimings,
    clock: Clock,
}

impl std::fmt::Debug for Whisper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whisper")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Whisper {
    /// Loads the model in `path`, to be known as `name`, and warms it up. Takes from 0.1 s to seconds.
    ///
    /// # Errors
    /// [`TranscribeError::Model`] when the file is missing, damaged, or no Whisper model.
    pub fn load(
        name: &str,
        path: &Path,
        settings: WhisperSettings,
    ) -> Result<Self, TranscribeError> {
        let refuse = |reason: String| refused(path, reason);
        let clock = Clock::start();
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(refuse("it is not a file".to_owned()));
        }
        let shape = ggml::inspect(&mut BufReader::new(file)).map_err(refuse)?;
        let text = path
            .to_str()
            .ok_or_else(|| refuse("its path is not valid UTF-8".to_owned()))?;
        route_messages_of_the_c_library();
        let context = WhisperContext::new_with_params(text, parameters(settings))
            .map_err(|error| refuse(error.to_string()))?;
        Self::start(name, path, shape, settings, context, clock)
    }

    /// Loads a model that is already in memory (one compiled into the binary).
    ///
    /// # Errors
    /// As [`Self::load`]; the path in the error is `name`.
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        settings: WhisperSettings,
    ) -> Result<Self, TranscribeError> {
        let path = PathBuf::from(name);
        let clock = Clock::start();
        let shape =
            ggml::inspect(&mut Cursor::new(bytes)).map_err(|reason| refused(&path, reason))?;
        route_messages_of_the_c_library();
        let context = WhisperContext::new_from_buffer_with_params(bytes, parameters(settings))
            .map_err(|error| refused(&path, error.to_string()))?;
        Self::start(name, &path, shape, settings, context, clock)
    }

    fn start(
        name: &str,
        path: &Path,
        shape: Shape,
        settings: WhisperSettings,
        context: WhisperContext,
        clock: Clock,
    ) -> Result<Self, TranscribeError> {
        let state = context
            .create_state()
            .map_err(|error| refused(path, error.to_string()))?;
        let mut whisper = Self {
            name: name.to_owned(),
            shape,
            settings,
            context,
            state,
            params: Vec::new(),
            hints: Vec::new(),
            prompted: Vec::new(),
            timings: LoadTimings {
                load: clock.now().since_start(),
                warm_up: Duration::ZERO,
            },
            clock,
        };
        whisper
            .warm_up()
            .map_err(|error| refused(path, error.to_string()))?;
        Ok(whisper)
    }

    /// Runs once, so that the first question does not wait for buffers and shaders.
    fn warm_up(&mut self) -> Result<(), TranscribeError> {
        let begun = self.clock.now();
        let noise = faint_noise(SAMPLE_RATE as usize);
        self.decode(
            &noise,
            &TranscribeOptions::default(),
            &Abort::default(),
            Pass::First,
        )?;
        self.timings.warm_up = self.clock.now().since(begun);
        tracing::info!(
            model = self.name,
            load_ms = self.timings.load.as_millis() as u64,
            warm_up_ms = self.timings.warm_up.as_millis() as u64,
            threads = self.settings.threads,
            gpu = self.settings.gpu,
            "speech model ready"
        );
        Ok(())
    }

    /// Tells the model of words that it may not know. A model that takes no prompt (the starter was never given one) has its
    /// doubtful words compared with the hints; not with the `name`, which is too near to other words. Call it before the first transcription; each call leaks a few bytes in the binding.
    pub fn set_hints(&mut self, name: Option<&str>, hints: &[String]) {
        self.hints = hints.to_vec();
        self.prompted = name
            .map(str::to_owned)
            .into_iter()
            .chain(self.hints.clone())
            .collect();
        self.params.clear();
    }

    /// How long loading and warming up took.
    #[must_use]
    pub fn timings(&self) -> LoadTimings {
        self.timings
    }

    /// Whether the model knows languages other than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.shape.multilingual
    }

    /// The tokens of the last piece that was decoded, for measurements and tests. No guard has seen them.
    #[must_use]
    pub fn last_tokens(&self) -> Vec<Token> {
        self.state
            .as_iter()
            .flat_map(|segment| {
                (0..segment.n_tokens())
                    .filter_map(|index| {
                        let token = segment.get_token(index)?;
                        let data = token.token_data();
                        let bytes = token.to_bytes().unwrap_or_default().to_vec();
                        Some(Token {
                            id: data.id,
                            probability: data.p,
                            logprob: data.plog,
                            bytes: Private::new(bytes),
                        })
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Checks the language against the model.
    ///
    /// # Errors
    /// [`TranscribeError::Language`] with what to do.
    pub fn check_language(&self, language: &str) -> Result<(), TranscribeError> {
        if language == "en" || (language == "auto") {
            return Ok(());
        }
        let known = !language.contains('\0') && whisper_rs::get_lang_id(language).is_some();
        let reason = if !known {
            format!(
                "\"{language}\" is no language code of Whisper; use one such as en, de, fr, ja, or auto"
            )
        } else if !self.shape.multilingual {
            format!(
                "the model {} knows English only; pull a multilingual one, for example: hark models pull base",
                self.name
            )
        } else {
            return Ok(());
        };
        Err(TranscribeError::Language {
            language: language.to_owned(),
            reason,
        })
    }

    /// Where to cut the audio, and whether the model itself is asked for times.
    fn pieces(&self, samples: &[f32], options: &TranscribeOptions) -> Vec<Range<usize>> {
        let longest = longest_piece(self.settings.context);
        if options.timestamps && !self.shape.timestamps {
            split::cut_at_pauses(samples, longest.min(LONGEST_SUBTITLE))
        } else {
            split::cut_long(samples, longest)
        }
    }

    /// Runs the model once on one piece, which must fit into the context.
    fn decode(
        &mut self,
        piece: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
        pass: Pass,
    ) -> Result<(), TranscribeError> {
        let mut padded;
        let audio = if piece.len() < SHORTEST {
            // whisper.cpp ignores audio below 0.1 s and handles very short audio badly.
            padded = piece.to_vec();
            padded.resize(SHORTEST, 0.0);
            &padded
        } else {
            piece
        };
        let mut params = self.params_for(&options.language, pass);
        params.set_audio_ctx(
            c_int::try_from(context_for(audio.len(), self.settings.context)).expect("at most 1500"),
        );
        params.set_max_tokens(most_tokens(audio.len()));
        params.set_no_timestamps(!(options.timestamps && self.shape.timestamps));
        // SAFETY: `asked` is a C function that reads an `AtomicBool` and cannot unwind; the pointer is to the flag behind
        // `abort`, which is borrowed beyond the call of `full`, and `params` is consumed by it.
        unsafe {
            params.set_abort_callback(Some(asked));
            params.set_abort_callback_user_data(std::ptr::from_ref(abort.flag()).cast_mut().cast());
        }
        match self.state.full(params, audio) {
            _ if abort.requested() => Err(TranscribeError::Aborted),
            Ok(()) => Ok(()),
            Err(error) => Err(TranscribeError::Inference(error.to_string())),
        }
    }

    /// A copy of the parameters for `language`, made at its first use.
    fn params_for(&mut self, language: &str, pass: Pass) -> FullParams<'static, 'static> {
        let language = if self.shape.multilingual {
            static_code(language)
        } else {
            "en"
        };
        let known = self
            .params
            .iter()
            .find(|(known, of, _)| *known == language && *of == pass);
        if let Some((.., params)) = known {
            return params.clone();
        }
        let mut params = FullParams::new(pass.strategy());
        if let Some(prompt) = hints::prompt(&self.prompted).filter(|_| self.shape.timestamps) {
            params.set_initial_prompt(&prompt);
        }
        params.set_language(Some(language));
        params.set_n_threads(
            c_int::try_from(self.settings.threads.clamp(1, 64)).expect("at most 64"),
        );
        params.set_no_context(true);
        params.set_single_segment(true);
        // One pass: fallbacks at higher temperatures cost up to five more and invent more on noise.
        params.set_temperature_inc(0.0);
        // With it, the first token cannot be the end, and silence must become some text.
        params.set_suppress_blank(false);
        // `no_speech_prob` is read from the wrong row when times are off: never let it discard text.
        params.set_no_speech_thold(2.0);
        params.set_print_special(false);
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_timestamps(false);
        self.params.push((language, pass, params.clone()));
        params
    }

    /// The text of the last decoded piece, guarded, as segments placed in the whole audio.
    fn segments(&self, tokens: &[Token], piece: &Range<usize>, speech: Duration) -> Vec<Segment> {
        let first_time = self.context.token_beg();
        let words = stretches(tokens, self.context.token_eot(), first_time, piece.len());
        let mut segments = Vec::new();
        for stretch in words {
            let evidence = Evidence {
                text: &stretch.text,
                logprob: stretch.logprob,
                speech,
            };
            match guards::judge(&self.settings.guards, &evidence) {
                Ok(text) if self.echoed(&text, stretch.logprob) => {
                    tracing::debug!(
                        logprob = stretch.logprob,
                        "hints that came back were refused"
                    );
                }
                Ok(text) => segments.push(Segment {
                    start: samples_to_duration((piece.start + stretch.range.start) as u64),
                    end: samples_to_duration((piece.start + stretch.range.end) as u64),
                    text: Private::new(hints::apply(&text, &stretch.words, &self.hints)),
                    confidence: stretch.confidence,
                }),
                Err(guards::Refusal::Empty) => {}
                Err(refusal) => {
                    tracing::debug!(?refusal, logprob = stretch.logprob, "text refused")
                }
            }
        }
        segments
    }

    /// Whether the text is only what the model was told of, and it is not sure of that.
    fn echoed(&self, text: &str, logprob: f32) -> bool {
        logprob < self.settings.guards.sure_logprob && hints::echoes(text, &self.prompted)
    }

    /// Decodes a piece, a second time where the first text is doubtful; gives the tokens of the better one.
    fn read(
        &mut self,
        audio: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
    ) -> Result<Vec<Token>, TranscribeError> {
        self.decode(audio, options, abort, Pass::First)?;
        let first = self.last_tokens();
        let end = self.context.token_eot();
        let (sure, words) = mean_logprob(&first, end);
        if words == 0 || sure >= self.settings.doubtful_logprob {
            return Ok(first);
        }
        self.decode(audio, options, abort, Pass::Second)?;
        let second = self.last_tokens();
        let (surer, words) = mean_logprob(&second, end);
        Ok(if words > 0 && surer > sure {
            second
        } else {
            first
        })
    }

    fn language(&self, asked: &str) -> String {
        if !self.shape.multilingual {
            return "en".to_owned();
        }
        let found = whisper_rs::get_lang_str(self.state.full_lang_id_from_state());
        found.unwrap_or(asked).to_owned()
    }

    /// [`Transcriber::transcribe`], telling after each piece how many samples are done.
    ///
    /// # Errors
    /// As there.
    pub fn transcribe_long(
        &mut self,
        samples: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
        done: &mut dyn FnMut(usize),
    ) -> Result<Transcription, TranscribeError> {
        let whole = 0..samples.len();
        self.transcribe_stretches(samples, &[whole], options, abort, done)
    }

    /// As [`Self::transcribe_long`], of some stretches of the audio only, in order: nothing outside of them is read, and each
    /// is read by itself.
    ///
    /// # Errors
    /// As there.
    pub fn transcribe_stretches(
        &mut self,
        samples: &[f32],
        stretches: &[Range<usize>],
        options: &TranscribeOptions,
        abort: &Abort,
        done: &mut dyn FnMut(usize),
    ) -> Result<Transcription, TranscribeError> {
        self.check_language(&options.language)?;
        let start = self.clock.now();
        let cleaned = without_non_finite(samples);
        let samples = cleaned.as_deref().unwrap_or(samples);
        let mut segments = Vec::new();
        let mut language = None;
        let pieces: Vec<Range<usize>> = stretches
            .iter()
            .flat_map(|stretch| {
                let inner = self.pieces(&samples[stretch.clone()], options);
                let from = stretch.start;
                inner
                    .into_iter()
                    .map(move |piece| piece.start + from..piece.end + from)
            })
            .collect();
        for piece in pieces {
            if abort.requested() {
                return Err(TranscribeError::Aborted);
            }
            let audio = &samples[piece.clone()];
            let speech = split::loud_samples(audio);
            if speech > 0 {
                let tokens = self.read(audio, options, abort)?;
                language.get_or_insert_with(|| self.language(&options.language));
                segments.extend(self.segments(&tokens, &piece, samples_to_duration(speech as u64)));
            }
            done(piece.end);
        }
        let elapsed = self.clock.now().since(start);
        let language = language.unwrap_or_else(|| silent_language(&options.language));
        Ok(joined(segments, language, elapsed))
    }
}

impl Transcriber for Whisper {
    fn model(&self) -> &str {
        &self.name
    }

    fn transcribe(
        &mut self,
        samples: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
    ) -> Result<Transcription, TranscribeError> {
        self.transcribe_long(samples, options, abort, &mut |_| {})
    }
}

/// How a piece is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The most probable token after the other.
    First,
    /// Five hypotheses at a time.
    Second,
}

impl Pass {
    const fn strategy(self) -> SamplingStrategy {
        match self {
            Self::First => SamplingStrategy::Greedy { best_of: 1 },
            Self::Second => SamplingStrategy::BeamSearch {
                beam_size: 5,
                patience: -1.0,
            },
        }
    }
}

/// Mean log-probability of the text tokens and the end, and how many of them are text.
fn mean_logprob(tokens: &[Token], end: i32) -> (f32, usize) {
    let counted = tokens.iter().filter(|token| token.id <= end);
    let (sum, count) = counted.fold((0.0, 0), |(sum, count), token| {
        (sum + token.logprob, count + 1)
    });
    let words = tokens.iter().filter(|token| token.id < end).count();
    (sum / count.max(1) as f32, words)
}

/// Encoder positions for `samples` of audio: 50 a second and a third of a second more, in steps of 256.
#[must_use]
pub fn context_for(samples: usize, context: EncoderContext) -> usize {
    match context {
        EncoderContext::Full => FULL_CONTEXT,
        EncoderContext::Fitted => {
            let positions = samples.div_ceil(SAMPLES_A_POSITION) + MARGIN;
            positions.next_multiple_of(CONTEXT_STEP).min(MOST_FITTED)
        }
    }
}

/// The longest audio that one run of the model takes.
fn longest_piece(context: EncoderContext) -> usize {
    match context {
        EncoderContext::Fitted => (MOST_FITTED - MARGIN) * SAMPLES_A_POSITION,
        EncoderContext::Full => FULL_CONTEXT * SAMPLES_A_POSITION,
    }
}

const CONTEXT_STEP: usize = 256;
const FULL_CONTEXT: usize = 1500;
/// The largest multiple of [`CONTEXT_STEP`] below the full context: 25.6 s.
const MOST_FITTED: usize = 1280;
/// Positions of silence (0.32 s) that the decoder sees after the audio: it ends better there than at a cut.
const MARGIN: usize = 16;
/// Audio is filled up with silence to this length (0.5 s).
const SHORTEST: usize = SAMPLE_RATE as usize / 2;
/// The longest subtitle (7 s) of models that give no times.
const LONGEST_SUBTITLE: usize = 7 * SAMPLE_RATE as usize;

/// Tokens that can be spoken in that time: 12 a second is twice a fast speaker's rate. It bounds a looping decoder.
fn most_tokens(samples: usize) -> c_int {
    c_int::try_from(samples * 12 / SAMPLE_RATE as usize + 16).map_or(220, |most| most.min(220))
}

fn parameters(settings: WhisperSettings) -> WhisperContextParameters<'static> {
    let mut parameters = WhisperContextParameters::new();
    parameters
        .use_gpu(settings.gpu)
        .flash_attn(settings.flash_attention);
    parameters
}

fn refused(path: &Path, reason: String) -> TranscribeError {
    TranscribeError::Model {
        path: path.to_owned(),
        reason,
    }
}

fn route_messages_of_the_c_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(whisper_rs::install_logging_hooks);
}

/// Called by whisper.cpp between the steps of its work.
unsafe extern "C" fn asked(flag: *mut c_void) -> bool {
    // SAFETY: `decode` passes a pointer to an `AtomicBool` that outlives the call into whisper.cpp.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Acquire)
}

/// A copy with zeros where a sample is no number, `None` when all are: one NaN would make the whole spectrum NaN.
fn without_non_finite(samples: &[f32]) -> Option<Vec<f32>> {
    if samples.iter().all(|sample| sample.is_finite()) {
        return None;
    }
    Some(
        samples
            .iter()
            .map(|sample| if sample.is_finite() { *sample } else { 0.0 })
            .collect(),
    )
}

/// Deterministic noise at about −50 dBFS.
fn faint_noise(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 65_536.0 * 0.01 - 0.005
        })
        .collect()
}

/// Whisper's own spelling of a language that was checked before; "auto" stays.
fn static_code(language: &str) -> &'static str {
    let id = if language == "auto" {
        None
    } else {
        whisper_rs::get_lang_id(language)
    };
    id.and_then(whisper_rs::get_lang_str).unwrap_or("auto")
}

/// The language of audio without speech: what was asked for, if it is one.
fn silent_language(asked: &str) -> String {
    if asked == "auto" {
        "en".to_owned()
    } else {
        asked.to_owned()
    }
}

fn joined(segments: Vec<Segment>, language: String, elapsed: Duration) -> Transcription {
    let words: Vec<&str> = segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    let text = words.join(" ");
    let weight: f32 = segments
        .iter()
        .map(|segment| segment.text.as_str().len() as f32)
        .sum();
    let sum: f32 = segments
        .iter()
        .map(|segment| segment.confidence * segment.text.as_str().len() as f32)
        .sum();
    let confidence = if weight > 0.0 { sum / weight } else { 0.0 };
    Transcription {
        text: Private::new(text),
        segments,
        language,
        confidence,
        elapsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_a_multiple_of_256_and_holds_the_audio() {
        for samples in [
            1,
            8_000,
            48_000,
            76_800,
            76_801,
            160_000,
            300_000,
            longest_piece(EncoderContext::Fitted),
        ] {
            let context = context_for(samples, EncoderContext::Fitted);
            assert_eq!(context % 256, 0);
            assert!(
                context <= 1280 && context * SAMPLES_A_POSITION >= samples,
                "{samples}: {context}"
            );
        }
        assert_eq!(context_for(3 * 16_000, EncoderContext::Fitted), 256);
        assert_eq!(context_for(3 * 16_000, EncoderContext::Full), 1500);
    }

    #[test]
    fn a_sample_that_is_no_number_becomes_silence() {
        assert_eq!(
            without_non_finite(&[0.5, f32::NAN, f32::INFINITY]),
            Some(vec![0.5, 0.0, 0.0])
        );
        assert_eq!(without_non_finite(&[0.5]), None);
    }
}
