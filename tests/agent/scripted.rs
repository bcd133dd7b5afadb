//! A backend that does in order what a test wrote down, at the times that the test wrote down.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use hark::llm::{BackendInfo, ChatRequest, Delta, DeltaStream, LlmBackend, LlmError, Usage};
use tokio::time::sleep;

/// What one request meets.
pub enum Answer {
    /// After so many milliseconds, this error instead of a stream.
    Refuse(u64, LlmError),
    /// After so many milliseconds, a stream: each item so many milliseconds after the one before.
    Stream(u64, Vec<(u64, Result<Delta, LlmError>)>),
    /// A stream that repeats one delta for ever, every so many milliseconds.
    Endless(u64, Delta),
}

#[derive(Default)]
pub struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    pub requests: Mutex<Vec<ChatRequest>>,
    /// Streams that have not been dropped.
    pub open: Arc<AtomicUsize>,
}

impl Scripted {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        })
    }

    async fn start(&self, request: ChatRequest) -> Result<DeltaStream, LlmError> {
        self.requests.lock().unwrap().push(request);
        let answer = self
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more requests than were written down");
        let open = Open::new(&self.open);
        match answer {
            Answer::Refuse(after, error) => {
                sleep(Duration::from_millis(after)).await;
                Err(error)
            }
            Answer::Stream(after, items) => {
                sleep(Duration::from_millis(after)).await;
                Ok(Box::pin(unfold(
                    (VecDeque::from(items), open),
                    |(mut items, open)| async move {
                        let (after, item) = items.pop_front()?;
                        sleep(Duration::from_millis(after)).await;
                        Some((item, (items, open)))
                    },
                )))
            }
            Answer::Endless(every, delta) => Ok(Box::pin(unfold(
                (delta, open),
                move |(delta, open)| async move {
                    sleep(Duration::from_millis(every)).await;
                    Some((Ok(delta.clone()), (delta, open)))
                },
            ))),
        }
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl LlmBackend for Scripted {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "scripted",
            url: "nowhere".to_owned(),
            model: Some("tiny".to_owned()),
        }
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        Box::pin(self.start(request))
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn warm(&self, _: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>> {
        Box::pin(async { Ok(Usage::default()) })
    }
}
