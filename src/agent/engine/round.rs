//! Asking the model once: the request, a model that still loads, a connection that breaks, the stream to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::{AgentEvent, Run, Stop, Waiting};
use crate::llm::{ChatRequest, Delta, DeltaStream, FinishReason, LlmError, Message, ToolCall};

/// What the model did when it was asked once.
pub(super) struct Round {
    pub(super) reason: FinishReason,
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
}

/// Why one asking of the model ended early.
pub(super) enum Trouble {
    Model(LlmError),
    Stop(Stop),
}

impl From<LlmError> for Trouble {
    fn from(error: LlmError) -> Self {
        Self::Model(error)
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Whether a stream had yielded anything before it failed.
#[derive(Clone, Copy)]
enum Came {
    Nothing,
    Something,
}

enum Next {
    Read,
    End,
}

impl Run {
    /// Asks the model once. A connection that breaks before anything has come is tried once more.
    pub(super) async fn round(&mut self, messages: &[Message]) -> Result<Round, Trouble> {
        let mut retried = false;
        loop {
            let stream = self.open(messages).await;
            let read = match stream {
                Ok(stream) => self.read(stream).await,
                Err(error) => Err((error, Came::Nothing)),
            };
            match read {
                Ok(round) => return Ok(round),
                Err((Trouble::Model(LlmError::Cut), Came::Nothing)) if !retried => retried = true,
                Err((trouble, _)) => return Err(trouble),
            }
        }
    }

    /// Gets a stream, waiting for a model that loads.
    async fn open(&mut self, messages: &[Message]) -> Result<DeltaStream, Trouble> {
        match self.request(messages).await? {
            Err(LlmError::Loading) => {}
            other => return Ok(other?),
        }
        self.tell_waiting(Waiting::Loading).await?;
        let limit = self.ask.limits.loading;
        let loaded = timeout(limit, self.request_until_loaded(messages)).await;
        loaded.unwrap_or(Err(LlmError::Loading.into()))
    }

    async fn request_until_loaded(&mut self, messages: &[Message]) -> Result<DeltaStream, Trouble> {
        loop {
            sleep(LOADING_POLL).await;
            match self.request(messages).await? {
                Err(LlmError::Loading) => {}
                other => return Ok(other?),
            }
        }
    }

    async fn request(
        &mut self,
        messages: &[Message],
    ) -> Result<Result<DeltaStream, LlmError>, Stop> {
        let backend = Arc::clone(&self.ask.backend);
        let request = ChatRequest {
            messages: messages.to_vec(),
            tools: self.specs.clone(),
            max_tokens: self.ask.limits.max_tokens,
            temperature: self.ask.limits.temperature,
        };
        self.patiently(backend.chat(request)).await
    }

    /// Reads one stream to its end. The error says whether anything had come.
    async fn read(&mut self, mut stream: DeltaStream) -> Result<Round, (Trouble, Came)> {
        let mut round = Round {
            reason: FinishReason::Stop,
            text: String::new(),
            calls: Vec::new(),
        };
        let mut came = Came::Nothing;
        loop {
            let next = match came {
                Came::Nothing => self
                    .patiently(stream.next())
                    .await
                    .map_err(|stop| (stop.into(), came))?,
                Came::Something => stream.next().await,
            };
            let delta = next
                .unwrap_or(Err(LlmError::Cut))
                .map_err(|error| (error.into(), came))?;
            came = Came::Something;
            match self.take(delta, &mut round).await {
                Ok(Next::Read) => {}
                Ok(Next::End) => return Ok(round),
                Err(stop) => return Err((stop.into(), came)),
            }
        }
    }

    async fn take(&mut self, delta: Delta, round: &mut Round) -> Result<Next, Stop> {
        match delta {
            Delta::Text(text) => {
                self.text_bytes += text.len();
                round.text.push_str(&text);
                if !self.begun && !text.trim().is_empty() {
                    self.begun = true;
                    self.tell(AgentEvent::FirstToken).await?;
                }
                self.tell(AgentEvent::Text(text.into())).await?;
            }
            Delta::Reasoning(text) => self.text_bytes += text.len(),
            Delta::ToolCall(call) => round.calls.push(call),
            Delta::Prefill { .. } => {}
            Delta::Done { reason, usage } => {
                round.reason = reason;
                self.tell(AgentEvent::Usage(usage)).await?;
                return Ok(Next::End);
            }
        }
        // A server that does not obey `max_tokens` is cut off; no token is longer than this on average.
        let most = usize::try_from(self.ask.limits.max_tokens)
            .unwrap_or(usize::MAX)
            .saturating_mul(BYTES_PER_TOKEN);
        if self.text_bytes > most {
            round.reason = FinishReason::Length;
            return Ok(Next::End);
        }
        Ok(Next::Read)
    }

    /// Awaits `work`, and tells the consumer once when it stays quiet.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(work);
        if let Ok(done) = timeout(self.ask.limits.quiet, &mut work).await {
            return Ok(done);
        }
        self.tell_waiting(Waiting::Quiet).await?;
        Ok(work.await)
    }

    async fn tell_waiting(&mut self, what: Waiting) -> Result<(), Stop> {
        if self.told.contains(&what) {
            return Ok(());
        }
        self.told.push(what);
        self.tell(AgentEvent::Waiting(what)).await
    }
}

/// How often a loading model is asked again.
const LOADING_POLL: Duration = Duration::from_millis(500);

/// Bytes of text that `max_tokens` tokens cannot pass in any language.
const BYTES_PER_TOKEN: usize = 16;
