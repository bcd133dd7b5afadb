//! The transcript log: everything said, findable, private, never lost.
//!
//! One SQLite file (`transcripts.db`, mode 0600 in a folder of mode 0700) is the only store. [`Writer`] owns the thread
//! named `store` and the only connection of the daemon that writes; the conductor hands it turns and is never blocked by
//! it. [`audio`] keeps the sound of questions beside it where that is switched on. [`Reader`] serves the commands, in any process, at the same time (WAL). [`forget`] deletes for good. [`export`],
//! [`when`], [`query`], [`why`] and [`redact`] are computations on values.
//!
//! Promises: a turn whose acknowledgement has been given survives `kill -9` at any instant and, as far as the disk tells
//! the truth, loss of power; no turn is stored twice; where the store cannot be written, turns wait in memory and are
//! written when it can. Nothing here logs words; errors never hold any.

pub mod audio;
mod error;
pub mod export;
mod files;
pub mod forget;
pub mod query;
mod reader;
mod record;
pub mod redact;
mod schema;
pub mod when;
pub mod why;
mod writer;

pub use error::StoreError;
pub use forget::{Forgotten, Retention, Which};
pub use reader::{Hit, ListRequest, MARK, Reader, SearchRequest, Speaker, StoredEvent};
pub use record::{RecordId, SessionInfo, StoredTurn, Wall, insert_session, insert_turn};
pub use schema::{Integrity, check, open_writable};
pub use writer::{Ack, Closed, Notice, QueueFull, Trouble, Writer, WriterOptions};
