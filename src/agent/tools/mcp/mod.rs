//! Servers of the Model Context Protocol, as tools.
//!
//! One task a server on the runtime: it starts the server, asks for its tools, asks again when the server says that they
//! have changed, and starts it again with growing pauses when it dies. The tools of a server that is down are not offered;
//! a call that it dies in ends as [`ToolError::Gone`](super::ToolError::Gone). Promises: every wait is bounded, so is
//! everything that a server sends; nothing that it sends reaches a log; when [`Servers`] is dropped or closed, its child
//! processes are gone with everything that they started.

mod link;
mod tool;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::Peer;
use rmcp::RoleClient;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Tool;
use crate::config::tools::{Mcp, McpServer};
use link::{Link, LinkError};

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is being started.
    Starting,
    /// It answers and has so many tools.
    Ready {
        /// Their number.
        tools: usize,
    },
    /// It does not answer; it is started again after a pause.
    Down {
        /// Why, for the user's eyes; it may quote the server and belongs into no log.
        why: String,
    },
}

/// A server with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
}

/// What a server's task and its tools share.
pub(super) struct Shared {
    settings: McpServer,
    call_timeout: Duration,
    now: Mutex<Now>,
    state: watch::Sender<State>,
    /// A call found the connection dead.
    broken: tokio::sync::Notify,
}

#[derive(Default)]
struct Now {
    peer: Option<Peer<RoleClient>>,
    tools: Vec<Arc<dyn Tool>>,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self, peer: Peer<RoleClient>, tools: Vec<Arc<dyn Tool>>) {
        let count = tools.len();
        *self.now() = Now {
            peer: Some(peer),
            tools,
        };
        self.state.send_replace(State::Ready { tools: count });
    }

    fn down(&self, why: String) {
        *self.now() = Now::default();
        self.state.send_replace(State::Down { why });
    }
}

/// The servers of the settings, each with its task.
pub struct Servers {
    all: Vec<Arc<Shared>>,
    stop: CancellationToken,
    /// Taken by whoever ends them.
    tasks: Mutex<JoinSet<()>>,
}

impl Servers {
    /// Starts them all. Must be called on a runtime.
    #[must_use]
    pub fn start(settings: &Mcp) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let all: Vec<Arc<Shared>> = settings
            .servers
            .iter()
            .map(|server| {
                let (state, _) = watch::channel(State::Starting);
                Arc::new(Shared {
                    settings: server.clone(),
                    call_timeout: settings.call_timeout,
                    now: Mutex::default(),
                    state,
                    broken: tokio::sync::Notify::new(),
                })
            })
            .collect();
        for shared in &all {
            tasks.spawn(supervise(
                Arc::clone(shared),
                settings.start_timeout,
                stop.clone(),
            ));
        }
        Self {
            all,
            stop,
            tasks: Mutex::new(tasks),
        }
    }

    /// The tools of the servers that answer, in the order of the settings and of each server's own list.
    #[must_use]
    pub fn tools(&self) -> Vec<(String, Arc<dyn Tool>)> {
        let named = |shared: &Arc<Shared>| {
            let name = shared.settings.name.clone();
            let tools = shared.now().tools.clone();
            tools.into_iter().map(move |tool| (name.clone(), tool))
        };
        self.all.iter().flat_map(named).collect()
    }

    /// How each is.
    #[must_use]
    pub fn states(&self) -> Vec<ServerState> {
        self.all
            .iter()
            .map(|shared| ServerState {
                name: shared.settings.name.clone(),
                state: shared.state.borrow().clone(),
            })
            .collect()
    }

    /// Waits until each has been started or has failed once, at most for `limit`.
    pub async fn settled(&self, limit: Duration) {
        let all = async {
            for shared in &self.all {
                let mut state = shared.state.subscribe();
                // The sender lives as long as we do.
                state.wait_for(|state| *state != State::Starting).await.ok();
            }
        };
        // Who is not ready by then is told as starting.
        tokio::time::timeout(limit, all).await.ok();
    }

    /// Ends the servers: they are asked to, and killed after a moment. Waits until they are gone.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Keeps one server running until `stop`.
async fn supervise(shared: Arc<Shared>, start_timeout: Duration, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            opened = Link::open(&shared, start_timeout) => opened,
        };
        match opened {
            Ok(link) => {
                tracing::info!(server = shared.settings.name, "an MCP server is ready");
                let mut steady = false;
                let why = {
                    let serving = serve(link, &shared, start_timeout, &stop);
                    tokio::pin!(serving);
                    match tokio::time::timeout(STEADY, &mut serving).await {
                        Ok(why) => why,
                        Err(_) => {
                            steady = true;
                            serving.await
                        }
                    }
                };
                if stop.is_cancelled() {
                    return;
                }
                if steady {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!(server = shared.settings.name, "an MCP server is gone");
                shared.down(why);
            }
            Err(error) => {
                tracing::warn!(
                    server = shared.settings.name,
                    kind = error.kind(),
                    "an MCP server could not be started"
                );
                shared.down(error.to_string());
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Looks after a server that runs; why it does not any more.
async fn serve(
    mut link: Link,
    shared: &Arc<Shared>,
    limit: Duration,
    stop: &CancellationToken,
) -> String {
    let changed = link.changed();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                link.close().await;
                return String::new();
            }
            why = link.ended() => return why,
            () = shared.broken.notified() => return "the connection broke".to_owned(),
            () = changed.notified() => {
                // Servers that add tools one by one tell of each.
                tokio::time::sleep(SETTLE).await;
                match link.tools(shared, limit).await {
                    Ok(tools) => shared.up(link.peer(), tools),
                    Err(error) => return error.to_string(),
                }
            }
        }
    }
}

impl LinkError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Variable { .. } => "variable",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed_out",
        }
    }
}

/// The pauses before a server is started again: 1 s, 2 s, 4 s, … 60 s.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A server that ran for so long is taken to be sound: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(60);

/// How long changes of the list are collected.
const SETTLE: Duration = Duration::from_millis(200);
