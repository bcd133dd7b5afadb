//! `hark bench`: what the measurements print, on real recordings.

use crate::support::{Home, data, json, keys};

/// What every measurement tells besides its findings.
const ABOUT: [&str; 4] = ["bench", "version", "release_build", "machine"];

fn clips() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.path("clips")).unwrap();
    std::fs::copy(data("question.wav"), home.path("clips/question.wav")).unwrap();
    home.write("clips/question.txt", "What time is it?");
    let silence: Vec<u8> = std::fs::read(data("question.wav")).unwrap();
    // The header of the clip over samples that are all zero.
    let mut quiet = silence;
    quiet[44..].fill(0);
    home.write("clips/quiet.wav", quiet);
    home.write("clips/quiet.txt", "");
    home
}

#[test]
fn the_starter_hears_the_bundled_question_and_nothing_in_silence() {
    let home = clips();
    let ran = home.hark(&["bench", "asr", "starter.en", "clips", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = json(&ran.out);
    assert_eq!(keys(&found)[..4], ABOUT);
    assert_eq!(found["bench"], "asr");
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert!(found["machine"]["cores"].as_u64().unwrap() > 0, "{found}");
    let sets = found["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 2, "{found}");
    assert_eq!(sets[0]["set"], "clips");
    assert_eq!(
        (&sets[0]["words"], &sets[0]["errors"]),
        (&4.into(), &0.into())
    );
    assert_eq!(sets[1]["set"], "clips (no speech)");
    assert_eq!(
        (&sets[1]["wer"], &sets[1]["errors"]),
        (&serde_json::Value::Null, &0.into())
    );
    assert!(sets[0]["ms_per_second"].as_f64().unwrap() > 0.0, "{found}");

    let table = home.hark(&["bench", "asr", "starter.en", "clips"]);
    assert!(
        table.out.contains("0.0 %") && table.out.contains("0 words"),
        "{table:?}"
    );
}

#[test]
fn a_manifest_names_sets_and_leaves_out_what_is_no_transcript() {
    let home = clips();
    home.write(
        "clips/manifest.csv",
        "file,text,category,text_kind\nquestion.wav,\"what, time is that\",asked,verbatim\nquiet.wav,hum,noise,label\nquestion.wav,time,asked,keyword\n",
    );
    let found = json(
        &home
            .hark(&["bench", "asr", "starter.en", "clips", "--json"])
            .out,
    );
    let sets = found["sets"].as_array().unwrap();
    assert_eq!(sets[0]["set"], "asked");
    assert_eq!(
        (&sets[0]["words"], &sets[0]["errors"]),
        (&4.into(), &1.into())
    );
    assert_eq!(sets[1]["set"], "noise (no speech)");
    assert_eq!(found["skipped"], 1);
}

#[test]
fn a_folder_without_texts_is_wrong_usage_with_the_remedy() {
    let home = clips();
    std::fs::create_dir(home.path("empty")).unwrap();
    let ran = home.hark(&["bench", "asr", "starter.en", "empty"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no sound files"), "{ran:?}");
    let ran = home.hark(&["bench", "asr", "no-such-model", "clips"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}
