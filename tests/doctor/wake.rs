//! The wake phrase: no model, one that is damaged, one that does not hear, one that wakes for nothing.

use std::fs;

use hark::daemon::doctor::Status;
use hark::daemon::doctor::wake::{Scores, judge};
use hark::dialogue::WakeLevels;

use crate::support::Home;

const LEVELS: WakeLevels = WakeLevels {
    propose: 0.2,
    certain: 0.6,
};

#[test]
fn a_phrase_without_a_model_is_found_in_words_and_a_threshold_is_then_without_effect() {
    let home = Home::new().with("HARK_WAKE_PHRASE", "good morning sunshine");
    home.doctor()
        .expect("wake_model", "ok", "looked for in the words", "");
    home.with("HARK_WAKE_THRESHOLD", "0.7").doctor().expect(
        "wake_model",
        "warn",
        "wake.threshold has no effect",
        "`make train-wake PHRASE=\"good morning sunshine\"`",
    );
}

#[test]
fn a_damaged_model_is_named_with_how_to_make_it_again() {
    let home = Home::new().with("HARK_WAKE_PHRASE", "good morning");
    let models = home.path().join("models");
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join("wake-good-morning.onnx"), b"no model").unwrap();
    let table = "phrase = \"good morning\"\npropose = 0.2\nthreshold = 0.6\nsha256 = \"00\"\n";
    fs::write(models.join("wake-good-morning.toml"), table).unwrap();
    home.doctor().expect(
        "wake_model",
        "warn",
        "is damaged",
        "`make train-wake PHRASE=\"good morning\"`",
    );
}

#[test]
fn a_model_whose_table_is_missing_is_named() {
    let home = Home::new().with("HARK_WAKE_PHRASE", "good morning");
    let models = home.path().join("models");
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join("wake-good-morning.onnx"), b"no model").unwrap();
    home.doctor()
        .expect("wake_model", "warn", "needs its table", "`make train-wake");
}

#[test]
fn where_only_the_key_wakes_there_is_nothing_to_test() {
    Home::new()
        .with("HARK_WAKE_ENABLED", "false")
        .doctor()
        .expect("wake_model", "skip", "only the key", "");
}

#[test]
fn a_model_that_does_not_hear_and_one_that_wakes_for_nothing_are_told_apart() {
    let judged = |said, silence| judge("hey hark", Scores { said, silence }, LEVELS);
    assert_eq!(judged(0.9, 0.0).status, Status::Ok);
    let likely = judged(0.4, 0.0);
    assert!(
        likely.status == Status::Ok && likely.detail.contains("its words decide"),
        "{likely:?}"
    );
    let deaf = judged(0.1, 0.0);
    assert_eq!(deaf.status, Status::Warn);
    assert!(deaf.remedy.unwrap().contains("wake.threshold"));
    let nervous = judged(0.9, 0.3);
    assert!(
        nervous.status == Status::Warn && nervous.detail.contains("for nothing"),
        "{nervous:?}"
    );
}
