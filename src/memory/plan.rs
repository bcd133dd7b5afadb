//! What fits before anything is loaded: the system's share, the voice, the language model, and what is left.
//!
//! Core. [`Plan::make`] starts from what is wanted and gives way in this order: the context and the prompt caches shrink,
//! then a smaller Whisper is taken, then the language model is refused in favour of a smaller one. The voice (hearing,
//! waking, echo cancellation, speaking) is reserved before anything else and never given up. A part that is granted leaves a
//! margin: a ninth of the machine while there is something to shrink, a thirty-second at the end, because a machine that
//! is planned to the last byte swaps.

use super::machine;
use super::server::{self, Engine, Term, Tuning};
use super::shape::Shape;
use super::voice::{SMALL_PARTS, TTS_BYTES, TTS_SOURCE, WhisperShape};
use super::{GIB, human};

/// A Whisper model that could be used, in words of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// Its name.
    pub name: String,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Its shape; `None` where neither name nor file tells it.
    pub shape: Option<WhisperShape>,
    /// What the manifest says that it takes, used where the shape is not known.
    pub told_bytes: u64,
    /// Order of quality, higher is better.
    pub rank: u32,
}

impl Speech {
    /// Bytes while it is loaded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self.shape {
            Some(shape) => self.file_bytes + shape.buffer_bytes(),
            None => self.told_bytes,
        }
    }

    fn term(&self) -> Term {
        let source = match self.shape {
            Some(shape) => format!(
                "{}: file {}, caches and work buffers {} by its shapes",
                self.name,
                human(self.file_bytes),
                human(shape.buffer_bytes())
            ),
            None => format!("{}: as its manifest says", self.name),
        };
        Term::new("whisper", self.bytes(), source)
    }
}

/// A language model that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Llm {
    /// What people call it.
    pub name: String,
    /// Whose server holds it.
    pub engine: Engine,
    /// What it takes.
    pub shape: Shape,
    /// Tokens of context that are wanted; fewer where the model was made for fewer.
    pub context: u64,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The machine's memory in bytes.
    pub total: u64,
    /// What the graphics processor may hold; `None` on a machine whose models are computed by the processor.
    pub gpu_limit: Option<u64>,
    /// `memory.os_reserve`, if it is set.
    pub os_reserve: Option<u64>,
    /// `memory.voice_reserve`, if it is set.
    pub voice_reserve: Option<u64>,
    /// The Whisper models that may be chosen from: one where the user has named it.
    pub speech: Vec<Speech>,
    /// The language models that are to be resident together: as a rule one.
    pub llms: Vec<Llm>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The machine's memory.
    pub total: u64,
    /// What the graphics processor may hold.
    pub gpu_limit: Option<u64>,
    /// The system's share and its source.
    pub os_reserve: Term,
    /// Every part with its size and source: the voice first.
    pub parts: Vec<Term>,
    /// The chosen Whisper model.
    pub speech: Option<String>,
    /// The chosen context of each language model, in their order.
    pub contexts: Vec<u64>,
    /// What each server is to be started with, in their order.
    pub tunings: Vec<Tuning>,
    /// Whether all of it fits.
    pub fits: bool,
    /// What was given up to make it fit, and what else could be done.
    pub advice: Vec<String>,
}

impl Plan {
    /// Makes the plan.
    #[must_use]
    pub fn make(wanted: &Wanted) -> Self {
        let mut speech: Vec<&Speech> = wanted.speech.iter().collect();
        speech.sort_by_key(|model| std::cmp::Reverse(model.rank));
        let best = speech.first().copied();
        let mut first_refusal = None;
        for (number, step) in steps(wanted, &speech).into_iter().enumerate() {
            let mut plan = Self::with(wanted, step.speech, step.context, step.lean);
            if plan.has_room(step.margin) {
                plan.fits = true;
                plan.advise_given_up(wanted, best, number > 0);
                return plan;
            }
            first_refusal = Some(plan);
        }
        // The last step is the smallest: what it shows is how much is missing at least.
        let mut plan = first_refusal.unwrap_or_else(|| Self::with(wanted, None, None, Lean::No));
        plan.advise_refusal(wanted);
        plan
    }

