//! Settings as they were written: which key, which value, and where it stands.
//!
//! Core. A [`Raw`] is a pile of layers in which the later one wins; every key is known from the compiled-in
//! `defaults.toml`, and one that is not known is a [`Problem`] with a suggestion. Whether a value is allowed is decided by
//! [`super::resolved`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use toml::de::{DeTable, DeValue};

/// The compiled-in settings with their documentation.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string; from the environment or a flag every value is one.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// `true` or `false`.
    Truth(bool),
    /// A list of strings.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// As TOML would spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::List(items) => {
                let items = items.iter().cloned().map(toml::Value::String).collect();
                write!(f, "{}", toml::Value::Array(items))
            }
        }
    }
}

/// Where a value comes from. Later variants win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in default.
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// As it is written, with its dashes.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub origin: Origin,
    /// The key, empty where the file is no TOML at all.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// All that is wrong, so that one round of editing is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A written value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// As written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// A known key.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its full name, like `llm.mlx.url`.
    pub name: String,
    /// Its default.
    pub default: Value,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("HARK_{}", self.name.to_uppercase().replace('.', "_"))
    }
}

/// All known keys, in the order of `defaults.toml`.
#[must_use]
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let found = leaves(DEFAULTS, Path::new("defaults.toml"))
            .expect("the compiled-in defaults are valid: a test reads them");
        found
            .into_iter()
            .map(|(name, setting)| Key {
                name,
                default: setting.value,
            })
            .collect()
    });
    &KEYS
}

/// The layers laid over each other, the default of every key at the bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    settings: BTreeMap<String, Setting>,
}

impl Default for Raw {
    fn default() -> Self {
        let settings = keys().iter().map(|key| {
            let setting = Setting {
                value: key.default.clone(),
                origin: Origin::Default,
            };
            (key.name.clone(), setting)
        });
        Self {
            settings: settings.collect(),
        }
    }
}

impl Raw {
    /// Lays the text of a configuration file over what is there.
    ///
    /// # Errors
    /// Each key that is unknown or no setting, or the place where the text is no TOML. Nothing is changed then.
    pub fn overlay_file(&mut self, path: &Path, text: &str) -> Result<(), Problems> {
        let found = leaves(text, path)?;
        let problems: Vec<Problem> = found
            .iter()
            .filter(|(name, _)| !self.settings.contains_key(name) && !is_open(name))
            .map(|(name, setting)| unknown(name, setting.origin.clone()))
            .collect();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        self.settings.extend(found);
        Ok(())
    }

    /// Lays one value from the environment or a flag over what is there. Numbers and lists may be written as text.
    ///
    /// # Errors
    /// The key is unknown.
    pub fn overlay(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), Problem> {
        let Some(setting) = self.settings.get_mut(name) else {
            return Err(unknown(name, origin));
        };
        *setting = Setting {
            value: Value::Text(text.to_owned()),
            origin,
        };
        Ok(())
    }

    /// The written value of a known key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// Every name that this or `other` knows, sorted.
    #[must_use]
    pub fn names(&self, other: &Self) -> BTreeSet<String> {
        self.settings
            .keys()
            .chain(other.settings.keys())
            .cloned()
            .collect()
    }

    /// Takes one setting over from another pile, also its absence.
    pub fn adopt(&mut self, other: &Self, name: &str) {
        match other.settings.get(name) {
            Some(setting) => self.settings.insert(name.to_owned(), setting.clone()),
            None => self.settings.remove(name),
        };
    }

    /// The settings under a table in which users name the keys, sorted by name.
    pub fn opened<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Setting)> {
        self.settings
            .range(prefix.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter(|(name, _)| is_open(name))
            .map(|(name, setting)| (name.as_str(), setting))
    }

    /// Every key with its written value and its origin, in the order of `defaults.toml`.
    pub fn sources(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        keys().iter().filter_map(|key| {
            let setting = self.settings.get(&key.name)?;
            Some((key, setting))
        })
    }
}

/// Tables in which users name the keys themselves: which tool may do what.
pub const PERMISSIONS: &str = "tools.permissions.";

/// The same: servers that bring tools.
pub const SERVERS: &str = "mcp.servers.";

/// What can be said of a server. `env` and `headers` are tables again.
pub const OPEN_SERVER_KEYS: &[&str] = &[
    "command", "args", "env", "url", "headers", "allow", "class", "enabled",
];

