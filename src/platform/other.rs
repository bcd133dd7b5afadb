//! Systems without any support of their own: the home folder, and no more.

use std::path::PathBuf;

use super::Permission;
use super::audio::Attachment;
use super::directories::Directories;
use super::hotkey::HotkeyError;
use super::speech::{InstalledVoice, OnSamples, SystemVoiceError, Utterance};
use super::volume::{Volume, VolumeError};

pub(super) const SYSTEM: super::System = super::System::Other;
pub(super) const NAME: &str = "this system";
pub(super) const INSTALL_COMMAND: &str = "install the package";
pub(super) const SERVICE_KIND: super::ServiceKind = super::ServiceKind::Nobody;
pub(super) const PROGRAM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
pub(super) const MICROPHONE_SETTINGS_HINT: &str =
    "Allow this program to use the microphone in the system's settings.";

pub(super) fn microphone_permission() -> Permission {
    Permission::NotApplicable
}

pub(super) fn ask_for_microphone(_limit: std::time::Duration) {}
pub(super) fn attachment(_id: &str) -> Option<Attachment> {
    None
}

pub(super) fn another_program_listens() -> Option<bool> {
    None
}

pub(super) fn total_memory_bytes() -> Option<u64> {
    None
}

pub(super) fn processor_name() -> Option<String> {
    None
}

pub(super) fn own_memory_bytes() -> Option<u64> {
    None
}

pub(super) const fn secure_input() -> Option<bool> {
    None
}

pub(super) fn hotkey_display() -> Result<(), HotkeyError> {
    Err(HotkeyError::NoDisplay {
        reason: "this system is not supported".to_owned(),
    })
}

pub(super) fn on_main_thread<T>(work: impl FnOnce() -> T) -> T {
    work()
}

pub(super) fn footprint_bytes(_pid: u32) -> Option<u64> {
    None
}

pub(super) fn available_bytes() -> Option<u64> {
    None
}

pub(super) fn pressure() -> Option<crate::memory::Pressure> {
    None
}

pub(super) fn gpu_limit_bytes() -> Option<u64> {
    None
}

pub(super) fn processes() -> Vec<super::process::Process> {
    Vec::new()
}

pub(super) fn started(_pid: u32) -> Option<String> {
    None
}

pub(super) fn group_lives(_leader: i32) -> bool {
    true
}

pub(super) fn listener(_port: u16) -> Option<u32> {
    None
}

pub(super) fn listening() -> Option<Vec<super::ports::Listening>> {
    None
}

pub(super) fn run_main_loop<T>(work: impl FnOnce() -> T) -> std::io::Result<T> {
    Ok(work())
}

pub(super) fn directories(path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<Directories> {
    let root = path("HOME").or_else(|| path("USERPROFILE"))?.join(".hark");
    Some(Directories {
        config: root.clone(),
        logs: root.join("logs"),
        runtime: root.clone(),
        state: root,
    })
}

/// There is no system voice: no value of this type exists.
#[derive(Debug)]
pub(super) enum Voice {}

impl Voice {
    pub(super) fn open() -> Option<Self> {
        None
    }

    pub(super) fn installed(&self) -> Vec<InstalledVoice> {
        match *self {}
    }

    pub(super) fn say(
        &mut self,
        _utterance: Utterance<'_>,
        _on_samples: OnSamples<'_>,
    ) -> Result<(), SystemVoiceError> {
        match *self {}
    }
}

pub(super) fn volume() -> Result<Volume, VolumeError> {
    Err(VolumeError::Unsupported)
}

pub(super) fn set_volume(_percent: u8) -> Result<(), VolumeError> {
    Err(VolumeError::Unsupported)
}

pub(super) fn set_muted(_muted: bool) -> Result<(), VolumeError> {
    Err(VolumeError::Unsupported)
}

pub(super) fn raise_this_thread() -> bool {
    false
}