    /// Bytes that no part has; negative when there is too little.
    #[must_use]
    pub fn free_bytes(&self) -> i64 {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        signed(self.total) - signed(self.os_reserve.bytes) - signed(server::sum(&self.parts))
    }

    /// Bytes of the language models' parts.
    #[must_use]
    pub fn llm_bytes(&self) -> u64 {
        let parts = self
            .parts
            .iter()
            .filter(|part| LLM_PARTS.contains(&part.part));
        parts.map(|part| part.bytes).sum()
    }

    /// Bytes of the voice's parts.
    #[must_use]
    pub fn voice_bytes(&self) -> u64 {
        server::sum(&self.parts) - self.llm_bytes()
    }

    fn with(wanted: &Wanted, speech: Option<&Speech>, context: Option<u64>, lean: Lean) -> Self {
        let mut parts = voice(wanted, speech);
        let mut contexts = Vec::new();
        let mut tunings = Vec::new();
        for llm in &wanted.llms {
            let context = context
                .unwrap_or(llm.context)
                .min(llm.context)
                .min(llm.shape.max_context);
            let tuning = match lean {
                Lean::No => Tuning::full(llm.engine, context),
                Lean::Yes => Tuning::lean(llm.engine, context),
            };
            contexts.push(context);
            tunings.push(tuning);
            let mut terms = server::terms(&llm.shape, llm.engine, tuning);
            if wanted.llms.len() > 1 {
                for term in &mut terms {
                    term.source = format!("{}: {}", llm.name, term.source);
                }
            }
            parts.extend(terms);
        }
        Self {
            total: wanted.total,
            gpu_limit: wanted.gpu_limit,
            os_reserve: os_reserve(wanted),
            parts,
            speech: speech.map(|speech| speech.name.clone()),
            contexts,
            tunings,
            fits: false,
            advice: Vec::new(),
        }
    }

    /// Whether the parts leave `1/margin` of the machine, and the graphics processor has room for what it computes.
    fn has_room(&self, margin: u64) -> bool {
        let needed = i64::try_from(self.total / margin).unwrap_or(i64::MAX);
        self.free_bytes() >= needed && self.gpu_bytes() <= self.gpu_limit.unwrap_or(u64::MAX)
    }

    /// What the graphics processor holds: the language models and Whisper.
    fn gpu_bytes(&self) -> u64 {
        let whisper = self.parts.iter().find(|part| part.part == "whisper");
        self.llm_bytes() + whisper.map_or(0, |part| part.bytes)
    }

    fn advise_given_up(&mut self, wanted: &Wanted, best: Option<&Speech>, shrunk: bool) {
        if shrunk {
            for (llm, context) in wanted.llms.iter().zip(&self.contexts) {
                if *context < llm.context {
                    self.advice.push(format!(
                        "The context of {} is {context} tokens instead of {}: more does not leave room for the voice.",
                        llm.name, llm.context
                    ));
                }
            }
        }
        if let Some(best) = best
            && self.speech.as_ref() != Some(&best.name)
            && let Some(chosen) = &self.speech
        {
            self.advice.push(format!(
                "Whisper {chosen} instead of {}: the better one does not fit beside the language model.",
                best.name
            ));
        }
        if wanted.llms.len() > 1 {
            self.advice.push(
                "Both fit, but two resident servers halve each other's speed (73 to 35 and 60 to 48 tokens a second were measured): keep one, and change with `hark backend use NAME`.".to_owned(),
            );
        }
    }

