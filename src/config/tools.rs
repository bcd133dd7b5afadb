//! Settings of the agent's tools: which are offered, which ask first, and which servers bring more.
//!
//! Core. `[tools.permissions]` and `[mcp.servers]` are tables in which users name the keys themselves; they can be written
//! in the file only, because their names cannot be told from those of variables.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::{OPEN_SERVER_KEYS, PERMISSIONS, SERVERS, Value};
use super::validate::Check;

/// `tools`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Whether the model is offered any.
    pub enabled: bool,
    /// What their descriptions may add to the prompt, in estimated tokens.
    pub budget_tokens: u32,
    /// Whether there is a tool that runs commands.
    pub run_command: bool,
    /// What each may do.
    pub permissions: Permissions,
}

/// What a user allows a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It runs without a question.
    Allow,
    /// Each call is asked for.
    Ask,
    /// It is not offered.
    Deny,
}

impl Permission {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// `tools.permissions`: patterns with what they allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions(BTreeMap<String, Permission>);

impl Permissions {
    /// These rules; a `*` in a name stands for any letters.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (String, Permission)>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// What the user said about this tool; `None` where nothing was said and its class decides. Of several patterns that
    /// fit the one with the most letters of its own wins, and of two equal ones the stricter.
    #[must_use]
    pub fn of(&self, tool: &str) -> Option<Permission> {
        self.0
            .iter()
            .filter(|(pattern, _)| fits(pattern, tool))
            .max_by_key(|(pattern, permission)| {
                let own = pattern.chars().filter(|letter| *letter != '*').count();
                (own, **permission as u8)
            })
            .map(|(_, permission)| *permission)
    }
}

/// Whether `name` has the form of `pattern`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `mcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mcp {
    /// How long a call may take.
    pub call_timeout: Duration,
    /// How long a server may take to start and to tell its tools.
    pub start_timeout: Duration,
    /// The servers, by name.
    pub servers: Vec<McpServer>,
}

/// One of `mcp.servers`.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Its name: the first part of its tools' names.
    pub name: String,
    /// Where it is.
    pub transport: McpTransport,
    /// Its tools that are offered; `None` is all.
    pub allow: Option<Vec<String>>,
    /// What a tool counts as that does not say what it does.
    pub class: UnknownClass,
}

/// Environment and headers hold keys: they are never shown.
impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer")
            .field("name", &self.name)
            .field("transport", &self.transport)
            .field("allow", &self.allow)
            .field("class", &self.class)
            .finish()
    }
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum McpTransport {
    /// A child process, by its standard streams.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Variables that it gets besides ours.
        env: Vec<(String, String)>,
    },
    /// Streamable HTTP.
    Http {
        /// The address.
        url: String,
        /// Headers of every request.
        headers: Vec<(String, String)>,
    },
}

impl std::fmt::Debug for McpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdio { command, .. } => write!(f, "Stdio({command})"),
            Self::Http { url, .. } => write!(f, "Http({url})"),
        }
    }
}

/// `mcp.servers.NAME.class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownClass {
    /// It only looks.
    Read,
    /// It changes what is easily changed back.
    Act,
    /// The worst is assumed.
    Destroy,
}

pub(super) fn tools(check: &mut Check<'_>) -> Tools {
    Tools {
        enabled: check.truth("tools.enabled"),
        budget_tokens: u32::try_from(check.integer("tools.budget_tokens", 0..=32_000))
            .expect("the range of the check lies within 32 bits"),
        run_command: check.truth("tools.run_command"),
        permissions: permissions(check),
    }
}

fn permissions(check: &mut Check<'_>) -> Permissions {
    let mut rules = BTreeMap::new();
    for (key, setting) in check.opened(PERMISSIONS) {
        let name = key[PERMISSIONS.len()..].to_owned();
        let permission = match &setting.value {
            Value::Text(text) => match text.trim().to_lowercase().as_str() {
                "allow" => Some(Permission::Allow),
                "ask" => Some(Permission::Ask),
                "deny" => Some(Permission::Deny),
                _ => None,
            },
            _ => None,
        };
        match permission {
            Some(permission) => drop(rules.insert(name, permission)),
            None => check.reject_opened(&key, "one of \"allow\", \"ask\", \"deny\""),
        }
    }
    Permissions(rules)
}

