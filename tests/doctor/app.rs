//! Hark.app: through the binary, lying in a bundle, with stand-ins that print what `plutil` and `codesign` print of a broken
//! one. The texts are those of codesign's manual and of macOS 14; the real tools are asked on a Mac only.

use std::path::PathBuf;

use hark::daemon::doctor::Status;
use hark::daemon::doctor::app::{bundle, outside};
use hark::platform::System;

use crate::support::{Findings, Home};

const INFO: &str = r#"{"CFBundleIdentifier":"dev.hark.Hark","CFBundleExecutable":"hark","LSUIElement":true,"NSMicrophoneUsageDescription":"Hark listens."}"#;

const SIGNED: &str = "Executable=/Applications/Hark.app/Contents/MacOS/hark
Identifier=dev.hark.Hark
Format=app bundle with Mach-O thin (arm64)
CodeDirectory v=20500 size=512 flags=0x10000(runtime) hashes=8+7 location=embedded
Signature size=1800
Authority=Hark Local Signing
TeamIdentifier=not set
[Dict]
	[Key] com.apple.security.device.audio-input
	[Value]
		[Bool] true";

/// What `hark doctor` finds where it lies in a bundle of which the tools print this.
fn examined(info: &str, signature: &str) -> Findings {
    let home = Home::new()
        .script("plutil", &format!("cat <<'END'\n{info}\nEND"))
        .script("codesign", signature);
    let program = home.path().join("Hark.app/Contents/MacOS/hark");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    let built = env!("CARGO_BIN_EXE_hark");
    if std::fs::hard_link(built, &program).is_err() {
        std::fs::copy(built, &program).unwrap();
    }
    Findings::read(&home.run(&program, &["doctor", "--json"]))
}

/// A codesign that shows `text` and verifies.
fn shows(text: &str) -> String {
    format!("case $1 in -d) cat >&2 <<'END'\n{text}\nEND\n;; esac")
}

#[test]
fn a_bundle_in_order_is_told_with_who_signed_it() {
    let found = examined(INFO, &shows(SIGNED));
    found.expect("app", "ok", "Hark.app says", "");
    found.expect("signature", "ok", "Hark Local Signing", "");
}

#[test]
fn a_bundle_without_the_sentence_for_the_microphone_is_named() {
    let without = INFO.replace("NSMicrophoneUsageDescription", "NSCameraUsageDescription");
    examined(&without, &shows(SIGNED)).expect(
        "app",
        "warn",
        "NSMicrophoneUsageDescription",
        "`make app`",
    );
}

#[test]
fn a_bundle_of_another_name_or_an_unreadable_one_is_named() {
    let other = INFO.replace("dev.hark.Hark", "com.example.hark");
    examined(&other, &shows(SIGNED)).expect("app", "warn", "com.example.hark", "`make app`");
    examined("<<<", &shows(SIGNED)).expect("app", "warn", "not understood", "`make app`");
}

#[test]
fn an_ad_hoc_signature_is_named_because_the_grant_does_not_survive_an_update() {
    let adhoc = SIGNED
        .replace("Signature size=1800", "Signature=adhoc")
        .replace("Authority=Hark Local Signing\n", "");
    examined(INFO, &shows(&adhoc)).expect("signature", "warn", "ad hoc", "`make app`");
}

#[test]
fn a_missing_signature_one_that_does_not_fit_and_a_missing_entitlement_are_told_apart() {
    let unsigned = "echo \"Hark.app: code object is not signed at all\" >&2; exit 1";
    examined(INFO, unsigned).expect("signature", "warn", "is not signed", "`make app`");
    let changed = format!("{}\ncase $1 in --verify) exit 1;; esac", shows(SIGNED));
    examined(INFO, &changed).expect(
        "signature",
        "warn",
        "changed after it was signed",
        "`make app`",
    );
    let weak = SIGNED.replace("audio-input", "camera");
    examined(INFO, &shows(&weak)).expect("signature", "warn", "audio-input", "`make app`");
}

#[test]
fn a_program_outside_of_a_bundle_is_a_finding_on_a_mac_only() {
    assert_eq!(outside(System::Linux).status, Status::Skip);
    let told = outside(System::MacOs);
    assert_eq!(told.status, Status::Warn);
    assert!(told.remedy.unwrap().contains("`make app`"));
    let inside = PathBuf::from("/Applications/Hark.app/Contents/MacOS/hark");
    assert_eq!(
        bundle(&inside),
        Some(PathBuf::from("/Applications/Hark.app"))
    );
    assert_eq!(bundle(&PathBuf::from("/usr/local/bin/hark")), None);
}