    fn advise_refusal(&mut self, wanted: &Wanted) {
        let over_gpu = self
            .gpu_limit
            .map(|limit| (self.gpu_bytes(), limit))
            .filter(|(bytes, limit)| bytes > limit);
        if let Some((bytes, limit)) = over_gpu {
            self.advice.push(format!(
                "The graphics processor may hold {} of the {} that the models need: a run beyond it ends in an abort or a kernel panic.",
                human(limit),
                human(bytes)
            ));
        }
        if wanted.llms.len() > 1 {
            self.advice.push(
                "Keep one backend resident: `hark backend use NAME` drains and unloads the other first.".to_owned(),
            );
            return;
        }
        let (Some(llm), true) = (wanted.llms.first(), self.total > 0) else {
            self.advice.push(
                "Even the voice alone does not fit: choose a smaller speech model with stt.model, or lower memory.os_reserve.".to_owned(),
            );
            return;
        };
        let left = self
            .total
            .saturating_sub(self.os_reserve.bytes + self.voice_bytes() + self.total / LAST_MARGIN);
        let left = left.min(self.gpu_limit.map_or(u64::MAX, |limit| {
            limit.saturating_sub(self.gpu_bytes() - self.llm_bytes())
        }));
        let around = self.llm_bytes() - llm.shape.weights_bytes;
        let weights = left.saturating_sub(around);
        self.advice.push(format!(
            "Take a smaller model: beside the voice there is room for weights of about {}{}.",
            human(weights),
            smaller_in_words(weights)
        ));
    }
}

/// What the weights that fit could be, for people who do not count in bytes: 4-bit weights take 0.55 to 0.6 bytes a
/// parameter.
fn smaller_in_words(bytes: u64) -> String {
    let billions = bytes as f64 / 0.6e9;
    if billions < 1.0 {
        return String::new();
    }
    format!(", which is a model of at most {billions:.0} billion parameters at 4 bits")
}

/// How much of the prompt caches is kept.
#[derive(Clone, Copy)]
enum Lean {
    No,
    Yes,
}

/// One attempt, larger ones first.
struct Step<'a> {
    speech: Option<&'a Speech>,
    context: Option<u64>,
    lean: Lean,
    margin: u64,
}

fn steps<'a>(wanted: &Wanted, speech: &[&'a Speech]) -> Vec<Step<'a>> {
    let best = speech.first().copied();
    let step = |speech, context, lean, margin| Step {
        speech,
        context,
        lean,
        margin,
    };
    let mut steps = vec![step(best, None, Lean::No, MARGIN)];
    let largest = wanted.llms.iter().map(|llm| llm.context).max().unwrap_or(0);
    let smaller: Vec<u64> = [65_536, 32_768, 16_384, 8_192]
        .into_iter()
        .filter(|context| *context <= largest.max(8_192))
        .collect();
    // Nothing is shrunk for the sake of two at once: one of them is enough.
    if wanted.llms.len() > 1 {
        return steps;
    }
    if !wanted.llms.is_empty() {
        for context in &smaller {
            steps.push(step(best, Some(*context), Lean::Yes, MARGIN));
        }
        for context in &smaller {
            steps.push(step(best, Some(*context), Lean::Yes, LAST_MARGIN));
        }
    }
    let smallest = smaller.last().copied();
    for other in speech.iter().skip(1) {
        steps.push(step(Some(*other), smallest, Lean::Yes, LAST_MARGIN));
    }
    if wanted.llms.is_empty() {
        // Without a language model nothing else competes with the voice: the system's share is the margin.
        for step in &mut steps {
            step.margin = u64::MAX;
        }
    }
    steps
}

fn os_reserve(wanted: &Wanted) -> Term {
    match wanted.os_reserve {
        Some(bytes) => Term::new("os_reserve", bytes, "memory.os_reserve"),
        None => Term::new(
            "os_reserve",
            machine::os_reserve_bytes(wanted.total),
            format!(
                "the system and other programs on a machine of {}: published budget, straight lines between its points",
                human(wanted.total)
            ),
        ),
    }
}

