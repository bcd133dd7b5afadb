//! `hark models`, and what becomes of a damaged or missing model.

use crate::support::{Home, data, json, keys, model};

#[test]
fn models_are_listed_and_found() {
    let home = Home::new();
    let ran = home.hark(&["models", "list", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let list = json(&ran.out);
    let starter = &list[0];
    for key in [
        "name",
        "file",
        "about_bytes",
        "memory_bytes",
        "sha256",
        "licence",
        "bundled",
        "path",
    ] {
        assert!(keys(starter).contains(&key), "{key}: {starter}");
    }
    assert_eq!(starter["name"], "starter.en");
    assert!(
        starter["path"]
            .as_str()
            .unwrap()
            .ends_with("/bundled/starter.en.bin")
    );
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"base.en") && names.contains(&"large-v3-turbo-q5_0"),
        "{names:?}"
    );
    assert_eq!(
        home.hark(&["models", "path"]).out,
        "~/bundled/starter.en.bin\n"
    );
    let absent = home.hark(&["models", "path", "base.en"]);
    assert_eq!(absent.code, 1, "{absent:?}");
    assert!(
        absent.err.contains("hark models pull base.en"),
        "{}",
        absent.err
    );
    let unknown = home.hark(&["models", "path", "bse.en"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("base.en"), "{}", unknown.err);
}

#[test]
fn a_damaged_model_is_told_before_anything_is_done() {
    let home = Home::new();
    let whole = std::fs::read(model()).unwrap();
    std::fs::remove_file(home.path("bundled/starter.en.bin")).unwrap();
    let clip = data("clip.wav");
    let verbs = [
        &["transcribe", &clip][..],
        &["demo", "--wav", &clip, "--out", "a.wav", "--json"],
        &["run", "--input", &clip, "--output", "a.wav", "--fast"],
        &["listen", "--input", &clip, "--fast"],
    ];
    let mut noise = whole.clone();
    noise[..64].fill(0x55);
    for damage in [&whole[..100_000], &whole[..2], &noise] {
        home.write("bundled/starter.en.bin", damage);
        for words in verbs {
            let ran = home.hark(words);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (1, ""),
                "{words:?}: {}",
                ran.err
            );
            let told = ran
                .err
                .contains("the speech model ~/bundled/starter.en.bin cannot be loaded");
            assert!(
                told && ran.err.contains("hark models verify"),
                "{words:?}: {}",
                ran.err
            );
        }
    }
    assert!(!home.path("transcripts").exists(), "nothing was recorded");
}

#[test]
fn a_model_that_is_configured_and_not_here_is_told_with_how_to_get_it() {
    let home = Home::new().with("HARK_STT_MODEL", "base.en");
    let clip = data("clip.wav");
    for words in [
        &["transcribe", &clip][..],
        &["run", "--input", &clip, "--output", "a.wav", "--fast"],
    ] {
        let ran = home.hark(words);
        assert_eq!(ran.code, 1, "{words:?}: {}", ran.err);
        assert!(
            ran.err.contains("hark models pull base.en"),
            "{words:?}: {}",
            ran.err
        );
    }
}
