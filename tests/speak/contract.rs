//! What every synthesizer promises, run on each that this machine has.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hark::speak::espeak::Espeak;
use hark::speak::say::Say;
use hark::speak::{self, SpeakError, Synthesizer, VoiceSettings};

use crate::scripted::Scripted;

/// Everything that is said for `text`: samples in all, the loudest, pieces.
fn sound(synthesizer: &mut dyn Synthesizer, text: &str) -> (Vec<f32>, usize) {
    let (mut all, mut pieces) = (Vec::new(), 0);
    let said = synthesizer.synthesize(text, &mut |piece| {
        assert!((8_000..=96_000).contains(&piece.rate), "{}", piece.rate);
        assert!(!piece.samples.is_empty());
        all.extend_from_slice(piece.samples);
        pieces += 1;
        ControlFlow::Continue(())
    });
    said.unwrap();
    (all, pieces)
}

/// The promises that hold for every engine; `short` and `long` are texts that it speaks.
fn keeps_the_contract(synthesizer: &mut dyn Synthesizer, short: &str, long: &str) {
    let name = synthesizer.engine();
    let (first, _) = sound(synthesizer, short);
    let loudest = first
        .iter()
        .fold(0.0_f32, |most, sample| most.max(sample.abs()));
    assert!(
        loudest > 0.05 && loudest <= 1.0,
        "{name}: loudest {loudest}"
    );
    let (second, _) = sound(synthesizer, short);
    assert_eq!(
        first.len(),
        second.len(),
        "{name}: the second text in a row is as the first"
    );
    let (all, pieces) = sound(synthesizer, long);
    assert!(
        pieces > 3 && all.len() > first.len(),
        "{name}: a long text comes in pieces"
    );
    for text in ["", " \n", "...", "?!"] {
        assert!(
            sound(synthesizer, text).0.is_empty(),
            "{name}: no sound for {text:?}"
        );
    }
    let mut given = 0;
    let stopped = synthesizer.synthesize(long, &mut |_| {
        given += 1;
        ControlFlow::Break(())
    });
    assert!(stopped.is_ok(), "{name}: a break is no error");
    assert_eq!(given, 1, "{name}: nothing comes after a break");
    assert!(
        !sound(synthesizer, short).0.is_empty(),
        "{name}: it goes on after a break"
    );
}

fn long_text() -> String {
    "This is a rather long sentence, made to fill some time while it is being said. ".repeat(40)
}

#[test]
fn the_scripted_synthesizer_of_these_tests_keeps_the_contract() {
    keeps_the_contract(&mut Scripted::at(22_050), "0.5 1600", "0.5 64000");
}

#[test]
fn espeak_keeps_the_contract() {
    let Some(mut engine) = crate::espeak() else {
        return;
    };
    keeps_the_contract(&mut engine, "Hello there.", &long_text());
}

/// Under a name of its own, so that the children of the other tests are not counted.
#[cfg(target_family = "unix")]
#[test]
fn no_child_outlives_its_text() {
    if crate::espeak().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("espeak-counted");
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("espeak-ng"))
        .find(|path| path.exists());
    std::os::unix::fs::symlink(found.unwrap(), &program).unwrap();
    let mut engine = Espeak::with_program(&program, &VoiceSettings::default()).unwrap();
    let mut while_speaking = 0;
    for _ in 0..5 {
        let said = engine.synthesize(&long_text(), &mut |_| {
            while_speaking += crate::children("espeak-counted");
            ControlFlow::Break(())
        });
        said.unwrap();
        assert_eq!(crate::children("espeak-counted"), 0);
    }
    sound(&mut engine, "To its end.");
    assert_eq!(crate::children("espeak-counted"), 0);
    // On systems without /proc nothing can be counted.
    assert!(while_speaking > 0 || !std::path::Path::new("/proc/self/stat").exists());
}

#[test]
fn espeak_streams_a_long_text_and_stops_at_once() {
    let Some(mut engine) = crate::espeak() else {
        return;
    };
    let text = long_text().repeat(10);
    let started = Instant::now();
    let mut first = None;
    let said = engine.synthesize(&text, &mut |_| {
        first = Some(started.elapsed());
        ControlFlow::Break(())
    });
    said.unwrap();
    let (first, whole) = (first.unwrap(), started.elapsed());
    eprintln!("espeak-ng: first samples after {first:?}, stopped after {whole:?}");
    // Twenty minutes of speech take seconds to make; the first samples of it do not.
    assert!(first < Duration::from_secs(2), "{first:?}");
    assert!(whole < first + Duration::from_secs(2), "{whole:?}");
}

