//! One connection to a server: a child process or an address, the handshake, and the list of tools.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, Peer, RoleClient, serve_client};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::Tool;
use super::Shared;
use super::tool::make_tools;
use crate::config::tools::McpTransport;
use crate::platform::child::{Grouped, spawn_in_group};

/// Why there is no connection. The words are for the user's eyes: they may quote the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Its program is not there: install it.
    #[error("{program} cannot be started: {reason}")]
    Missing { program: String, reason: String },
    /// A variable that the settings name is not set: set it where Hark is started.
    #[error("the variable {name} is not set")]
    Variable { name: String },
    /// It answered, but not as the protocol wants it, or nobody is there.
    #[error("{reason}")]
    Refused { reason: String },
    /// It did not answer in time.
    #[error("it did not answer within {seconds} s")]
    TimedOut { seconds: u64 },
}

/// What we are to a server: somebody who calls tools and answers no questions of its own.
struct Client {
    changed: Arc<Notify>,
}

impl ClientHandler for Client {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("hark", env!("CARGO_PKG_VERSION")),
        )
    }
}

/// See the module.
pub(super) struct Link {
    peer: Peer<RoleClient>,
    /// Ends when the connection does.
    service: JoinHandle<()>,
    cancel: Option<rmcp::service::RunningServiceCancellationToken>,
    changed: Arc<Notify>,
    child: Option<Grouped>,
    complaint: Arc<Mutex<String>>,
}

impl Link {
    /// Starts the server, shakes hands, and makes its tools known.
    pub(super) async fn open(shared: &Arc<Shared>, limit: Duration) -> Result<Self, LinkError> {
        let complaint = Arc::new(Mutex::new(String::new()));
        let opening = async {
            let link = Self::connect(shared, Arc::clone(&complaint)).await?;
            let tools = link.list(shared).await?;
            shared.up(link.peer.clone(), tools);
            Ok(link)
        };
        match tokio::time::timeout(limit, opening).await {
            Ok(Err(LinkError::Refused { reason })) => Err(LinkError::Refused {
                reason: with_complaint(&reason, &complaint),
            }),
            Ok(other) => other,
            Err(_) => Err(LinkError::TimedOut {
                seconds: limit.as_secs(),
            }),
        }
    }

    async fn connect(
        shared: &Arc<Shared>,
        complaint: Arc<Mutex<String>>,
    ) -> Result<Self, LinkError> {
        let changed = Arc::new(Notify::new());
        let client = Client {
            changed: Arc::clone(&changed),
        };
        let (service, child) = match &shared.settings.transport {
            McpTransport::Stdio { command, args, env } => {
                let mut child = start(command, args, env)?;
                let (stdin, stdout) = (child.child.stdin.take(), child.child.stdout.take());
                if let Some(stderr) = child.child.stderr.take() {
                    tokio::spawn(listen(stderr, Arc::clone(&complaint)));
                }
                let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
                    return Err(refused("it has no standard streams"));
                };
                let transport =
                    AsyncRwTransport::new(stdout, stdin).with_max_line_length(MOST_MESSAGE);
                let service = serve_client(client, transport).await.map_err(refused)?;
                (service, Some(child))
            }
            McpTransport::Http { url, headers } => {
                let transport = StreamableHttpClientTransport::with_client(
                    http_client()?,
                    http_settings(url, headers)?,
                );
                (
                    serve_client(client, transport).await.map_err(refused)?,
                    None,
                )
            }
        };
        let (peer, cancel) = (service.peer().clone(), service.cancellation_token());
        Ok(Self {
            peer,
            service: tokio::spawn(wait(service)),
            cancel: Some(cancel),
            changed,
            child,
            complaint,
        })
    }

    pub(super) fn peer(&self) -> Peer<RoleClient> {
        self.peer.clone()
    }

    /// Waits for the end of the connection; why.
    pub(super) async fn ended(&mut self) -> String {
        if let Err(error) = (&mut self.service).await {
            tracing::error!(%error, "the connection to an MCP server ended by a bug");
        }
        with_complaint("it ended", &self.complaint)
    }

    /// Told when the server says that its tools have changed.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The server's tools, within `limit`.
    pub(super) async fn tools(
        &self,
        shared: &Arc<Shared>,
        limit: Duration,
    ) -> Result<Vec<Arc<dyn Tool>>, LinkError> {
        tokio::time::timeout(limit, self.list(shared))
            .await
            .unwrap_or(Err(LinkError::TimedOut {
                seconds: limit.as_secs(),
            }))
    }

    async fn list(&self, shared: &Arc<Shared>) -> Result<Vec<Arc<dyn Tool>>, LinkError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        // A server that never comes to an end is cut off.
        for _ in 0..MOST_PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer.list_tools(Some(page)).await.map_err(refused)?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() >= MOST_TOOLS {
                break;
            }
        }
        tools.truncate(MOST_TOOLS);
        Ok(make_tools(shared, tools))
    }

    /// Asks the server to end, and kills what does not.
    pub(super) async fn close(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel.cancel();
        }
        // Its standard input closes with the connection, which is how a server is asked to end.
        let ended = tokio::time::timeout(FAREWELL, async {
            (&mut self.service).await.ok();
            if let Some(child) = &mut self.child {
                child.child.wait().await.ok();
            }
        });
        if ended.await.is_err() {
            tracing::debug!("an MCP server does not end by itself and is killed");
        }
        if let Some(child) = &mut self.child {
            child.kill();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.service.abort();
    }
}

