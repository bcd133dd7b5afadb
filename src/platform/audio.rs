//! What the sound system knows of devices and of other programs, and cpal does not tell.
//!
//! Blocking, some milliseconds; called by the threads that own devices and by the daemon's watch, never from a callback.

use super::system;

/// How a device is attached, as far as it matters for choosing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// It belongs to the machine.
    BuiltIn,
    /// By radio: while its microphone is open, both of its directions sound like a telephone.
    Bluetooth,
    /// By a cable, by software, or it is not known.
    Other,
}

/// How the device with the host's own id is attached; `name` is what people see.
#[must_use]
pub fn attachment(id: &str, name: &str) -> Attachment {
    system::attachment(id).unwrap_or_else(|| by_name(name))
}

/// Where the system does not tell: names of microphones and loudspeakers that belong to a machine.
fn by_name(name: &str) -> Attachment {
    let name = name.to_lowercase();
    if name.contains("airpods") || name.contains("bluetooth") {
        Attachment::Bluetooth
    } else if name.contains("built-in") || name.contains("macbook") || name.contains("internal") {
        Attachment::BuiltIn
    } else {
        Attachment::Other
    }
}

/// Whether another program captures from a microphone now: a call, a recording. `None` where that cannot be told.
#[must_use]
pub fn another_program_listens() -> Option<bool> {
    system::another_program_listens()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_something_where_the_system_does_not() {
        assert_eq!(by_name("Anna's AirPods Pro"), Attachment::Bluetooth);
        assert_eq!(by_name("MacBook Pro Microphone"), Attachment::BuiltIn);
        assert_eq!(by_name("Built-in Audio Analog Stereo"), Attachment::BuiltIn);
        assert_eq!(by_name("Scarlett Solo USB"), Attachment::Other);
    }
}