#[test]
fn the_header_of_espeaks_wav_is_not_played() {
    let Some(mut engine) = crate::espeak() else {
        return;
    };
    let (samples, _) = sound(&mut engine, "Hello there.");
    // Speech begins softly; the bytes "RIFF" are a loud click.
    assert!(
        samples[..50].iter().all(|sample| sample.abs() < 0.1),
        "{:?}",
        &samples[..50]
    );
}

#[test]
fn espeak_obeys_the_rate_and_knows_its_voices() {
    let Some(mut normal) = crate::espeak() else {
        return;
    };
    let settings = |voice: Option<&str>, rate| VoiceSettings {
        voice: voice.map(str::to_owned),
        rate,
    };
    let mut fast = Espeak::open(&settings(None, Some(2.0))).unwrap();
    let text = "How long does it take to say all this?";
    let (slow, quick) = (
        sound(&mut normal, text).0.len(),
        sound(&mut fast, text).0.len(),
    );
    assert!(quick * 4 < slow * 3, "{quick} against {slow}");
    let mut german = Espeak::open(&settings(Some("de"), None)).unwrap();
    assert_ne!(
        sound(&mut german, "one two three").0,
        sound(&mut normal, "one two three").0
    );
    let unknown = Espeak::open(&settings(Some("xx-unknown"), None));
    assert!(matches!(unknown, Err(SpeakError::NoVoice { voice }) if voice == "xx-unknown"));
    let unknown = speak::open("espeak-ng", &settings(Some("xx-unknown"), None));
    assert!(matches!(unknown, Err(SpeakError::NoVoice { .. })));
}

#[test]
fn brackets_dashes_and_options_in_the_text_are_only_text() {
    let Some(mut engine) = crate::espeak() else {
        return;
    };
    for text in [
        "--version",
        "-f /etc/passwd",
        "[[nonsense]] here",
        "<speak>words</speak>",
    ] {
        assert!(!sound(&mut engine, text).0.is_empty(), "{text}");
    }
}

#[test]
fn a_missing_engine_tells_how_to_install_it() {
    let settings = VoiceSettings::default();
    let missing = Espeak::with_program("/no/such/espeak-ng", &settings).unwrap_err();
    let text = missing.to_string();
    assert!(
        matches!(missing, SpeakError::Unavailable { .. }) && text.contains("install"),
        "{text}"
    );
    assert!(matches!(
        Say::with_program("/no/such/say", &settings),
        Err(SpeakError::Unavailable { .. })
    ));
    let unknown = speak::open("parrot", &settings).err().unwrap().to_string();
    assert!(
        unknown.contains("espeak-ng") && unknown.contains("avspeech"),
        "{unknown}"
    );
}

#[test]
fn auto_finds_an_engine_where_there_is_one() {
    if crate::espeak().is_none() {
        return;
    }
    let engine = speak::open("auto", &VoiceSettings::default()).unwrap();
    assert!(speak::ENGINES.iter().any(|row| row.name == engine.engine()));
}

/// A program with the usage of macOS `say`, on top of espeak-ng: what is tested is our side of that usage.
#[cfg(target_family = "unix")]
fn stand_in_for_say(folder: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("say");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(
        br#"#!/bin/sh
voice=en-us out= rate=180
while [ $# -gt 0 ]; do
  case $1 in
    -v) [ "$2" = '?' ] && { echo 'Samantha            en_US    # Hello!'; echo 'Bad News            en_US    # Hi'; exit 0; }; shift ;;
    -o) out=$2; shift ;;
    -r) rate=$2; shift ;;
    -f) [ "$2" = - ] || exit 2; shift ;;
    --file-format=WAVE|--data-format=LEI16@22050) ;;
    *) exit 2 ;;
  esac
  shift
done
exec espeak-ng --stdin -v "$voice" -s "$rate" -w "$out"
"#,
    )
    .unwrap();
    drop(file);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(target_family = "unix")]
