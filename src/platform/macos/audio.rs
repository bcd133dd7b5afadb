//! CoreAudio's properties: how a device is attached, and which processes capture.

use core::ffi::c_void;
use core::ptr::NonNull;

use objc2_core_audio::{
    AudioObjectGetPropertyData, AudioObjectGetPropertyDataSize, AudioObjectID,
    AudioObjectPropertyAddress, kAudioDevicePropertyTransportType,
    kAudioDeviceTransportTypeBluetooth, kAudioDeviceTransportTypeBluetoothLE,
    kAudioDeviceTransportTypeBuiltIn, kAudioHardwarePropertyProcessObjectList,
    kAudioHardwarePropertyTranslateUIDToDevice, kAudioObjectPropertyElementMain,
    kAudioObjectPropertyScopeGlobal, kAudioObjectSystemObject, kAudioProcessPropertyIsRunningInput,
    kAudioProcessPropertyPID,
};
use objc2_core_foundation::CFString;

use crate::platform::audio::Attachment;

/// `uid` is the id that cpal gives: the device's UID.
pub(in crate::platform) fn attachment(uid: &str) -> Option<Attachment> {
    let uid = CFString::from_str(uid);
    let pointer: *const CFString = &*uid;
    let device: AudioObjectID = number_for(
        SYSTEM,
        kAudioHardwarePropertyTranslateUIDToDevice,
        Some(&pointer),
    )?;
    let transport = number_for(device, kAudioDevicePropertyTransportType, None)?;
    Some(match transport {
        t if t == kAudioDeviceTransportTypeBuiltIn => Attachment::BuiltIn,
        t if t == kAudioDeviceTransportTypeBluetooth
            || t == kAudioDeviceTransportTypeBluetoothLE =>
        {
            Attachment::Bluetooth
        }
        _ => Attachment::Other,
    })
}

/// Processes are objects of CoreAudio from macOS 14.2 on; before that nobody but us can be told apart.
pub(in crate::platform) fn another_program_listens() -> Option<bool> {
    let processes = list(SYSTEM, kAudioHardwarePropertyProcessObjectList)?;
    let own = std::process::id();
    Some(processes.into_iter().any(|process| {
        let captures = number_for(process, kAudioProcessPropertyIsRunningInput, None) == Some(1);
        captures && number_for(process, kAudioProcessPropertyPID, None) != Some(own)
    }))
}

const SYSTEM: AudioObjectID = kAudioObjectSystemObject as AudioObjectID;

const fn address(selector: u32) -> AudioObjectPropertyAddress {
    AudioObjectPropertyAddress {
        mSelector: selector,
        mScope: kAudioObjectPropertyScopeGlobal,
        mElement: kAudioObjectPropertyElementMain,
    }
}

/// A property of 32 bits; the qualifier is a pointer to a string, as UIDs are translated by.
fn number_for(
    object: AudioObjectID,
    selector: u32,
    qualifier: Option<&*const CFString>,
) -> Option<u32> {
    let address = address(selector);
    let mut value = 0_u32;
    let mut size = size_of::<u32>() as u32;
    let (qualifier_size, qualifier) = qualifier.map_or((0, core::ptr::null()), |pointer| {
        (
            size_of::<*const CFString>() as u32,
            core::ptr::from_ref(pointer).cast::<c_void>(),
        )
    });
    // SAFETY: all pointers are of values that outlive the call, `size` says how large `value` is, and the properties asked
    // for hold 32 bits.
    let status = unsafe {
        AudioObjectGetPropertyData(
            object,
            NonNull::from(&address),
            qualifier_size,
            qualifier,
            NonNull::from(&mut size),
            NonNull::from(&mut value).cast(),
        )
    };
    (status == 0 && size == size_of::<u32>() as u32).then_some(value)
}

/// A property that is a list of objects.
fn list(object: AudioObjectID, selector: u32) -> Option<Vec<AudioObjectID>> {
    let address = address(selector);
    let mut size = 0_u32;
    // SAFETY: both pointers are of values that outlive the call; there is no qualifier.
    let status = unsafe {
        AudioObjectGetPropertyDataSize(
            object,
            NonNull::from(&address),
            0,
            core::ptr::null(),
            NonNull::from(&mut size),
        )
    };
    if status != 0 {
        return None;
    }
    let mut objects = vec![0 as AudioObjectID; size as usize / size_of::<AudioObjectID>()];
    let data = NonNull::new(objects.as_mut_ptr())?;
    // SAFETY: `objects` has room for `size` bytes, and both outlive the call; the property is a list of object ids.
    let status = unsafe {
        AudioObjectGetPropertyData(
            object,
            NonNull::from(&address),
            0,
            core::ptr::null(),
            NonNull::from(&mut size),
            data.cast(),
        )
    };
    objects.truncate(size as usize / size_of::<AudioObjectID>());
    (status == 0).then_some(objects)
}
