//! Hark.app: what macOS needs to ask for the microphone, and to remember the answer.
//!
//! macOS grants the microphone to a signed bundle with a sentence in its Info.plist. Without the sentence no question
//! appears and the microphone gives silence; an ad-hoc signature loses the grant with every update, while System Settings
//! still shows it switched on. What `plutil` and `codesign` print is read by functions of text, tested on every system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Check, Setup, shell};
use crate::platform::command::{Ended, finish};
use crate::platform::{self, System};
use crate::service::BUNDLE;

/// All checks of this group.
#[must_use]
pub fn checks(_setup: &Setup) -> Vec<Check> {
    let program = std::env::current_exe().and_then(|path| path.canonicalize());
    let Some(app) = program.ok().as_deref().and_then(bundle) else {
        return vec![outside(platform::system())];
    };
    let info = app.join("Contents/Info.plist");
    let (app_text, info_text) = (app.display().to_string(), info.display().to_string());
    let plist = finish(
        "plutil",
        &["-convert", "json", "-o", "-", &info_text],
        ASKING,
    );
    let signature = finish(
        "codesign",
        &["-d", "--verbose=2", "--entitlements", "-", &app_text],
        ASKING,
    );
    let whole = finish("codesign", &["--verify", "--strict", &app_text], ASKING);
    vec![
        info_plist(&app, told(plist).as_deref().map_err(String::as_str)),
        signed(
            &app,
            told(signature).as_deref().map_err(String::as_str),
            whole.is_ok_and(|ended| ended.code == 0),
        ),
    ]
}

/// Everything that a tool has printed; `codesign` writes to standard error.
fn told(ended: Result<Ended, platform::command::CommandError>) -> Result<String, String> {
    match ended {
        Ok(ended) if ended.code == 0 => Ok(format!("{}\n{}", ended.out, ended.err)),
        Ok(ended) => Err(ended.err.lines().next().unwrap_or("no words").to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The bundle around a program in `Hark.app/Contents/MacOS`.
#[must_use]
pub fn bundle(program: &Path) -> Option<PathBuf> {
    let inside = program.parent()?;
    let contents = inside.parent()?;
    let app = contents.parent()?;
    let is_app = inside.ends_with("Contents/MacOS")
        && app.extension().is_some_and(|extension| extension == "app");
    is_app.then(|| app.to_owned())
}

/// What is said of a program that lies in no bundle.
#[must_use]
pub fn outside(system: System) -> Check {
    if system != System::MacOs {
        return Check::skip(APP, "there are no app bundles on this system");
    }
    Check::warn(
        APP,
        "this program is in no app bundle: macOS counts its microphone as that of the terminal, and a service may get silence",
        "build the app and install the service from it: `make app`, copy target/Hark.app to /Applications, then \
         `/Applications/Hark.app/Contents/MacOS/hark service install`",
    )
}

/// Judges the Info.plist, as JSON of `plutil -convert json`; or why it cannot be read.
#[must_use]
pub fn info_plist(app: &Path, printed: Result<&str, &str>) -> Check {
    let again = "build the app again: `make app`";
    let wrong = |what: &str| Check::warn(APP, format!("{}: {what}", app.display()), again);
    let json = match printed {
        Ok(json) => json,
        Err(why) => return wrong(&format!("its Info.plist cannot be read ({why})")),
    };
    let Ok(info) = serde_json::from_str::<serde_json::Value>(json.trim()) else {
        return wrong("its Info.plist is not understood");
    };
    let text = |key: &str| info.get(key).and_then(serde_json::Value::as_str);
    if text("NSMicrophoneUsageDescription").is_none_or(str::is_empty) {
        return wrong(
            "its Info.plist has no NSMicrophoneUsageDescription, so macOS asks nobody for the microphone and gives silence",
        );
    }
    match text("CFBundleIdentifier") {
        Some(BUNDLE) => {}
        Some(other) => {
            return wrong(&format!(
                "its bundle identifier is {other} instead of {BUNDLE}: the microphone was granted to another"
            ));
        }
        None => return wrong("its Info.plist has no bundle identifier"),
    }
    Check::ok(
        APP,
        format!("{} says what it needs the microphone for", app.display()),
    )
}

/// Judges what `codesign -d --verbose=2 --entitlements -` prints, or why it prints nothing; `whole` is what
/// `codesign --verify` says.
#[must_use]
pub fn signed(app: &Path, printed: Result<&str, &str>, whole: bool) -> Check {
    let again = "sign it again: `make app`; its certificate is made once and kept";
    let wrong = |what: String| Check::warn(SIGNATURE, what, again);
    let printed = match printed {
        Ok(printed) => printed,
        Err(why) if why.contains("not signed") => {
            return wrong(format!(
                "{} is not signed: macOS does not let it use the microphone",
                app.display()
            ));
        }
        Err(why) => {
            return Check::warn(
                SIGNATURE,
                format!("the signature of {} cannot be read: {why}", app.display()),
                format!("ask by hand: `codesign -dv {}`", shell(app)),
            );
        }
    };
    let value = |key: &str| {
        printed
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    if !whole {
        return wrong(format!(
            "{} was changed after it was signed: macOS may refuse to start it",
            app.display()
        ));
    }
    if value("Signature") == Some("adhoc") {
        return wrong(
            "the signature is ad hoc: with every update macOS forgets that Hark may use the microphone, and still shows it \
             switched on"
                .to_owned(),
        );
    }
    if !printed.contains("com.apple.security.device.audio-input") {
        return wrong(
            "the signature lacks the entitlement com.apple.security.device.audio-input: the microphone gives silence".to_owned(),
        );
    }
    let by = value("Authority").unwrap_or("its own certificate");
    Check::ok(
        SIGNATURE,
        format!("signed by \"{by}\", which survives an update"),
    )
}

const APP: &str = "app";
const SIGNATURE: &str = "signature";

/// Both tools answer in some milliseconds.
const ASKING: Duration = Duration::from_secs(5);