async fn wait(service: RunningService<RoleClient, Client>) {
    // Why it ended is told by the child's complaint or by the next attempt.
    service.waiting().await.ok();
}

fn refused(error: impl std::fmt::Display) -> LinkError {
    let reason: String = error.to_string().chars().take(300).collect();
    LinkError::Refused { reason }
}

/// Starts the program with the few variables that any program needs, and those of the settings: what else is in our
/// environment (keys of other services) is none of its business.
fn start(command: &str, args: &[String], env: &[(String, String)]) -> Result<Grouped, LinkError> {
    let own = PASSED_ON
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut child = Command::new(command);
    child
        .args(args)
        .env_clear()
        .envs(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, value) in env {
        child.env(name, expand(value)?);
    }
    spawn_in_group(&mut child).map_err(|error| LinkError::Missing {
        program: command.to_owned(),
        reason: error.to_string(),
    })
}

/// Keeps the last line of what the server complains, and reads everything, so that it does not wait for us.
async fn listen(stderr: ChildStderr, last: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end is taken in pieces.
        let mut bounded = (&mut lines).take(4_096);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim().chars().take(200).collect();
        if !text.is_empty() {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}

fn with_complaint(what: &str, complaint: &Mutex<String>) -> String {
    let last = complaint.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_empty() {
        what.to_owned()
    } else {
        format!("{what}; its last words: {last}")
    }
}

/// `${NAME}` in a value is taken from our environment, so that keys need not stand in the settings.
fn expand(value: &str) -> Result<String, LinkError> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        out.push_str(&std::env::var(name).map_err(|_| LinkError::Variable {
            name: name.to_owned(),
        })?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// No proxy and no redirect: requests go where the settings say, with the keys that they hold.
fn http_client() -> Result<reqwest::Client, LinkError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .map_err(refused)
}

fn http_settings(
    url: &str,
    headers: &[(String, String)],
) -> Result<StreamableHttpClientTransportConfig, LinkError> {
    let mut custom = HashMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refused(format!("{name} is no name of a header")))?;
        let mut value = HeaderValue::from_str(&expand(value)?)
            .map_err(|_| refused(format!("the value of the header {name} is none")))?;
        value.set_sensitive(true);
        custom.insert(name, value);
    }
    let mut settings = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(custom);
    settings.max_sse_event_size = MOST_MESSAGE;
    settings.max_json_response_size = MOST_MESSAGE;
    Ok(settings)
}

/// Variables that a server gets of ours.
const PASSED_ON: &[&str] = &[
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Bytes of one message of a server.
const MOST_MESSAGE: usize = 4 * 1024 * 1024;

/// Tools of one server, and pages in which it may tell them.
const MOST_TOOLS: usize = 200;
const MOST_PAGES: usize = 20;

/// How long a server may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(2);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn variables_in_values_are_taken_from_the_environment() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(expand("a ${PATH}b").unwrap(), format!("a {path}b"));
        assert_eq!(expand("plain $PATH {x}").unwrap(), "plain $PATH {x}");
        assert_eq!(expand("open ${PATH").unwrap(), "open ${PATH");
        let missing = expand("${NO_SUCH_VARIABLE_HERE}").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the variable NO_SUCH_VARIABLE_HERE is not set"
        );
    }
}
