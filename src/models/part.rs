//! The file that a download fills, under `.part` next to its final name, with a note of where it comes from.
//!
//! Used by [`super::pull`] on its caller's thread. Promises that bytes of two versions of a file are never mixed, and that
//! the file gets its final name only through [`Part::keep`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use super::manifest::ModelInfo;
use super::pull::{Attempt, PullError, PullEvent, root_cause};
use super::{ModelError, hash_file, io_error, with_suffix};
use crate::platform::disk;

/// What is remembered of an unfinished download, next to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PartNote {
    url: String,
    /// The strong `ETag` or else `Last-Modified` of the file; empty when the server gave none.
    validator: String,
    total: Option<u64>,
}

/// The file that is being filled, locked against other processes.
pub(super) struct Part {
    /// The model.
    pub(super) info: &'static ModelInfo,
    target: PathBuf,
    path: PathBuf,
    file: File,
    /// Bytes that it holds.
    pub(super) length: u64,
    note: Option<PartNote>,
}

impl Part {
    pub(super) fn open(folder: &Path, info: &'static ModelInfo) -> Result<Self, PullError> {
        let target = folder.join(&info.file);
        let path = with_suffix(&target, ".part");
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path);
        let file = opened.map_err(|reason| io_error(&path, reason))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(PullError::Busy {
                    name: info.name.clone(),
                });
            }
            // File systems without locks exist; two pulls at once are then the user's business.
            Err(TryLockError::Error(error)) => tracing::debug!(%error, "no lock on the download"),
        }
        let length = file
            .metadata()
            .map_err(|reason| io_error(&path, reason))?
            .len();
        let note = fs::read_to_string(with_suffix(&path, ".toml"))
            .ok()
            .and_then(|text| toml::from_str(&text).ok());
        Ok(Self {
            info,
            target,
            path,
            file,
            length,
            note,
        })
    }

    /// The validator with which the download can go on from `url`, `None` when it must start again. An empty one is
    /// enough where the hash decides in the end.
    pub(super) fn resumable(&self, url: &str) -> Option<String> {
        let note = self.note.as_ref().filter(|note| note.url == url)?;
        (!note.validator.is_empty() || self.info.sha256.is_some()).then(|| note.validator.clone())
    }

    pub(super) fn restart(&mut self) -> Result<(), ModelError> {
        self.file
            .set_len(0)
            .map_err(|reason| io_error(&self.path, reason))?;
        self.length = 0;
        self.note = None;
        Ok(())
    }

    /// A whole file follows.
    pub(super) fn begin(
        &mut self,
        url: &str,
        response: &Response,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), ModelError> {
        if self.length > 0 {
            events(PullEvent::Restarted {
                reason: "the server sends it from the start: it has changed, or ranges are not supported",
            });
            self.restart()?;
        }
        let note = PartNote {
            url: url.to_owned(),
            validator: validator(response.headers()),
            total: response.content_length(),
        };
        let path = with_suffix(&self.path, ".toml");
        let text = toml::to_string(&note).expect("strings and numbers can always be written");
        fs::write(&path, text).map_err(|reason| io_error(&path, reason))?;
        self.note = Some(note);
        Ok(())
    }

    /// The rest of the file follows, if it is the rest of the same file.
    pub(super) fn resume(
        &mut self,
        response: &Response,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), Attempt> {
        let range = content_range(response.headers());
        let note = self.note.as_ref();
        let same = note.is_some_and(|note| {
            let now = validator(response.headers());
            let same_version = note.validator.is_empty() || now.is_empty() || now == note.validator;
            let same_total = match (range, note.total) {
                (Some((_, Some(now))), Some(then)) => now == then,
                _ => true,
            };
            same_version && same_total
        });
        if same && range.is_some_and(|(start, _)| start == Some(self.length)) {
            events(PullEvent::Resumed { at: self.length });
            return Ok(());
        }
        self.restart()?;
        events(PullEvent::Restarted {
            reason: "the server's file has changed",
        });
        Err(Attempt::Again(
            "the rest did not fit to what was here".to_owned(),
        ))
    }

    /// The server says that the file ends before the range: either all is here, or it has changed.
    pub(super) fn beyond_the_end(&mut self, response: &Response) -> Result<(), Attempt> {
        let total = content_range(response.headers()).and_then(|(_, total)| total);
        if total == Some(self.length) {
            return Ok(());
        }
        self.restart()?;
        Err(Attempt::Again(
            "the server's file is shorter than what was here".to_owned(),
        ))
    }

    fn total(&self) -> Option<u64> {
        self.note
            .as_ref()
            .and_then(|note| note.total)
            .or(self.info.bytes)
    }

    pub(super) fn check_room(&mut self, url: &str) -> Result<(), PullError> {
        let announced = self.note.as_ref().and_then(|note| note.total);
        if let (Some(offered), Some(expected)) = (announced, self.info.bytes)
            && offered != expected
        {
            self.discard()?;
            return Err(PullError::WrongSize {
                url: url.to_owned(),
                offered,
                expected,
            });
        }
        let needed = announced
            .unwrap_or(self.info.size())
            .saturating_sub(self.length);
        self.room_for(needed)
    }

    fn room_for(&self, needed: u64) -> Result<(), PullError> {
        let folder = self
            .target
            .parent()
            .expect("the target lies in the folder")
            .to_owned();
        match disk::free_bytes(&folder) {
            Ok(free) if free < needed => Err(PullError::NoSpace {
                folder,
                needed,
                free,
            }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "free space is unknown");
                Ok(())
            }
        }
    }

    pub(super) async fn fill(
        &mut self,
        response: Response,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), Attempt> {
        let mut stream = response.bytes_stream();
        let total = self.total();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Attempt::Again(root_cause(&error)))?;
            self.file
                .write_all(&chunk)
                .map_err(|reason| io_error(&self.path, reason))?;
            self.length += chunk.len() as u64;
            events(PullEvent::Progress {
                done: self.length,
                total: total.unwrap_or(self.info.about_bytes),
            });
        }
        match total {
            Some(total) if self.length < total => {
                Err(Attempt::Again("the connection ended too early".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn copy(
        &mut self,
        from: &Path,
        events: &mut dyn FnMut(PullEvent),
    ) -> Result<(), PullError> {
        let mut source = File::open(from).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => PullError::SourceMissing {
                path: from.to_owned(),
                file: self.info.file.clone(),
            },
            _ => io_error(from, reason).into(),
        })?;
        let total = source
            .metadata()
            .map_err(|reason| io_error(from, reason))?
            .len();
        self.restart()?;
        self.room_for(total)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = source
                .read(&mut buffer)
                .map_err(|reason| io_error(from, reason))?;
            if read == 0 {
                return Ok(());
            }
            self.file
                .write_all(&buffer[..read])
                .map_err(|reason| io_error(&self.path, reason))?;
            self.length += read as u64;
            events(PullEvent::Progress {
                done: self.length,
                total,
            });
        }
    }

    pub(super) fn digest(&mut self) -> Result<String, ModelError> {
        self.file
            .sync_all()
            .map_err(|reason| io_error(&self.path, reason))?;
        hash_file(&self.path, &mut |_| {}).map_err(|reason| io_error(&self.path, reason))
    }

    /// Whether it has the first four bytes of whisper.cpp's format.
    pub(super) fn starts_like_a_model(&mut self) -> Result<bool, ModelError> {
        let mut magic = Vec::new();
        let read = self
            .file
            .rewind()
            .and_then(|()| (&self.file).take(4).read_to_end(&mut magic));
        read.map_err(|reason| io_error(&self.path, reason))?;
        Ok(magic == b"lmgg")
    }

    pub(super) fn reject(self, from: &str, reason: String) -> PullError {
        let kept = with_suffix(&self.target, ".rejected");
        let note = with_suffix(&self.path, ".toml");
        if let Err(reason) = fs::rename(&self.path, &kept).and_then(|()| remove_if_there(&note)) {
            return io_error(&kept, reason).into();
        }
        PullError::Rejected {
            source_name: from.to_owned(),
            reason,
            kept,
        }
    }

    /// Gives the file its final name, durably.
    pub(super) fn keep(self) -> Result<PathBuf, ModelError> {
        let note = with_suffix(&self.path, ".toml");
        let folder = self.target.parent().expect("the target lies in the folder");
        fs::rename(&self.path, &self.target)
            .and_then(|()| remove_if_there(&note))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|reason| io_error(&self.target, reason))?;
        Ok(self.target)
    }

    /// Removes the part where nothing of it is worth keeping.
    pub(super) fn discard(&mut self) -> Result<(), ModelError> {
        let note = with_suffix(&self.path, ".toml");
        remove_if_there(&self.path)
            .and_then(|()| remove_if_there(&note))
            .map_err(|reason| io_error(&self.path, reason))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What identifies the version of a file: the strong `ETag`, else `Last-Modified`, else nothing.
fn validator(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/"));
    strong
        .or_else(|| text(LAST_MODIFIED))
        .unwrap_or_default()
        .to_owned()
}

/// First byte and total of `bytes 5-9/10` or `bytes */10`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse().ok());
    Some((start, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_answers_are_read() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().expect("a header"));
            content_range(&headers)
        };
        assert_eq!(range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(range("bytes */10"), Some((None, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(range("pages 5-9/10"), None);
    }
}
