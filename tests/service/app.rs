//! `make app` up to the signature: the bundle is built here with recording stand-ins for `codesign` and `security`, and its
//! property lists are read by Python. What the real ones make of it, only a Mac can show.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What Python reads in a property list.
fn plist(path: &Path) -> serde_json::Value {
    let script =
        "import plistlib,json,sys; print(json.dumps(plistlib.load(open(sys.argv[1],'rb'))))";
    let read = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    serde_json::from_slice(&read.stdout).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// With a `security` that knows the certificate from the second question on.
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(bench.path("bin")).unwrap();
        bench.script("codesign", r#"echo "codesign $*" >> "$LOG""#);
        bench.script(
            "security",
            r#"echo "security $*" >> "$LOG"
case $1 in
  find-identity) [ -e "$LOG.imported" ] && echo '  1) 0AF "Hark Local Signing"' || echo '     0 valid identities found' ;;
  import) touch "$LOG.imported" ;;
esac"#,
        );
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn make(&self, identity: Option<&str>) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new("bash");
        command
            .arg(root().join(".ci/app"))
            .env_clear()
            .env("PATH", path)
            .env("LOG", self.path("log"))
            .env("HARK_APP", self.path("Hark.app"))
            .env("HARK_APP_BINARY", env!("CARGO_BIN_EXE_hark"));
        if let Some(identity) = identity {
            command.env("HARK_SIGN_IDENTITY", identity);
        }
        command.output().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

#[test]
fn the_bundle_has_the_program_its_sentences_its_models_and_an_icon() {
    let bench = Bench::new();
    let made = bench.make(Some("Developer ID Application: Ann"));
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let contents = bench.path("Hark.app/Contents");
    let info = plist(&contents.join("Info.plist"));
    assert_eq!(info["CFBundleIdentifier"], hark::service::BUNDLE);
    assert_eq!(
        info["CFBundleShortVersionString"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(info["LSUIElement"], true);
    assert!(
        info["NSMicrophoneUsageDescription"]
            .as_str()
            .unwrap()
            .contains("stays on this Mac")
    );
    let program = contents
        .join("MacOS")
        .join(info["CFBundleExecutable"].as_str().unwrap());
    let head = std::fs::read(&program).unwrap();
    // A Mach-O there, an ELF here; in no case a script, which the microphone is not granted to.
    assert!(!head.starts_with(b"#!") && head.len() > 1_000_000);
    assert!(contents.join("Resources/models/starter.en.bin").is_file());
    let icon = std::fs::read(contents.join("Resources/Hark.icns")).unwrap();
    assert_eq!(&icon[..4], b"icns");
    let length = u32::from_be_bytes(icon[4..8].try_into().unwrap());
    assert_eq!(length as usize, icon.len());
    let log = bench.log();
    assert!(
        log.contains("--options runtime") && log.contains("--identifier dev.hark.Hark"),
        "{log}"
    );
    assert!(
        log.contains("--sign Developer ID Application: Ann"),
        "{log}"
    );
}

#[test]
fn the_program_in_the_bundle_finds_the_models_in_it() {
    let bench = Bench::new();
    assert!(bench.make(Some("-")).status.success());
    let found = Command::new(bench.path("Hark.app/Contents/MacOS/hark"))
        .args(["models", "path", "starter.en"])
        .env_clear()
        .env("HARK_HOME", bench.path("home"))
        .output()
        .unwrap();
    let path = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        path.contains("Hark.app/Contents/"),
        "{path}{}",
        String::from_utf8_lossy(&found.stderr)
    );
}

#[test]
fn without_an_identity_a_certificate_is_made_once_and_used_again() {
    let bench = Bench::new();
    let first = bench.make(None);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert!(
        bench
            .log()
            .contains("security add-trusted-cert -p codeSign")
    );
    assert!(bench.log().contains("--sign Hark Local Signing"));
    assert!(bench.make(None).status.success());
    assert_eq!(
        bench.log().matches("security import").count(),
        1,
        "{}",
        bench.log()
    );
}

#[test]
fn elsewhere_than_on_a_mac_the_missing_tool_is_named() {
    let bench = Bench::new();
    std::fs::remove_file(bench.path("bin/codesign")).unwrap();
    let made = bench.make(None);
    assert_eq!(made.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&made.stderr).contains("codesign is missing"));
    assert!(!bench.path("Hark.app").exists());
}

#[test]
fn the_entitlements_allow_the_microphone_and_are_readable() {
    let entitlements = plist(&root().join("launchd/hark.entitlements"));
    assert_eq!(entitlements["com.apple.security.device.audio-input"], true);
}

#[test]
fn the_release_is_packed_by_what_is_there() {
    let workflow = std::fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    for target in ["build", "app"] {
        assert!(
            workflow.contains(&format!("make {target}"))
                && makefile.contains(&format!("\n{target}:"))
        );
    }
    let formula = std::fs::read_to_string(root().join("launchd/hark.rb")).unwrap();
    for place in ["{{url}}", "{{sha256}}"] {
        assert!(
            formula.contains(place) && workflow.contains(place),
            "{place} is filled in"
        );
    }
    match Command::new("ruby")
        .arg("-c")
        .arg(root().join("launchd/hark.rb"))
        .output()
    {
        Ok(checked) => assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        ),
        Err(_) => {
            println!("skipped: ruby is not installed, so the formula's syntax is not checked")
        }
    }
}
