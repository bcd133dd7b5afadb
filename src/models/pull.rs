//! Brings a model file onto this machine.
//!
//! Called by `hark models pull` on a runtime of its own; the file is written with plain blocking writes, so nothing else
//! should run there. Promises: a file under its final name is whole and has passed its checks; an interrupted download is
//! continued where it stopped, but only if the server still holds the same file (`If-Range`, `Content-Range`); what fails
//! its checks is set aside under `.rejected` and never used; two pulls of one model do not meddle with each other. A hash
//! that the manifest does not know is pinned, and later downloads must match it. Printing is left to the caller.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{IF_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, StatusCode};

use super::manifest::{self, ModelInfo};
use super::part::Part;
use super::{Library, ModelError, Pin, io_error, unknown};
use crate::platform::tls;

/// Where a model is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The public collection that the manifest names.
    Public,
    /// A folder of this machine that holds the file (a stick, a share), or the file itself.
    Folder(PathBuf),
    /// A mirror: the address of the folder, or of the file itself.
    Url(String),
}

impl Source {
    /// Reads what `--from` was given: with a scheme it is an address, else a folder.
    #[must_use]
    pub fn parse(from: Option<&str>) -> Self {
        match from {
            None => Self::Public,
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Self::Url(url.to_owned())
            }
            Some(folder) => Self::Folder(PathBuf::from(folder)),
        }
    }
}

/// What happens during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// Bytes on the disk so far, and in all where that is known.
    Progress {
        /// So far.
        done: u64,
        /// In all; the manifest's rounded size while the server has not told.
        total: u64,
    },
    /// An earlier download goes on.
    Resumed {
        /// From this byte.
        at: u64,
    },
    /// An earlier download cannot go on.
    Restarted {
        /// Why.
        reason: &'static str,
    },
    /// The connection failed; the next try follows.
    Retry {
        /// After this time.
        wait: Duration,
        /// What failed.
        reason: String,
    },
    /// All bytes are here and are being checked.
    Checking,
}

/// How a pull ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// It was on this machine already, and whole.
    AlreadyHere(PathBuf),
    /// It has the hash of the manifest (or of its pin).
    Verified(PathBuf),
    /// No hash was known; this one is pinned now, and later downloads must have it.
    Pinned {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        sha256: String,
    },
}

/// Why a model could not be pulled. Exit code 1, except for names (2).
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name, or the library's own files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// No connection, or it failed again and again. What has come is kept: the same command goes on from there.
    #[error(
        "cannot reach {host}: {reason}; what has come so far is kept. Check the network and repeat the command, or bring \
         the file from another machine: hark models pull {name} --from FOLDER|URL"
    )]
    Unreachable {
        /// The model.
        name: String,
        /// The server.
        host: String,
        /// What failed.
        reason: String,
    },
    /// The server answered, but not with the file.
    #[error(
        "{url} answered {status}; name another mirror: hark models pull {name} --from FOLDER|URL"
    )]
    Http {
        /// The model.
        name: String,
        /// What was asked for.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// The file is not the one that the manifest (or a pin) describes.
    #[error(
        "{source_name} is not the expected file: {reason}; it was set aside as {}. Repeat the command, or name another \
         source with --from", .kept.display()
    )]
    Rejected {
        /// Where it came from.
        source_name: String,
        /// What differs.
        reason: String,
        /// Where it lies now.
        kept: PathBuf,
    },
    /// The server offers a file of another size: nothing was downloaded.
    #[error("{url} has {offered} bytes instead of {expected}; name another mirror with --from")]
    WrongSize {
        /// What was asked for.
        url: String,
        /// Bytes that the server announces.
        offered: u64,
        /// Bytes that the manifest knows.
        expected: u64,
    },
    /// The disk is too small. Free some space, or set `HARK_HOME` to another disk.
    #[error("{} has {free} bytes free, {needed} are needed; remove a model (hark models remove NAME) or free space", .folder.display())]
    NoSpace {
        /// The folder of downloads.
        folder: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The folder given by `--from` does not hold the file.
    #[error("{} does not exist; the folder given by --from must hold the file {file}", .path.display())]
    SourceMissing {
        /// Where it was looked for.
        path: PathBuf,
        /// The file's name.
        file: String,
    },
    /// Another process is pulling the same model.
    #[error("another hark is pulling {name}; wait for it, or end it")]
    Busy {
        /// The model.
        name: String,
    },
}

