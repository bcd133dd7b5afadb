//! Shows the receipt of a turn: where its time went, from the end of the user's speech.

use std::fmt::Write as _;

use crate::daemon::events::News;
use crate::flow::{Receipt, Speculation};

/// What the user of the bundled speech model is told.
pub const STARTER_ADVICE: &str = "The bundled speech model is for a first try: it knows what people say to an assistant, from few voices.\n\
     For real use: hark models pull base.en";

/// The stages in order, with the words for people.
fn stages(receipt: &Receipt) -> [(&'static str, Option<i64>); 7] {
    [
        ("end of turn decided", receipt.endpoint_ms),
        ("transcript", receipt.transcript_ms),
        ("model asked", receipt.llm_request_ms),
        ("first token", receipt.first_token_ms),
        ("first clause", receipt.first_clause_ms),
        ("first sound made", receipt.first_sample_ms),
        ("first sound heard", receipt.first_audio_ms),
    ]
}

/// The receipt as lines of text: each stage with its time and a bar up to it.
#[must_use]
pub fn render(receipt: &Receipt) -> String {
    const WIDTH: i64 = 36;
    let stages = stages(receipt);
    let longest = stages
        .iter()
        .filter_map(|(_, ms)| *ms)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut text = String::new();
    for (name, ms) in stages {
        let Some(ms) = ms else { continue };
        let length = usize::try_from((ms.max(0) * WIDTH + longest - 1) / longest).unwrap_or(0);
        writeln!(text, "  {name:<20}{ms:>7} ms  {}", "━".repeat(length))
            .expect("writing to a string cannot fail");
    }
    let by = [receipt.backend.as_deref(), receipt.model.as_deref()];
    let by: Vec<&str> = by.into_iter().flatten().collect();
    writeln!(
        text,
        "  answered by         {}",
        if by.is_empty() {
            "nobody".to_owned()
        } else {
            by.join(", ")
        }
    )
    .expect("writing to a string cannot fail");
    if let Some(prompt) = receipt.prompt_tokens {
        let cached = receipt
            .cached_tokens
            .map(|cached| format!(", {cached} of them cached"))
            .unwrap_or_default();
        writeln!(text, "  prompt              {prompt} tokens{cached}")
            .expect("writing to a string cannot fail");
    }
    let speculation = match receipt.speculation {
        Speculation::None => None,
        Speculation::Hit => Some("begun in your pause, and right"),
        Speculation::Miss => Some("begun in your pause, and begun again"),
    };
    if let Some(told) = speculation {
        writeln!(text, "  {told}").expect("writing to a string cannot fail");
    }
    text
}

/// What a person who watches is told of an event; `None` for what only scripts want.
#[must_use]
pub fn narrate(news: &News) -> Option<String> {
    Some(match news {
        News::Ready {
            input,
            output,
            stt_model,
            backend,
        } => {
            let backend = backend.as_deref().unwrap_or("none (local answers only)");
            format!(
                "listening: {input}; speaking: {output}; speech model: {stt_model}; language model: {backend}"
            )
        }
        News::Transcript { text, .. } if !text.as_str().is_empty() => {
            format!("you:  {}", text.as_str())
        }
        News::Reply { text } if text.as_str().is_empty() => "hark: (off the record)".to_owned(),
        News::Reply { text } => format!("hark: {}", text.as_str()),
        News::Muted { muted: true } => "      (the ear is closed until `hark unmute`)".to_owned(),
        News::Muted { muted: false } => "      (the ear is open)".to_owned(),
        News::OffRecord { off_record: true } => {
            "      (off the record: nothing is written)".to_owned()
        }
        News::OffRecord { off_record: false } => "      (on the record)".to_owned(),
        News::BargeIn => "      (interrupted)".to_owned(),
        News::Turn { receipt, .. } => {
            format!(
                "      ({} ms from your last word to the first sound)",
                receipt.first_audio_ms?
            )
        }
        News::Device { change } | News::Backend { change } => format!("      ({change})"),
        News::Welcome { text } => text.clone(),
        News::Config { applied, restart } => {
            let list = |names: &[String]| names.join(", ");
            match (applied.as_slice(), restart.as_slice()) {
                ([], []) => "      (the settings are as they were)".to_owned(),
                (applied, []) => format!("      (settings taken over: {})", list(applied)),
                ([], restart) => format!("      (settings that need a restart: {})", list(restart)),
                (applied, restart) => format!(
                    "      (settings taken over: {}; these need a restart: {})",
                    list(applied),
                    list(restart)
                ),
            }
        }
        News::Error { message, .. } => format!("      (trouble: {message})"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_did_not_happen_are_left_out() {
        let receipt = Receipt {
            endpoint_ms: Some(600),
            first_audio_ms: Some(1_200),
            ..Receipt::default()
        };
        let text = render(&receipt);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("end of turn decided     600 ms  ━━━━━━━━━━━━━━━━━━\n"),
            "{text}"
        );
    }
}
