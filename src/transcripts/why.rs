//! Where the time of a turn went: its receipt as bars, and what made it slow.
//!
//! Pure. The thresholds are those above which a person notices the stage on its own; they are judged, not measured, and
//! stand at the end.

use std::fmt::Write as _;

use super::reader::StoredEvent;
use super::record::StoredTurn;
use crate::flow::Receipt;

/// One stage of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What happened at its end.
    pub name: &'static str,
    /// Milliseconds from the end of the user's speech; negative is before it.
    pub start_ms: i64,
    /// The same.
    pub end_ms: i64,
}

impl Stage {
    /// How long it took.
    #[must_use]
    pub const fn length_ms(self) -> i64 {
        self.end_ms - self.start_ms
    }
}

/// The stages that a turn went through, each from the end of the one before it.
#[must_use]
pub fn stages(receipt: &Receipt) -> Vec<Stage> {
    let mut start_ms = 0;
    let ends = [
        ("turn ended", receipt.endpoint_ms),
        ("transcript", receipt.transcript_ms),
        ("model asked", receipt.llm_request_ms),
        ("first token", receipt.first_token_ms),
        ("first clause", receipt.first_clause_ms),
        ("first sample", receipt.first_sample_ms),
        ("first sound", receipt.first_audio_ms),
    ];
    ends.iter()
        .filter_map(|(name, end)| {
            let end_ms = (*end)?;
            // Work that began before its time (speculation) can end before the stage in front of it.
            let stage = Stage {
                name,
                start_ms: start_ms.min(end_ms),
                end_ms,
            };
            start_ms = end_ms;
            Some(stage)
        })
        .collect()
}

/// The receipt as text: a line a stage with its bar, then what made it slow.
#[must_use]
pub fn picture(stored: &StoredTurn, events: &[StoredEvent], width: usize) -> String {
    let receipt = &stored.turn.receipt;
    let stages = stages(receipt);
    let mut out = String::new();
    let began = stored
        .began
        .zoned()
        .strftime("%a %-d %b %Y %H:%M:%S")
        .to_string();
    let outcome = super::record::outcome_name(stored.turn.outcome).replace('_', " ");
    line(&mut out, &format!("Turn {}, {began}, {outcome}", stored.id));
    line(&mut out, &summary(receipt));
    if !stages.is_empty() {
        line(&mut out, "");
        draw(&mut out, &stages, width);
    }
    if let Some(model) = model(receipt) {
        line(&mut out, "");
        line(&mut out, &model);
    }
    let causes = causes(receipt, events);
    if !causes.is_empty() {
        line(&mut out, "");
    }
    for cause in causes {
        line(&mut out, &cause);
    }
    out
}

fn summary(receipt: &Receipt) -> String {
    match (receipt.first_audio_ms, stages(receipt).last()) {
        (Some(ms), _) => format!(
            "{} from the end of your speech to the first sound.",
            seconds(ms)
        ),
        (None, Some(stage)) => format!(
            "Nothing was heard; the last thing that happened was “{}”, {} after the end of your speech.",
            stage.name,
            seconds(stage.end_ms)
        ),
        (None, None) => "No times were recorded for this turn.".to_owned(),
    }
}

fn draw(out: &mut String, stages: &[Stage], width: usize) {
    let first = stages
        .iter()
        .map(|stage| stage.start_ms)
        .min()
        .unwrap_or(0)
        .min(0);
    let last = stages
        .iter()
        .map(|stage| stage.end_ms)
        .max()
        .unwrap_or(0)
        .max(first + 1);
    let columns = width
        .saturating_sub(NAME_WIDTH + NUMBER_WIDTH)
        .clamp(MIN_BAR, MAX_BAR);
    let eighths = columns as i64 * 8;
    let place = |ms: i64| (ms - first) * eighths / (last - first);
    for stage in stages {
        let bar = bar(place(stage.start_ms), place(stage.end_ms), columns);
        let text = format!(
            "  {:<12}  {bar}  {:>6} ms  +{}",
            stage.name,
            stage.end_ms,
            stage.length_ms()
        );
        line(out, &text);
    }
}