/// Whether a key stands in a table in which users name the keys.
#[must_use]
pub fn is_open(name: &str) -> bool {
    if let Some(tool) = name.strip_prefix(PERMISSIONS) {
        return !tool.is_empty();
    }
    let Some(field) = server_field(name) else {
        return false;
    };
    match field.split_once('.') {
        Some((table @ ("env" | "headers"), key)) => !table.is_empty() && !key.is_empty(),
        Some(_) => false,
        None => OPEN_SERVER_KEYS.contains(&field) && !matches!(field, "env" | "headers"),
    }
}

/// Whether the value of an open key must not be shown: variables and headers hold keys of other services.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    server_field(name)
        .is_some_and(|field| field.starts_with("env.") || field.starts_with("headers."))
}

/// "args" of "mcp.servers.files.args".
fn server_field(name: &str) -> Option<&str> {
    let (_, field) = name.strip_prefix(SERVERS)?.split_once('.')?;
    Some(field)
}

/// The problem of a key that does not exist, with the nearest that does.
#[must_use]
pub fn unknown(name: &str, origin: Origin) -> Problem {
    if let Some(field) = server_field(name) {
        let near = nearest(field, OPEN_SERVER_KEYS.iter().copied());
        let all = OPEN_SERVER_KEYS.join(", ");
        return Problem {
            origin,
            key: name.to_owned(),
            what: "is no setting of a server".to_owned(),
            remedy: near.map_or_else(
                || format!("a server has {all}"),
                |known| format!("did you mean {known}?"),
            ),
        };
    }
    let names = keys().iter().map(|key| key.name.as_str());
    let remedy = match nearest(name, names) {
        Some(known) => format!("did you mean {known}?"),
        None => "remove it; `hark config show` lists every key".to_owned(),
    };
    Problem {
        origin,
        key: name.to_owned(),
        what: "is no setting".to_owned(),
        remedy,
    }
}

/// The candidate that a slip of the finger most likely meant: also a key that was put into the wrong section.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let leaf = |name: &str| name.rsplit('.').next().map(str::to_owned);
    candidates
        .map(|candidate| {
            let whole = strsim::jaro_winkler(written, candidate);
            let misplaced = leaf(written) == leaf(candidate);
            (
                candidate,
                if misplaced {
                    whole.max(LIKELY) + 0.05
                } else {
                    whole
                },
            )
        })
        .filter(|(_, likeness)| *likeness >= LIKELY)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

/// Jaro-Winkler likeness from which a suggestion helps more than it misleads; tried on the keys with one or two letters
/// swapped, dropped or added.
const LIKELY: f64 = 0.84;

/// The settings of a TOML text, each with the line of its key, in their order.
fn leaves(text: &str, path: &Path) -> Result<Vec<(String, Setting)>, Problems> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let origin = Origin::File {
            path: path.to_owned(),
            line: line_of(text, start),
        };
        Problems(vec![Problem {
            origin,
            key: String::new(),
            what: format!("is not valid TOML: {}", error.message().trim_end()),
            remedy: "mend that line, then run `hark config check`".to_owned(),
        }])
    })?;
    let mut walk = Walk {
        text,
        path,
        found: Vec::new(),
        problems: Vec::new(),
    };
    walk.table("", table.get_ref());
    if !walk.problems.is_empty() {
        return Err(Problems(walk.problems));
    }
    walk.found.sort_by_key(|(start, ..)| *start);
    Ok(walk
        .found
        .into_iter()
        .map(|(_, name, setting)| (name, setting))
        .collect())
}

/// A walk over the tables of one file.
struct Walk<'a> {
    text: &'a str,
    path: &'a Path,
    found: Vec<(usize, String, Setting)>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            let start = key.span().start;
            let origin = Origin::File {
                path: self.path.to_owned(),
                line: line_of(self.text, start),
            };
            match plain(value.get_ref()) {
                Some(value) => self.found.push((start, name, Setting { value, origin })),
                None => match value.get_ref() {
                    DeValue::Table(inner) => self.table(&name, inner),
                    other => self.problems.push(Problem {
                        origin,
                        key: name,
                        what: format!("is a {}, which no setting is", other.type_str()),
                        remedy: "write a string, a number, true, false or a list of strings"
                            .to_owned(),
                    }),
                },
            }
        }
    }
}

/// The value if it is of a kind that a setting can have.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            Value::Integer(i64::from_str_radix(&digits, number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Number(number.as_str().replace('_', "").parse().ok()?),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Array(items) => {
            let items = items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned));
            Value::List(items.collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// The line, counted from 1, of a byte of the text.
fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