/// The voice's parts; where `memory.voice_reserve` is larger than their sum, the rest is a part of its own.
fn voice(wanted: &Wanted, speech: Option<&Speech>) -> Vec<Term> {
    let mut parts: Vec<Term> = speech.map(Speech::term).into_iter().collect();
    let small = SMALL_PARTS.iter();
    parts.extend(small.map(|(part, bytes, source)| Term::new(part, *bytes, *source)));
    parts.push(Term::new("tts", TTS_BYTES, TTS_SOURCE));
    if let Some(reserve) = wanted.voice_reserve {
        let rest = reserve.saturating_sub(server::sum(&parts));
        if rest > 0 {
            parts.push(Term::new(
                "voice_rest",
                rest,
                "the rest of memory.voice_reserve",
            ));
        }
    }
    parts
}

/// What a speech model may take: what `memory.voice_reserve` leaves beside the other parts of the voice where it is set, else
/// what the machine has beside the system, the rest of the voice and a language model whose need is known. Where that need
/// is not known, a sixteenth of the machine.
#[must_use]
pub fn speech_budget(
    total: u64,
    os_reserve: Option<u64>,
    voice_reserve: Option<u64>,
    llm_bytes: Option<u64>,
) -> u64 {
    let small: u64 = SMALL_PARTS.iter().map(|(_, bytes, _)| bytes).sum();
    let others = small + TTS_BYTES;
    if let Some(reserve) = voice_reserve {
        return reserve.saturating_sub(others);
    }
    let reserve = os_reserve.unwrap_or_else(|| machine::os_reserve_bytes(total));
    let free = total.saturating_sub(reserve + others);
    match llm_bytes {
        Some(llm) => free.saturating_sub(llm + total / LAST_MARGIN),
        None => free.min(total / 16),
    }
}

/// The presets of `hark plan --model`.
pub const PRESETS: &[(&str, Engine, u64)] = &[
    ("gemma-26b-a4b-4bit", Engine::Mlx, 158 * GIB / 10),
    ("gemma-26b-a4b-q8", Engine::LlamaCpp, 275 * GIB / 10),
];

/// The preset `name` with a context of so many tokens.
#[must_use]
pub fn preset(name: &str, context: u64) -> Option<Llm> {
    let (name, engine, weights) = PRESETS.iter().find(|(known, ..)| *known == name)?;
    Some(Llm {
        name: (*name).to_owned(),
        engine: *engine,
        shape: Shape::gemma_26b_a4b(*weights),
        context,
    })
}

const LLM_PARTS: &[&str] = &[
    "llm_weights",
    "kv_cache",
    "prompt_cache",
    "prefill",
    "server",
];

/// The share of the machine that stays free while something can still shrink: the published cases come out with it (on 32 GB
/// the 4-bit model keeps 16k of context, on 48 GB the 8-bit one 32k).
const MARGIN: u64 = 9;

