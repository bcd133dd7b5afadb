//! Words while the user still speaks: shown, and given to the language model ahead of time.
//!
//! Owned by the conductor. Asks the ear ten times a second at most for the utterance so far, when it is meant for us and the
//! governor allows; the whisper thread reads it only when it has nothing else to do. Words on which two readings agree are
//! told, and the model evaluates the prompt that they begin (one token is asked for and thrown away), so that most of the
//! prompt is in its cache when the turn ends. Nothing here decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::flow::Utterance;
use crate::time::{Mono, SamplePos};
use crate::transcribe::agree::{Agreement, Governor};

/// See the module.
#[derive(Debug)]
pub struct Partials {
    on: bool,
    governor: Governor,
    agreement: Agreement,
    /// Where the utterance begins that is being read.
    of: Option<SamplePos>,
    /// Words that the model was last made ready for.
    ready: usize,
    /// A prompt is being evaluated.
    filling: Arc<AtomicBool>,
}

impl Partials {
    /// `on` is `stt.partials`.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self {
            on,
            governor: Governor::default(),
            agreement: Agreement::default(),
            of: None,
            ready: 0,
            filling: Arc::default(),
        }
    }

    /// Whether the utterance so far is wanted now.
    pub fn wants(&mut self, now: Mono) -> bool {
        self.on && self.governor.begin(now)
    }

    /// What the ear gave; returns it if it is to be read.
    pub fn snapshot(&mut self, now: Mono, so_far: Option<Utterance>) -> Option<Utterance> {
        let Some(so_far) = so_far else {
            self.governor.refused(now);
            return None;
        };
        if self.of != Some(so_far.speech.start) {
            self.over();
            self.of = Some(so_far.speech.start);
        }
        Some(so_far)
    }

    /// The whisper thread is busy.
    pub fn refused(&mut self, now: Mono) {
        self.governor.refused(now);
    }

    /// A reading of the utterance that begins at `of`; the words that are sure, when there are more than before.
    pub fn read(
        &mut self,
        now: Mono,
        of: SamplePos,
        text: &str,
        elapsed: Duration,
    ) -> Option<String> {
        if self.of != Some(of) {
            return None;
        }
        self.governor.done(now, elapsed);
        self.agreement.take(text)
    }

    /// The utterance is over, or another one begins.
    pub fn over(&mut self) {
        self.governor.reset();
        self.agreement.reset();
        self.of = None;
        self.ready = 0;
    }

    /// Whether the model shall be made ready for `words`: not while it still evaluates the last ones, and not for a single
    /// word more.
    pub fn fills(&mut self, words: &str) -> bool {
        let count = words.split_whitespace().count();
        let wanted = count >= self.ready + NEW_WORDS && !self.filling.load(Ordering::Acquire);
        if wanted {
            self.ready = count;
        }
        wanted
    }

    /// Runs `work` in the background; another one is not begun before it is done.
    pub fn fill(&self, work: BoxFuture<'static, ()>) {
        self.filling.store(true, Ordering::Release);
        let filling = Arc::clone(&self.filling);
        tokio::spawn(async move {
            // A model that takes longer is busy with somebody else; the question itself must not queue up behind this.
            if tokio::time::timeout(LONGEST_FILL, work).await.is_err() {
                tracing::debug!("the prompt was not evaluated in time");
            }
            filling.store(false, Ordering::Release);
        });
    }
}

/// Words by which the prompt must have grown.
const NEW_WORDS: usize = 3;
const LONGEST_FILL: Duration = Duration::from_secs(2);
