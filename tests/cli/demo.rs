//! `hark demo`.

use serde_json::Value;

use crate::support::{Home, RECEIPT, data, keys};

#[test]
fn demo_prints_one_document_with_the_receipt() {
    let (home, document) = Home::after_a_demo();
    assert_eq!(
        keys(&document),
        [
            "heard",
            "confidence",
            "answered",
            "outcome",
            "receipt",
            "out"
        ]
    );
    assert_eq!(document["heard"], "what time is it");
    assert!(
        document["answered"].as_str().unwrap().starts_with("It is "),
        "{document}"
    );
    assert_eq!(
        (&document["outcome"], &document["out"]),
        (&Value::from("completed"), &Value::from("a.wav"))
    );
    let receipt = &document["receipt"];
    assert_eq!(keys(receipt), RECEIPT);
    assert_eq!(receipt["backend"], "intents");
    // The answer was begun in the pause, so it may be ready before the turn is decided; only its sound waits for that.
    assert!(receipt["endpoint_ms"].as_i64() <= receipt["first_audio_ms"].as_i64());
    let stages = [
        "transcript_ms",
        "first_clause_ms",
        "first_sample_ms",
        "first_audio_ms",
    ];
    let times: Vec<i64> = stages
        .iter()
        .map(|stage| receipt[stage].as_i64().expect("it happened"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(hound::WavReader::open(home.path("a.wav")).unwrap().len() > 10_000);
}

#[test]
fn demo_shows_each_stage() {
    let home = Home::new();
    let ran = home.hark(&["demo", "--wav", &data("question.wav"), "--out", "a.wav"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let redacted: String = ran
        .out
        .replace(&data("question.wav"), "QUESTION")
        .lines()
        .map(|line| {
            let words: Vec<&str> = line
                .split_whitespace()
                .filter(|word| !word.starts_with('━'))
                .collect();
            let line = words.join(" ");
            let cut = line
                .find("It is ")
                .map(|at| format!("{}It is ...", &line[..at]));
            cut.unwrap_or(line)
                .chars()
                .filter(|c| !c.is_ascii_digit())
                .collect::<String>()
                + "\n"
        })
        .collect();
    insta::assert_snapshot!(redacted, @r"
    speaking into a.wav
    asking with QUESTION
    speech model: starter.en; language model: none answers: local intents only
    hearing ...
    heard: what time is it (confidence .)
    answered: It is ...

    receipt, from the end of the question:
    end of turn decided  ms
    transcript  ms
    first clause  ms
    first sound made  ms
    first sound heard  ms
    answered by intents, time
    begun in your pause, and right

    The bundled speech model is for a first try: it knows what people say to an assistant, from few voices.
    For real use: hark models pull base.en
    ");
}

#[test]
fn demo_that_cannot_be_says_why() {
    let home = Home::new();
    home.write("text.txt", "hello\n");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(home.path("silent.wav"), spec).unwrap();
    (0..32_000).for_each(|_| writer.write_sample(0_i16).unwrap());
    writer.finalize().unwrap();
    for (file, says) in [
        ("missing.wav", "cannot read missing.wav"),
        ("text.txt", "text.txt is not audio"),
        ("silent.wav", "nothing was understood"),
    ] {
        let ran = home.hark(&["demo", "--wav", file, "--out", "a.wav", "--json"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{file}");
        assert!(ran.err.contains(says), "{file}: {}", ran.err);
    }
    let ran = home.hark(&[
        "demo",
        "--wav",
        &data("question.wav"),
        "--out",
        "no/such/folder/a.wav",
    ]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("cannot write no/such/folder/a.wav") && ran.err.contains("--out"),
        "{}",
        ran.err
    );
}
