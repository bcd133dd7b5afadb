//! A stream that gave way to a conversation goes on where it stopped.
//!
//! Core: owned by the relay of one reply. The backend cannot be paused, so the request is asked again and what the client
//! has already read is taken out of the second reply, which must begin with it. (At temperature 0, mlx_lm.server's default,
//! or with a seed it does; most of it is in the prompt cache.) One that begins otherwise cannot be continued, and the client
//! is told so. Calls and other things that are no text are never read twice: after the first of them a reply does not give
//! way any more.

use serde_json::Value;

/// The second reply does not begin as the first did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the reply gave way to a conversation and could not be continued; ask again, with a seed or at temperature 0 to avoid it"
)]
pub struct Diverged;

/// What the client has read.
#[derive(Debug, Default)]
pub struct Resume {
    /// Text and thinking in the order in which they came.
    read: String,
    /// How much of it the running reply has repeated.
    repeated: usize,
    /// Something was sent that cannot be matched by its text.
    fixed: bool,
}

impl Resume {
    /// Whether the reply may give way.
    #[must_use]
    pub fn may_give_way(&self) -> bool {
        !self.fixed
    }

    /// The reply begins anew.
    pub fn restart(&mut self) {
        self.repeated = 0;
    }

    /// Passes an event of the client's dialect on, without what the client has read; `None` when nothing is left.
    ///
    /// # Errors
    /// [`Diverged`].
    pub fn pass(&mut self, mut event: Value) -> Result<Option<Value>, Diverged> {
        let repeating = self.repeated < self.read.len();
        let mut was_cut = false;
        for place in PLACES {
            let Some(Value::String(text)) = event.pointer_mut(place) else {
                continue;
            };
            let before = self.read.len() - self.repeated;
            let known = before.min(text.len());
            let expected = &self.read.as_bytes()[self.repeated..self.repeated + known];
            if text.as_bytes()[..known] != *expected {
                return Err(Diverged);
            }
            // `read` and `text` are whole strings of the same bytes: a cut at the end of either is between characters.
            was_cut |= known > 0;
            self.repeated += known;
            *text = text.split_off(known);
            self.read.push_str(text);
            self.repeated += text.len();
        }
        let says = PLACES.iter().any(|place| {
            event
                .pointer(place)
                .and_then(Value::as_str)
                .is_some_and(|text| !text.is_empty())
        });
        let fixed = FIXED
            .iter()
            .any(|place| event.pointer(place).is_some_and(|value| !value.is_null()))
            || event.get("done") == Some(&Value::Bool(true));
        self.fixed |= fixed;
        Ok((says || fixed || !(was_cut || repeating)).then_some(event))
    }
}

/// Where text stands in events of either dialect.
const PLACES: [&str; 7] = [
    "/choices/0/delta/reasoning",
    "/choices/0/delta/reasoning_content",
    "/choices/0/delta/content",
    "/choices/0/text",
    "/message/thinking",
    "/message/content",
    "/response",
];

/// What is no text.
const FIXED: [&str; 4] = [
    "/choices/0/delta/tool_calls",
    "/choices/0/finish_reason",
    "/message/tool_calls",
    "/usage",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(words: &str) -> Value {
        json!({"choices": [{"delta": {"content": words}, "finish_reason": null}]})
    }

    fn passed(resume: &mut Resume, words: &str) -> Option<String> {
        let event = resume.pass(text(words)).expect("it does not diverge")?;
        Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())
    }

    #[test]
    fn a_reply_that_begins_anew_goes_on_where_it_stopped_however_it_is_cut() {
        let mut resume = Resume::default();
        assert_eq!(passed(&mut resume, ""), Some(String::new()));
        assert_eq!(passed(&mut resume, "One shé"), Some("One shé".to_owned()));
        assert_eq!(passed(&mut resume, "ep"), Some("ep".to_owned()));
        resume.restart();
        assert_eq!(passed(&mut resume, ""), None);
        assert_eq!(passed(&mut resume, "One"), None);
        assert_eq!(passed(&mut resume, " shéep jum"), Some(" jum".to_owned()));
        assert_eq!(passed(&mut resume, "ps"), Some("ps".to_owned()));
        resume.restart();
        assert_eq!(passed(&mut resume, "One shéep jumps"), None);
        assert_eq!(passed(&mut resume, "."), Some(".".to_owned()));
    }

    #[test]
    fn another_reply_is_no_continuation() {
        let mut resume = Resume::default();
        passed(&mut resume, "One sheep");
        resume.restart();
        passed(&mut resume, "One");
        assert_eq!(resume.pass(text(" goat")), Err(Diverged));
    }

    #[test]
    fn after_a_call_or_the_end_nothing_gives_way() {
        let call = json!({"message": {"content": "", "tool_calls": [{"function": {"name": "f"}}]}});
        let mut resume = Resume::default();
        passed(&mut resume, "Let me look.");
        assert!(resume.may_give_way());
        assert!(resume.pass(call).expect("it passes").is_some());
        assert!(!resume.may_give_way());
    }
}