/// A bar from one eighth of a column to another; never less than a sliver.
fn bar(start: i64, end: i64, columns: usize) -> String {
    const SLIVERS: [char; 8] = ['▏', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    (0..columns)
        .map(|column| {
            let from = column as i64 * 8;
            let covered = end.min(from + 8) - start.max(from);
            let begins_here = start > from && start < from + 8;
            let goes_on = end >= from + 8;
            match usize::try_from(covered) {
                Ok(6..) if goes_on => '█',
                Ok(3..) if goes_on && begins_here => '▐',
                Ok(1..) if goes_on && begins_here => ' ',
                Ok(eighths @ 1..) => SLIVERS[eighths.min(7)],
                _ if start == end && (from..from + 8).contains(&start) => SLIVERS[0],
                _ => ' ',
            }
        })
        .collect()
}

fn model(receipt: &Receipt) -> Option<String> {
    let backend = receipt.backend.as_deref()?;
    let mut text = match receipt.model.as_deref() {
        Some(model) => format!("Answered by {model} ({backend})"),
        None => format!("Answered by {backend}"),
    };
    if let Some(prompt) = receipt.prompt_tokens {
        let cached = receipt.cached_tokens.map_or_else(
            || "it did not tell how many of them were cached".to_owned(),
            |cached| format!("{cached} of them from its cache"),
        );
        write!(text, "; {prompt} tokens of prompt, {cached}").expect("a string takes everything");
    }
    text.push('.');
    Some(text)
}

/// What made the turn slow, the worst first, each with what can be done. Empty where nothing was.
#[must_use]
pub fn causes(receipt: &Receipt, events: &[StoredEvent]) -> Vec<String> {
    let stages = stages(receipt);
    let mut found: Vec<(i64, String)> = stages
        .iter()
        .filter_map(|stage| {
            let ms = stage.length_ms();
            let told = match stage.name {
                "turn ended" if ms >= SLOW_ENDPOINT_MS => endpoint(ms),
                "transcript" if ms >= SLOW_TRANSCRIPT_MS => format!(
                    "Recognition took {}: a smaller speech model is faster (`hark models list`, `stt.model`).",
                    seconds(ms)
                ),
                "first token" if ms >= SLOW_TOKEN_MS => first_token(ms, receipt, events),
                "first clause" if ms >= SLOW_CLAUSE_MS => format!(
                    "The first clause took {} to write: the model writes slowly; a smaller or more strongly quantised one is faster, and `hark doctor` tells whether two servers share the machine.",
                    seconds(ms)
                ),
                "first sample" if ms >= SLOW_VOICE_MS => format!(
                    "The voice took {} to begin; another `tts.engine` or `tts.voice` may be faster.",
                    seconds(ms)
                ),
                "first sound" if ms >= SLOW_DEVICE_MS => device(ms, events),
                _ => return None,
            };
            Some((ms, told))
        })
        .collect();
    found.sort_by_key(|(ms, _)| std::cmp::Reverse(*ms));
    found.into_iter().map(|(_, told)| told).collect()
}

fn endpoint(ms: i64) -> String {
    format!(
        "Hark waited {} to be sure that you had finished; `turn.end_silence_ms` and `turn.max_silence_ms` set that.",
        seconds(ms)
    )
}

fn first_token(ms: i64, receipt: &Receipt, events: &[StoredEvent]) -> String {
    let took = format!("The model took {} to its first word", seconds(ms));
    let happened = |kind: &str| events.iter().any(|event| event.kind == kind);
    if happened("memory") {
        return format!(
            "{took} while memory was short (swap); `hark doctor` tells which models are resident."
        );
    }
    if happened("backend") {
        return format!(
            "{took} while the backend was started or changed; `hark ask hello` warms it beforehand."
        );
    }
    match (receipt.prompt_tokens, receipt.cached_tokens) {
        (Some(prompt), Some(cached)) if cached.saturating_mul(2) < prompt => format!(
            "{took} because its prompt cache was cold: {} of {prompt} tokens had to be read.",
            prompt - cached
        ),
        (Some(prompt), _) if prompt >= LONG_PROMPT => {
            format!("{took} because the prompt was long: {prompt} tokens.")
        }
        _ => format!(
            "{took}; `hark doctor` tells whether two servers share the machine; another program may have kept it busy, too."
        ),
    }
}

fn device(ms: i64, events: &[StoredEvent]) -> String {
    let changed = events.iter().any(|event| event.kind == "device");
    let why = if changed {
        " while the device was changing"
    } else {
        "; wireless headphones need that long to wake up"
    };
    format!("The loudspeaker took {} to sound{why}.", seconds(ms))
}

fn seconds(ms: i64) -> String {
    if ms.abs() < 1_000 {
        format!("{ms} ms")
    } else {
        format!("{:.1} s", ms as f64 / 1_000.0)
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

const NAME_WIDTH: usize = 16;
const NUMBER_WIDTH: usize = 20;
const MIN_BAR: usize = 16;
const MAX_BAR: usize = 60;

/// People leave 200 ms between turns and take a second for slow.
const SLOW_ENDPOINT_MS: i64 = 1_000;
const SLOW_TRANSCRIPT_MS: i64 = 700;
const SLOW_TOKEN_MS: i64 = 800;
const SLOW_CLAUSE_MS: i64 = 700;
const SLOW_VOICE_MS: i64 = 400;
const SLOW_DEVICE_MS: i64 = 300;

/// From so many tokens on, reading the prompt is worth naming as the cause even where most of it was cached.
const LONG_PROMPT: u32 = 4_000;
