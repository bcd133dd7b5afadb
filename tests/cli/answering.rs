//! `ask` and `say`.

use crate::support::{Home, RECEIPT, json, keys};

/// An address at which nothing listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn ask_answers_what_the_intents_know() {
    let home = Home::new();
    let ran = home.hark(&["ask", "what", "is", "twelve", "plus", "thirty"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "That's 42.\n"));
    let ran = home.hark(&["ask", "--json", "what is twelve plus thirty"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let answer = json(&ran.out);
    assert_eq!(keys(&answer), ["question", "answer", "outcome", "receipt"]);
    assert_eq!(keys(&answer["receipt"]), RECEIPT);
    assert_eq!(
        (
            answer["answer"].as_str(),
            answer["outcome"].as_str(),
            answer["receipt"]["backend"].as_str()
        ),
        (Some("That's 42."), Some("completed"), Some("intents"))
    );
    assert_eq!(
        json(&home.hark(&["transcripts", "list", "--json"]).out)
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn ask_takes_what_is_piped_in() {
    let home = Home::new();
    let output = home
        .command(&["ask", "what is"])
        .write_stdin("twelve plus thirty")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "That's 42.\n");
    let binary = home
        .command(&["ask", "summarise this"])
        .write_stdin([0xff_u8, 0xfe])
        .output()
        .unwrap();
    assert_eq!(binary.status.code(), Some(2));
    let endless = home
        .command(&["ask", "summarise this"])
        .write_stdin("x".repeat(300_000))
        .output()
        .unwrap();
    assert_eq!(endless.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&endless.stderr).contains("256 KiB"));
    assert_eq!(home.hark(&["ask", " "]).code, 2);
}

#[test]
fn ask_without_a_backend_that_answers_is_exit_code_3_with_the_next_step() {
    let url = nobody();
    for (settings, step) in [
        (
            vec![
                ("HARK_LLM_BACKEND", "ollama"),
                ("HARK_LLM_OLLAMA_URL", url.as_str()),
            ],
            "ollama serve",
        ),
        (
            vec![
                ("HARK_LLM_BACKEND", "mlx"),
                ("HARK_LLM_MLX_URL", url.as_str()),
            ],
            "mlx_lm.server",
        ),
        (
            vec![
                ("HARK_LLM_BACKEND", "openai"),
                ("HARK_LLM_OPENAI_URL", url.as_str()),
            ],
            url.as_str(),
        ),
        (vec![("HARK_LLM_BACKEND", "none")], "llm.backend"),
    ] {
        let home = settings
            .iter()
            .fold(Home::new(), |home, (name, value)| home.with(name, value));
        let ran = home.hark(&["ask", "tell me about badgers"]);
        assert_eq!(ran.code, 3, "{settings:?}: {ran:?}");
        let next = ran
            .err
            .lines()
            .find(|line| line.starts_with("  next: "))
            .expect("a next step");
        assert!(next.contains(step), "{settings:?}: {next}");
        assert!(
            ran.out.contains("language model"),
            "{settings:?}: {}",
            ran.out
        );
        assert!(
            !ran.err.contains("answered by"),
            "nobody answered: {}",
            ran.err
        );
        let ran = home.hark(&["ask", "--json", "tell me about badgers"]);
        assert_eq!(ran.code, 3);
        assert_eq!(json(&ran.out)["outcome"], "failed");
    }
}

#[test]
fn a_backend_that_is_set_up_wrongly_is_wrong_configuration() {
    let home = Home::new().with("HARK_LLM_BACKEND", "openai");
    let ran = home.hark(&["ask", "tell me about badgers"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("llm.openai.url"), "{}", ran.err);
    let home = home.with("HARK_LLM_OPENAI_URL", "ftp://models");
    let ran = home.hark(&["ask", "tell me about badgers"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("ftp://models"), "{}", ran.err);
}

#[test]
fn say_writes_a_wav_and_refuses_voices_and_rates_that_are_not() {
    let home = Home::new();
    let ran = home.hark(&["say", "--out", "hello.wav", "hello", "there"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let slow = home.hark(&["say", "--rate", "0.5", "--out", "slow.wav", "hello there"]);
    assert_eq!(slow.code, 0);
    let samples = |name: &str| hound::WavReader::open(home.path(name)).unwrap().len();
    assert!(samples("hello.wav") > 5_000, "{}", samples("hello.wav"));
    assert!(samples("slow.wav") > samples("hello.wav") * 3 / 2);
    let ran = home.hark(&["say", "--voice", "xyzzy", "--out", "x.wav", "hello"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("xyzzy") && ran.err.contains("espeak-ng --voices"),
        "{}",
        ran.err
    );
    assert_eq!(
        home.hark(&["say", "--rate", "99", "--out", "x.wav", "hello"])
            .code,
        2
    );
    assert_eq!(home.hark(&["say", "--out", "x.wav", ""]).code, 2);
    let ran = home.hark(&["say", "--out", "no/such/folder/x.wav", "hello"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no/such/folder/x.wav") && ran.err.contains("next: "),
        "{}",
        ran.err
    );
    let full = home.hark(&["say", "--out", "/dev/full", "hello"]);
    if cfg!(target_os = "linux") {
        assert_eq!(full.code, 1);
        assert!(
            full.err.contains("/dev/full") && full.err.contains("space"),
            "{}",
            full.err
        );
    }
}
