//! Installed voices, by the lists that both engines print, and a Bluetooth headset that becomes a telephone.

use hark::audio::devices::{DeviceInfo, DeviceList, Wanted};
use hark::daemon::doctor::Status;
use hark::daemon::doctor::voices::{Listed, bluetooth, judge};
use hark::platform::audio::Attachment;

use crate::support::Home;

const ESPEAK: &str = "\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 5  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  de              --/M      German             gmw/de
";

const SAY: &str = "\
Albert              en_US    # Hello! My name is Albert.
Anna                de_DE    # Hallo! Ich heiße Anna.
Eddy (German (Germany)) de_DE    # Hallo! Ich heiße Eddy.
Samantha            en_US    # Hello! My name is Samantha.
";

#[test]
fn voices_of_the_language_are_counted_whatever_engine_lists_them() {
    let espeak = judge(Listed::Espeak, "en", ESPEAK);
    assert_eq!(espeak.status, Status::Ok);
    assert!(
        espeak
            .detail
            .contains("2 voices for \"en\": English_(Great_Britain)"),
        "{espeak:?}"
    );
    let say = judge(Listed::Say, "de", SAY);
    assert!(
        say.detail
            .contains("2 voices for \"de\": Anna, Eddy (German (Germany))"),
        "{say:?}"
    );
    assert!(
        say.detail.contains("better ones can be downloaded"),
        "{say:?}"
    );
    let premium = format!("{SAY}Ava (Premium)       en_US    # Hello! My name is Ava.\n");
    let good = judge(Listed::Say, "en", &premium);
    assert!(!good.detail.contains("better ones"), "{good:?}");
}

#[test]
fn a_language_without_a_voice_is_a_finding_with_where_to_get_one() {
    for (engine, list, remedy) in [
        (Listed::Espeak, ESPEAK, "`"),
        (Listed::Say, SAY, "Manage Voices"),
    ] {
        let none = judge(engine, "fi", list);
        assert_eq!(none.status, Status::Warn);
        assert!(none.detail.contains("\"fi\""), "{none:?}");
        assert!(none.remedy.unwrap().contains(remedy));
    }
}

#[test]
fn the_binary_names_a_language_that_the_installed_engine_cannot_speak() {
    if cfg!(target_os = "macos") {
        println!("skipped: the voices of this system are not scripted");
        return;
    }
    let list = format!("cat <<'END'\n{ESPEAK}END");
    let home = Home::new().script("espeak-ng", &list);
    home.with("HARK_STT_LANGUAGE", "fi")
        .doctor()
        .expect("voices", "warn", "\"fi\"", "`");
}

fn device(name: &str, attached: Attachment, default: bool) -> DeviceInfo {
    DeviceInfo {
        name: name.to_owned(),
        id: name.to_owned(),
        default,
        monitor: false,
        attached,
        rate: Some(48_000),
        channels: Some(1),
        sample: Some("f32".to_owned()),
    }
}

fn wanting(input: &str) -> Wanted {
    Wanted {
        input: input.to_owned(),
        prefer: Vec::new(),
        output: "default".to_owned(),
        spare_headset: true,
    }
}

#[test]
fn a_headset_whose_microphone_is_used_is_named_and_one_that_only_plays_is_in_order() {
    let headset = || device("AirPods", Attachment::Bluetooth, true);
    let desk = || device("Desk", Attachment::BuiltIn, false);
    let list = DeviceList {
        host: "CoreAudio".to_owned(),
        inputs: vec![headset(), desk()],
        outputs: vec![headset()],
    };
    let named = bluetooth(&list, &wanting("AirPods"));
    assert_eq!(named.status, Status::Warn);
    assert!(named.detail.contains("hands-free profile"), "{named:?}");
    assert!(named.remedy.unwrap().contains("`hark devices`"));
    let spared = bluetooth(&list, &wanting("default"));
    assert_eq!(spared.status, Status::Ok, "{spared:?}");
    let wired = DeviceList {
        host: "CoreAudio".to_owned(),
        inputs: vec![desk()],
        outputs: vec![desk()],
    };
    assert_eq!(bluetooth(&wired, &wanting("default")).status, Status::Skip);
}
