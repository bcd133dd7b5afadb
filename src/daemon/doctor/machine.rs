//! Room: on the disk and in memory.

use std::time::Duration;

use super::bounded::within;
use super::files::existing;
use super::{Check, Setup, shell, size};
use crate::daemon::parts;
use crate::platform;

/// All checks of this group.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let place = existing(&setup.places.state);
    let work = place.clone();
    let free = within(ASKING, move || platform::disk::free_bytes(&work));
    let disk = match free {
        Ok(Ok(free)) => disk(free, &shell(&place)),
        Ok(Err(error)) => unknown(&shell(&place), &error.to_string()),
        Err(stuck) => unknown(&shell(&place), &stuck.to_string()),
    };
    let speech = parts::speech_memory(&setup.config);
    vec![disk, memory(platform::total_memory_bytes(), speech)]
}

fn unknown(place: &str, why: &str) -> Check {
    Check::warn(
        "disk",
        format!("the free room at {place} is unknown: {why}"),
        format!("ask the system: `df -h {place}`"),
    )
}

/// Whether the disk of the state folder, `place`, has room.
#[must_use]
pub fn disk(free: u64, place: &str) -> Check {
    const NAME: &str = "disk";
    let told = format!("{} are free at {place}", size(free));
    if free < LEAST_FREE {
        return Check::warn(
            NAME,
            format!("{told}: too little for a speech model, and soon for transcripts"),
            format!(
                "make room: `du -sh {place}` tells what Hark takes, `hark models list` which models can go"
            ),
        );
    }
    Check::ok(NAME, told)
}

/// Whether there is memory for models, of which a speech model may take `speech` bytes.
#[must_use]
pub fn memory(total: Option<u64>, speech: u64) -> Check {
    const NAME: &str = "memory";
    let Some(total) = total else {
        return Check::skip(NAME, "this system does not tell how much memory it has");
    };
    let told = format!(
        "{} in all; the automatic choice of a speech model takes up to {} (`hark plan`)",
        size(total),
        size(speech)
    );
    if total < LEAST_MEMORY {
        return Check::warn(
            NAME,
            format!("{told}. That is little for a language model beside it"),
            "use small models: `hark models pull tiny.en`, and `ollama pull gemma3:1b`",
        );
    }
    Check::ok(NAME, told)
}

/// A network disk may hang.
const ASKING: Duration = Duration::from_secs(5);
/// `base.en` and its unfinished download need 300 MB.
const LEAST_FREE: u64 = 500_000_000;
/// The smallest useful language models take 2 to 3 GB, the system as much.
const LEAST_MEMORY: u64 = 6_000_000_000;