#[test]
fn say_keeps_the_contract() {
    if crate::espeak().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in_for_say(folder.path());
    let voice = |name: &str| VoiceSettings {
        voice: Some(name.to_owned()),
        rate: None,
    };
    let mut engine = Say::with_program(&program, &voice("Bad News")).unwrap();
    keeps_the_contract(&mut engine, "Hello there.", &long_text());
    assert!(matches!(
        Say::with_program(&program, &voice("Bad")),
        Err(SpeakError::NoVoice { .. })
    ));
    let ours = format!("hark-say-{}-", std::process::id());
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(&ours)
    });
    assert_eq!(left.count(), 0, "no file is left behind");
}

/// Opens and then fails on every text, as an engine whose event loop does not run.
struct Mute;

impl Synthesizer for Mute {
    fn engine(&self) -> &'static str {
        "mute"
    }

    fn synthesize(
        &mut self,
        _text: &str,
        _on_piece: &mut dyn FnMut(speak::SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        Err(SpeakError::Failed {
            engine: "mute",
            reason: "silent".to_owned(),
        })
    }
}

#[test]
fn an_engine_that_opens_and_says_nothing_is_replaced_by_the_next() {
    use hark::speak::Engine;
    use hark::speak::fallback::Fallback;
    const ABSENT: Engine = Engine {
        name: "absent",
        open: |_| {
            Err(SpeakError::Unavailable {
                engine: "absent",
                reason: "not here".to_owned(),
            })
        },
    };
    const MUTE: Engine = Engine {
        name: "mute",
        open: |_| Ok(Box::new(Mute)),
    };
    const SCRIPTED: Engine = Engine {
        name: "scripted",
        open: |_| Ok(Box::new(Scripted::at(16_000))),
    };
    let settings = VoiceSettings::default();
    let mut engine = Fallback::open(&[ABSENT, MUTE, ABSENT, SCRIPTED], &settings).unwrap();
    assert_eq!(engine.engine(), "mute");
    assert_eq!(sound(&mut engine, "0.5 1600").0.len(), 1_600);
    assert_eq!(engine.engine(), "scripted");
    let broken_off = engine.synthesize("0.5 1600 fail", &mut |_| ControlFlow::Continue(()));
    assert!(
        broken_off.is_err(),
        "what was partly said is not said again"
    );
    let mut alone = Fallback::open(&[MUTE, ABSENT], &settings).unwrap();
    let failed = alone.synthesize("words", &mut |_| ControlFlow::Continue(()));
    assert!(matches!(
        failed,
        Err(SpeakError::Failed { engine: "mute", .. })
    ));
    assert!(Fallback::open(&[ABSENT], &settings).is_err());
}

#[test]
fn espeak_changes_its_language_and_its_own_voice_comes_back() {
    let Some(mut engine) = crate::espeak() else {
        return;
    };
    let text = "zwanzig 20";
    for code in ["de", "en", "zh", "pt", "no"] {
        assert!(
            engine.languages().iter().any(|known| known == code),
            "{code}"
        );
    }
    let own = sound(&mut engine, text).0;
    assert!(engine.set_language(Some("de")));
    let german = sound(&mut engine, text).0;
    assert_ne!(own, german);
    assert!(engine.set_language(Some("en")));
    assert_eq!(
        sound(&mut engine, text).0,
        own,
        "its own voice speaks English, not another one"
    );
    assert!(engine.set_language(Some("de")) && !engine.set_language(Some("xx")));
    assert_eq!(sound(&mut engine, text).0, own, "there is no such voice");
    assert!(engine.set_language(Some("de")) && engine.set_language(None));
    assert_eq!(sound(&mut engine, text).0, own);
}

#[test]
fn the_next_engine_goes_on_in_the_language_of_the_first() {
    use hark::speak::Engine;
    use hark::speak::fallback::Fallback;
    const MUTE: Engine = Engine {
        name: "mute",
        open: |_| Ok(Box::new(Mute)),
    };
    const ESPEAK: Engine = Engine {
        name: "espeak-ng",
        open: |settings| Ok(Box::new(hark::speak::espeak::Espeak::open(settings)?)),
    };
    let Some(mut alone) = crate::espeak() else {
        return;
    };
    let mut engine = Fallback::open(&[MUTE, ESPEAK], &VoiceSettings::default()).unwrap();
    assert!(
        !engine.set_language(Some("de")),
        "the first one has only one voice"
    );
    assert!(alone.set_language(Some("de")));
    assert_eq!(
        sound(&mut engine, "zwanzig 20").0,
        sound(&mut alone, "zwanzig 20").0
    );
}