pub(super) fn mcp(check: &mut Check<'_>) -> Mcp {
    let mut names: Vec<String> = Vec::new();
    for (key, _) in check.opened(SERVERS) {
        let name = key[SERVERS.len()..].split('.').next().unwrap_or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Mcp {
        call_timeout: check.seconds("mcp.call_timeout_s", 1..=600),
        start_timeout: check.seconds("mcp.start_timeout_s", 1..=600),
        servers: names
            .into_iter()
            .filter_map(|name| server(check, name))
            .collect(),
    }
}

fn server(check: &mut Check<'_>, name: String) -> Option<McpServer> {
    let prefix = format!("{SERVERS}{name}.");
    let key = |field: &str| format!("{prefix}{field}");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 24 || name.contains("__") || !name.chars().all(plain) {
        let any = check.opened(&prefix).into_iter().next()?.0;
        check.reject_opened(
            &any,
            "under a server's name of at most 24 letters, digits, \"-\" and single \"_\"",
        );
        return None;
    }
    let command = check.opened_text(&key("command"));
    let url = check.opened_text(&key("url"));
    let transport = match (command, url) {
        (Some(command), None) => McpTransport::Stdio {
            command,
            args: check.opened_list(&key("args")).unwrap_or_default(),
            env: pairs(check, &key("env.")),
        },
        (None, Some(url)) => {
            if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains('@') {
                check.reject_opened(&key("url"), "an address like \"http://127.0.0.1:8000/mcp\"");
            }
            McpTransport::Http {
                url,
                headers: pairs(check, &key("headers.")),
            }
        }
        _ => {
            let any = check.opened(&prefix).into_iter().next()?.0;
            check.reject_opened(
                &any,
                &format!(
                    "beside either a command or a url, and not both ({})",
                    OPEN_SERVER_KEYS.join(", ")
                ),
            );
            return None;
        }
    };
    let class = match check.opened_text(&key("class")).as_deref() {
        None | Some("destroy") => UnknownClass::Destroy,
        Some("act") => UnknownClass::Act,
        Some("read") => UnknownClass::Read,
        Some(_) => {
            check.reject_opened(&key("class"), "one of \"read\", \"act\", \"destroy\"");
            UnknownClass::Destroy
        }
    };
    let allow = check.opened_list(&key("allow"));
    let enabled = check.opened_truth(&key("enabled")).unwrap_or(true);
    enabled.then_some(McpServer {
        name,
        transport,
        allow,
        class,
    })
}

fn pairs(check: &mut Check<'_>, prefix: &str) -> Vec<(String, String)> {
    check
        .opened(prefix)
        .into_iter()
        .map(|(key, setting)| {
            let value = match setting.value {
                Value::Text(text) => text,
                other => other.to_string(),
            };
            (key[prefix.len()..].to_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, fit) in [
            ("*", "anything", true),
            ("files__*", "files__read", true),
            ("files__*", "filesread", false),
            ("*__delete*", "files__delete_all", true),
            ("set_timer", "set_timer", true),
            ("set_timer", "set_timers", false),
            ("a*a", "a", false),
            ("a*a", "aba", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn the_most_exact_rule_wins_and_of_two_equal_ones_the_stricter() {
        let rules = Permissions::new([
            ("*".to_owned(), Permission::Ask),
            ("files__*".to_owned(), Permission::Allow),
            ("files__delete".to_owned(), Permission::Deny),
            ("*_add".to_owned(), Permission::Allow),
            ("add_*".to_owned(), Permission::Deny),
        ]);
        assert_eq!(rules.of("read_clipboard"), Some(Permission::Ask));
        assert_eq!(rules.of("files__read"), Some(Permission::Allow));
        assert_eq!(rules.of("files__delete"), Some(Permission::Deny));
        assert_eq!(rules.of("add_to_add"), Some(Permission::Deny));
        assert_eq!(Permissions::default().of("read_clipboard"), None);
    }
}