/// Pulls models into a library.
#[derive(Debug)]
pub struct Puller<'a> {
    library: &'a Library,
    client: Client,
    /// The wait after the first failure; it doubles with each further one.
    pub backoff: Duration,
    /// Failures in a row without a new byte before it gives up.
    pub attempts: u32,
}

impl<'a> Puller<'a> {
    /// A puller with the usual patience: five tries, half a second after the first.
    ///
    /// # Panics
    /// When the system offers no randomness for TLS, which means that it is broken.
    #[must_use]
    pub fn new(library: &'a Library) -> Self {
        tls::install();
        let client = Client::builder()
            .user_agent(concat!("hark/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .build()
            .expect("a TLS provider is installed and nothing else can fail");
        Self {
            library,
            client,
            backoff: Duration::from_millis(500),
            attempts: 5,
        }
    }

    /// Brings the model `name` here, unless it is here and whole.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn pull(
        &self,
        name: &str,
        source: &Source,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<Pulled, PullError> {
        let info = manifest::find(name).ok_or_else(|| unknown(name))?;
        if info.bundled {
            return Err(ModelError::Bundled {
                name: name.to_owned(),
            }
            .into());
        }
        if let Some(path) = self.already_here(name, events) {
            return Ok(Pulled::AlreadyHere(path));
        }
        let folder = self.library.folder();
        fs::create_dir_all(folder).map_err(|reason| io_error(folder, reason))?;
        let mut part = Part::open(folder, info)?;
        let fetched = self.fetch(&mut part, source, events).await;
        if fetched.is_err() && part.length == 0 {
            part.discard()?;
        }
        let from = fetched?;
        events(PullEvent::Checking);
        self.accept(part, &from)
    }

    /// Fills `part`; returns where it came from.
    async fn fetch(
        &self,
        part: &mut Part,
        source: &Source,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<String, PullError> {
        if let Source::Folder(folder) = source {
            let from = if folder.is_file() {
                folder.clone()
            } else {
                folder.join(&part.info.file)
            };
            part.copy(&from, events)?;
            return Ok(from.display().to_string());
        }
        let url = address(part.info, source);
        self.download(&url, part, events).await?;
        Ok(url)
    }

    /// The file of an earlier pull, if it passes its checks.
    fn already_here(&self, name: &str, events: &mut dyn FnMut(PullEvent)) -> Option<PathBuf> {
        let path = self.library.path(name).ok()?;
        events(PullEvent::Checking);
        match self.library.verify(name, &mut |_, _| {}) {
            Ok(_) => Some(path),
            Err(error) => {
                tracing::info!(%error, "the file is replaced");
                None
            }
        }
    }

    /// Fills `part`, trying again after failures of the connection.
    async fn download(
        &self,
        url: &str,
        part: &mut Part,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), PullError> {
        let mut failures = 0;
        loop {
            let before = part.length;
            let reason = match self.attempt(url, part, events).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Fatal(error)) => return Err(*error),
                Err(Attempt::Again(reason)) => reason,
            };
            failures = if part.length > before {
                1
            } else {
                failures + 1
            };
            if failures >= self.attempts {
                let host = reqwest::Url::parse(url)
                    .ok()
                    .and_then(|url| url.host_str().map(str::to_owned));
                let host = host.unwrap_or_else(|| url.to_owned());
                return Err(PullError::Unreachable {
                    name: part.info.name.clone(),
                    host,
                    reason,
                });
            }
            let wait = self.backoff * 2_u32.pow(failures - 1);
            events(PullEvent::Retry { wait, reason });
            tokio::time::sleep(wait).await;
        }
    }

    /// One request, from the end of what is here.
    async fn attempt(
        &self,
        url: &str,
        part: &mut Part,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), Attempt> {
        let request = self.request(url, part, events)?;
        let response = request
            .send()
            .await
            .map_err(|error| Attempt::Again(root_cause(&error)))?;
        match response.status() {
            StatusCode::OK => part.begin(url, &response, events)?,
            StatusCode::PARTIAL_CONTENT => part.resume(&response, events)?,
            StatusCode::RANGE_NOT_SATISFIABLE => return part.beyond_the_end(&response),
            status if is_passing(status) => {
                return Err(Attempt::Again(format!("it answered {status}")));
            }
            status => {
                let (name, url) = (part.info.name.clone(), url.to_owned());
                return Err(PullError::Http { name, url, status }.into());
            }
        }
        part.check_room(url)?;
        part.fill(response, events).await
    }

    /// Asks for what is missing, or for everything where the rest would not fit.
    fn request(
        &self,
        url: &str,
        part: &mut Part,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<RequestBuilder, ModelError> {
        let request = self.client.get(url);
        if part.length == 0 {
            return Ok(request);
        }
        let Some(validator) = part.resumable(url) else {
            part.restart()?;
            let reason = "what was here came from another address";
            events(PullEvent::Restarted { reason });
            return Ok(request);
        };
        let request = request.header(RANGE, format!("bytes={}-", part.length));
        Ok(match validator.as_str() {
            "" => request,
            validator => request.header(IF_RANGE, validator),
        })
    }

    /// Checks a complete part and gives it its final name.
    fn accept(&self, mut part: Part, from: &str) -> Result<Pulled, PullError> {
        let info = part.info;
        let mut pins = self.library.pins()?;
        let pin = pins.get(&info.name).cloned();
        let sha256 = part.digest()?;
        let expected = info
            .sha256
            .clone()
            .or(pin.as_ref().map(|pin| pin.sha256.clone()));
        let bytes = info.bytes.or(pin.as_ref().map(|pin| pin.bytes));
        let reason = if !part.starts_like_a_model()? {
            Some("it is no speech model (perhaps a sign-in page)".to_owned())
        } else if let Some(bytes) = bytes.filter(|bytes| *bytes != part.length) {
            Some(format!("it has {} bytes instead of {bytes}", part.length))
        } else {
            expected
                .as_ref()
                .filter(|expected| !expected.eq_ignore_ascii_case(&sha256))
                .map(|expected| format!("its SHA-256 is {sha256} instead of {expected}"))
        };
        if let Some(reason) = reason {
            return Err(part.reject(from, reason));
        }
        let length = part.length;
        let path = part.keep()?;
        if expected.is_some() {
            return Ok(Pulled::Verified(path));
        }
        pins.insert(
            info.name.clone(),
            Pin {
                sha256: sha256.clone(),
                bytes: length,
                source: from.to_owned(),
            },
        );
        self.library.write_pins(&pins)?;
        Ok(Pulled::Pinned { path, sha256 })
    }
}

/// How one request ended, if not well.
pub(super) enum Attempt {
    /// Trying again may help.
    Again(String),
    /// It cannot.
    Fatal(Box<PullError>),
}

impl From<PullError> for Attempt {
    fn from(error: PullError) -> Self {
        Self::Fatal(Box::new(error))
    }
}

impl From<ModelError> for Attempt {
    fn from(error: ModelError) -> Self {
        PullError::from(error).into()
    }
}

/// The address of the file: a mirror may be given as folder or as file.
fn address(info: &ModelInfo, source: &Source) -> String {
    match source {
        Source::Url(url) if url.ends_with(".bin") => url.clone(),
        Source::Url(url) => format!("{}/{}", url.trim_end_matches('/'), info.file),
        Source::Public | Source::Folder(_) => format!("{}/{}", manifest::source(), info.file),
    }
}

/// Answers after which the same request may succeed a little later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// The innermost error: "connection refused" says more than "error sending request".
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_folder_unless_it_has_a_scheme() {
        assert_eq!(Source::parse(None), Source::Public);
        assert_eq!(
            Source::parse(Some("https://mirror/x")),
            Source::Url("https://mirror/x".to_owned())
        );
        assert_eq!(
            Source::parse(Some("/media/stick")),
            Source::Folder("/media/stick".into())
        );
    }

    #[test]
    fn a_mirror_is_a_folder_or_a_file() {
        let info = manifest::find("tiny.en").expect("in the manifest");
        let at = |url: &str| address(info, &Source::Url(url.to_owned()));
        assert_eq!(at("http://m/models/"), "http://m/models/ggml-tiny.en.bin");
        assert_eq!(at("http://m/other.bin"), "http://m/other.bin");
        assert!(address(info, &Source::Public).ends_with("/resolve/main/ggml-tiny.en.bin"));
    }
}