/// The share that stays free in any case.
const LAST_MARGIN: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MIB;

    fn speech() -> Vec<Speech> {
        [("base.en", 142, 10), ("large-v3-turbo-q5_0", 547, 30)]
            .into_iter()
            .map(|(name, mib, rank)| Speech {
                name: name.to_owned(),
                file_bytes: mib * MIB,
                shape: WhisperShape::by_name(name),
                told_bytes: 0,
                rank,
            })
            .collect()
    }

    fn wanted(gib: u64, models: &[&str]) -> Wanted {
        let total = gib * GIB;
        Wanted {
            total,
            gpu_limit: Some(machine::gpu_limit_bytes(total)),
            os_reserve: None,
            voice_reserve: None,
            speech: speech(),
            llms: models
                .iter()
                .map(|name| preset(name, 32_768).unwrap())
                .collect(),
        }
    }

    const MLX: &str = "gemma-26b-a4b-4bit";
    const OLLAMA: &str = "gemma-26b-a4b-q8";

    /// The published cases: what fits on which machine, and with which context.
    #[test]
    fn the_published_cases_come_out() {
        #[rustfmt::skip]
        let cases: &[(u64, &[&str], Option<u64>)] = &[
            (24, &[MLX], None),
            (24, &[OLLAMA], None),
            (32, &[MLX], Some(16_384)),
            (32, &[OLLAMA], None),
            (48, &[MLX], Some(32_768)),
            (48, &[OLLAMA], Some(32_768)),
            (64, &[MLX], Some(32_768)),
            (64, &[OLLAMA], Some(32_768)),
            (64, &[MLX, OLLAMA], None),
            (96, &[MLX, OLLAMA], Some(32_768)),
            (128, &[MLX, OLLAMA], Some(32_768)),
        ];
        for (gib, models, context) in cases {
            let plan = Plan::make(&wanted(*gib, models));
            let got = plan.fits.then(|| plan.contexts[0]);
            assert_eq!(got, *context, "{gib} GiB, {models:?}: {plan:#?}");
            if plan.fits {
                assert_eq!(plan.speech.as_deref(), Some("large-v3-turbo-q5_0"));
            }
        }
    }

    #[test]
    fn at_64_gib_either_alone_has_room_for_a_context_of_65536() {
        for name in [MLX, OLLAMA] {
            let mut wanted = wanted(64, &[name]);
            wanted.llms[0].context = 65_536;
            let plan = Plan::make(&wanted);
            assert_eq!((plan.fits, plan.contexts[0]), (true, 65_536), "{plan:#?}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_fit() {
        let plan = Plan::make(&wanted(24, &[MLX]));
        assert!(!plan.fits);
        let told = plan
            .advice
            .iter()
            .any(|line| line.contains("smaller model"));
        assert!(told, "{:?}", plan.advice);
        let both = Plan::make(&wanted(64, &[MLX, OLLAMA]));
        assert!(both.advice.iter().any(|line| line.contains("one backend")));
    }

    #[test]
    fn the_voice_keeps_its_parts_whatever_is_asked_for() {
        for gib in [16, 24, 32, 48, 64] {
            for models in [&[MLX][..], &[OLLAMA], &[MLX, OLLAMA]] {
                let plan = Plan::make(&wanted(gib, models));
                for part in ["whisper", "vad", "wake", "echo_canceller", "tts", "hark"] {
                    assert!(plan.parts.iter().any(|have| have.part == part), "{part}");
                }
            }
        }
    }

    #[test]
    fn settings_go_before_the_tables() {
        let mut wanted = wanted(32, &[MLX]);
        wanted.os_reserve = Some(4 * GIB);
        wanted.voice_reserve = Some(3 * GIB);
        let plan = Plan::make(&wanted);
        assert_eq!(plan.os_reserve.bytes, 4 * GIB);
        assert_eq!(plan.voice_bytes(), 3 * GIB);
        assert_eq!(plan.contexts, [32_768]);
    }

    #[test]
    fn a_small_machine_gets_a_smaller_whisper_before_the_language_model_is_refused() {
        let mut wanted = wanted(24, &[MLX]);
        wanted.llms[0].shape.weights_bytes = 141 * GIB / 10;
        wanted.gpu_limit = None;
        let plan = Plan::make(&wanted);
        assert!(plan.fits, "{plan:#?}");
        assert_eq!(plan.speech.as_deref(), Some("base.en"));
        assert!(
            plan.advice
                .iter()
                .any(|line| line.contains("Whisper base.en"))
        );
    }

    #[test]
    fn the_budget_for_speech_follows_what_is_known() {
        let others: u64 = SMALL_PARTS.iter().map(|part| part.1).sum::<u64>() + TTS_BYTES;
        assert_eq!(speech_budget(32 * GIB, None, None, None), 2 * GIB);
        assert_eq!(
            speech_budget(32 * GIB, None, Some(2 * GIB), None),
            2 * GIB - others
        );
        let tight = speech_budget(32 * GIB, None, None, Some(22 * GIB));
        assert_eq!(tight, GIB - others.min(GIB));
        assert_eq!(speech_budget(8 * GIB, Some(8 * GIB), None, None), 0);
    }
}
