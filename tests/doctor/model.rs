//! The speech model: missing, unknown, damaged, truncated, and one that works.

use std::fs;

use crate::support::{Home, working_model};

#[test]
fn a_model_that_is_not_here_is_named_with_how_to_pull_it() {
    let found = Home::new().with("HARK_STT_MODEL", "small.en").doctor();
    found.expect(
        "speech_model",
        "fail",
        "small.en is not on this machine",
        "`hark models pull small.en`",
    );
    found.expect("speech_self_test", "skip", "no speech model", "");
    assert_eq!(
        (found.code, &found.document["ok"]),
        (Some(1), &false.into())
    );
}

#[test]
fn a_model_that_nobody_knows_is_named() {
    let found = Home::new().with("HARK_STT_MODEL", "smal.en").doctor();
    found.expect("speech_model", "fail", "did you mean", "`hark models list`");
}

#[test]
fn a_pulled_model_that_differs_from_its_hash_is_named_with_how_to_get_it_again() {
    let home = Home::new().with("HARK_STT_MODEL", "tiny.en-q5_1");
    let folder = home.path().join("models");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("ggml-tiny.en-q5_1.bin"),
        b"lmgg and then nothing",
    )
    .unwrap();
    let found = home.doctor();
    found.expect(
        "speech_model",
        "fail",
        "is damaged",
        "`hark models remove tiny.en-q5_1 && hark models pull tiny.en-q5_1`",
    );
    assert_eq!(found.code, Some(1));
}

#[test]
fn a_truncated_model_of_unknown_hash_is_found_by_its_structure() {
    let Some(model) = working_model() else { return };
    let home = Home::new();
    let models = home.path().join("models");
    fs::create_dir_all(&models).unwrap();
    let whole = fs::read(model).unwrap();
    fs::write(models.join("starter.en.bin"), &whole[..whole.len() / 2]).unwrap();
    let found = home.with("HARK_STT_MODEL", "starter.en").doctor();
    found.expect(
        "speech_model",
        "fail",
        "is damaged",
        "`hark models pull base.en`",
    );
    found.expect("speech_self_test", "skip", "", "");
    assert_eq!(found.code, Some(1));
}

#[test]
fn a_model_that_works_understands_the_bundled_clip_and_the_starter_is_pointed_out() {
    let Some(model) = working_model() else { return };
    let home = Home::new();
    let models = home.path().join("models");
    fs::create_dir_all(&models).unwrap();
    fs::copy(model, models.join("starter.en.bin")).unwrap();
    let found = home.with("HARK_STT_MODEL", "starter.en").doctor();
    found.expect(
        "speech_model",
        "warn",
        "the bundled starter",
        "`hark models pull base.en`",
    );
    let (status, detail, _) = found.check("speech_self_test");
    // A busy machine may make it slow, which is a warning and no mistake of the model.
    assert!(matches!(status, "ok" | "warn"), "{detail}");
    assert!(
        detail.contains("every word") || detail.contains("understood \"what time is it\""),
        "{detail}"
    );
}

#[test]
fn a_language_that_the_model_does_not_know_is_named() {
    let Some(model) = working_model() else { return };
    let home = Home::new()
        .with("HARK_STT_MODEL", model.to_str().unwrap())
        .with("HARK_STT_LANGUAGE", "de");
    home.doctor().expect(
        "speech_self_test",
        "fail",
        "\"de\"",
        "`hark models pull base`",
    );
}
