//! What each verb of `hark config` prints, writes and refuses.

use clap::{CommandFactory, Parser};
use hark::cli::config::{ConfigArgs, exit_code, run};
use hark::cli::console::Console;

use super::Home;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ConfigArgs,
}

/// Runs `hark config LINE`: what was printed, what was complained about, and the failure.
fn hark_config(home: &Home, line: &str, answers: Option<&str>) -> (String, String, Option<String>) {
    let line = Line::parse_from(std::iter::once("config").chain(line.split_whitespace()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = answers.map(str::as_bytes);
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        answers: input
            .as_mut()
            .map(|input| input as &mut dyn std::io::BufRead),
        colour: false,
        width: 80,
        now: "2026-11-24T12:00:00+01:00[Europe/Berlin]".parse().unwrap(),
    };
    let failure = run(&line.args, &home.places(), &home.request, &mut console).err();
    if let Some(failure) = &failure {
        assert_eq!(
            exit_code(failure),
            2,
            "everything that is tried here is the user's to mend"
        );
    }
    (
        home.without_folder(&String::from_utf8(out).unwrap()),
        home.without_folder(&String::from_utf8(err).unwrap()),
        failure.map(|error| home.without_folder(&format!("{error:#}"))),
    )
}

#[test]
fn path_prints_the_file() {
    assert_eq!(hark_config(&Home::new(), "path", None).0, "~/config.toml\n");
}

#[test]
fn show_tells_where_each_value_comes_from() {
    let mut home =
        Home::with_file("[tts]\nrate = 1.5\n").with_variable("HARK_TTS_VOICE", "Samantha");
    home.request = home.request.with_flag("--engine", "tts.engine", "say");
    let (out, _, failure) = hark_config(&home, "show tts stt.language --sources", None);
    assert_eq!(failure, None);
    insta::assert_snapshot!(out, @r#"
    stt.language = "en"     # default
    tts.engine = "say"      # flag --engine
    tts.voice = "Samantha"  # environment variable HARK_TTS_VOICE
    tts.rate = 1.5          # ~/config.toml:2
    "#);
}

#[test]
fn show_as_json_is_one_document() {
    let home = Home::with_file("[tts]\nrate = 1.5\n");
    let (out, ..) = hark_config(&home, "show tts --json --sources", None);
    insta::assert_snapshot!(out, @r#"
    {
      "tts.engine": {
        "value": "auto",
        "source": "default"
      },
      "tts.voice": {
        "value": "auto",
        "source": "default"
      },
      "tts.rate": {
        "value": 1.5,
        "source": "~/config.toml:2"
      }
    }
    "#);
    let (out, ..) = hark_config(&home, "show --json", None);
    let all: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(all["llm.ollama.num_ctx"], 16_384);
    assert_eq!(all["audio.prefer"], serde_json::json!([]));
}

#[test]
fn show_of_what_is_no_setting_suggests_one() {
    let (out, _, failure) = hark_config(&Home::new(), "show tts.voise", None);
    assert_eq!(out, "");
    assert_eq!(
        failure.unwrap(),
        "tts.voise is no setting; did you mean tts.voice?"
    );
}

#[test]
fn check_warns_of_a_variable_that_means_nothing() {
    let home = Home::new()
        .with_variable("HARK_LLM_BAKEND", "mlx")
        .with_variable("HARK_HOME", "/somewhere")
        .with_variable("PATH", "/bin");
    let (out, err, failure) = hark_config(&home, "check", None);
    assert_eq!(failure, None);
    assert_eq!(
        err,
        "warning: environment variable HARK_LLM_BAKEND: is no setting; did you mean HARK_LLM_BACKEND?\n"
    );
    assert_eq!(
        out,
        "There is no ~/config.toml; the defaults are used. `hark config init` writes one.\n"
    );
}

#[test]
fn check_fails_on_a_wrong_value() {
    let (out, _, failure) = hark_config(&Home::with_file("[llm]\nbackend = 3\n"), "check", None);
    assert_eq!(out, "");
    assert!(
        failure
            .unwrap()
            .starts_with("~/config.toml:2: llm.backend is 3, but must be one of")
    );
}

#[test]
fn init_writes_a_commented_file_that_changes_nothing() {
    let home = Home::new();
    let before = home.config();
    let (out, err, failure) = hark_config(&home, "init --yes", Some("never read\n"));
    assert_eq!((err.as_str(), failure), ("", None));
    assert_eq!(
        out,
        "Wrote ~/config.toml. `hark config check` checks it after you edit it.\n"
    );
    assert_eq!(home.config(), before);
    let text = std::fs::read_to_string(home.places().config_file).unwrap();
    assert!(
        text.contains("\n[llm.ollama]\n# Address of Ollama.\n# url = \"http://127.0.0.1:11434\"\n"),
        "{text}"
    );
}

#[test]
fn taking_the_comment_signs_away_gives_the_defaults_again() {
    let home = Home::new();
    let before = home.config();
    hark_config(&home, "init --yes", None);
    let file = home.places().config_file;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest)
            if rest
                .split_once(" = ")
                .is_some_and(|(name, _)| !name.contains(' ')) =>
        {
            rest
        }
        _ => line,
    });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (config, raw) = home.load().unwrap();
    assert_eq!(config, before);
    assert!(
        raw.sources()
            .all(|(_, setting)| setting.origin.to_string().contains("config.toml:"))
    );
}

#[test]
fn init_never_replaces_a_file_unless_told() {
    let home = Home::with_file("[tts]\nrate = 2\n");
    let (_, _, failure) = hark_config(&home, "init --yes", None);
    assert_eq!(
        failure.unwrap(),
        "~/config.toml exists already; edit it, or replace it with `hark config init --force`"
    );
    assert_eq!(home.config().tts.rate, Some(2.0));
    assert_eq!(hark_config(&home, "init --yes --force", None).2, None);
    assert_eq!(home.config().tts.rate, None);
}

#[test]
fn init_asks_on_a_terminal_and_asks_again_after_a_wrong_answer() {
    let home = alone();
    let (out, err, failure) = hark_config(
        &home,
        "init",
        Some("Ann\ncomputer\n\nwrong\nopenai\nhttp://10.0.0.2:8000/v1\nde\nno-such\nbase\n\n"),
    );
    assert_eq!(failure, None);
    assert!(
        err.contains("What is the assistant's name? [\"Hark\"]"),
        "{err}"
    );
    assert!(err.contains("What should wake it? [\"hey hark\"]"), "{err}");
    assert!(err.contains("No model server answers now"), "{err}");
    assert!(
        err.contains("no-such is no speech model; `hark models list`"),
        "{err}"
    );
    assert!(out.contains("hark models pull base "), "{out}");
    assert!(out.contains("hark doctor"), "{out}");
    assert!(
        err.contains("your answer: llm.backend is \"wrong\", but must be one of"),
        "{err}"
    );
    let config = home.config();
    assert_eq!(config.persona.name, "Ann");
    assert_eq!(config.stt.model.as_deref(), Some("base"));
    assert_eq!(config.wake.phrase, "computer");
    assert_eq!(config.stt.language, "de");
    assert_eq!(config.llm.openai.unwrap().url, "http://10.0.0.2:8000/v1");
    let text = std::fs::read_to_string(home.places().config_file).unwrap();
    assert!(text.contains("\nphrase = \"computer\"\n"), "{text}");
    assert!(text.contains("\n# push_to_talk = "), "{text}");
}

/// A home whose model servers are not there, whatever runs on this machine.
fn alone() -> Home {
    let nobody = || {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", socket.local_addr().unwrap())
    };
    Home::new()
        .with_variable("HARK_LLM_MLX_URL", &nobody())
        .with_variable("HARK_LLM_OLLAMA_URL", &nobody())
}

#[test]
fn init_asks_before_it_replaces_a_file_and_keeps_the_old_one() {
    let home = Home::with_file("[tts]\nrate = 2\n");
    let (_, err, failure) = hark_config(&home, "init", Some("no\n"));
    assert!(
        err.contains("~/config.toml exists already. Replace it?"),
        "{err}"
    );
    assert!(failure.unwrap().contains("exists already"));
    assert_eq!(home.config().tts.rate, Some(2.0));
    let mut home = home;
    home.request = alone().request;
    let (_, _, failure) = hark_config(&home, "init", Some("y\n\n\n\nnone\n\n\n\n"));
    assert_eq!(failure, None);
    assert_eq!(home.config().tts.rate, None);
    let kept = home.places().config_file.with_extension("toml.bak");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "[tts]\nrate = 2\n");
}

#[test]
fn init_weighs_a_model_that_is_named_by_the_memory_plan() {
    let home = alone().with_variable("HARK_MEMORY_OS_RESERVE", "4000GiB");
    let answers = "\n\n\nmlx\ngemma-26b-a4b-4bit\nn\n\n\n\n\n";
    let (_, err, failure) = hark_config(&home, "init", Some(answers));
    assert_eq!(failure, None);
    assert!(
        err.contains("gemma-26b-a4b-4bit") && err.contains("does not fit"),
        "{err}"
    );
    assert!(err.contains("Take it all the same? [y/N]"), "{err}");
    let config = home.config();
    assert_eq!(config.llm.mlx.model, None, "it was declined");
    assert_eq!(config.llm.backend, hark::config::resolved::Backend::Mlx);
}

#[test]
fn init_lets_choose_from_what_ollama_has() {
    let url = ollama();
    let home = alone().with_variable("HARK_LLM_OLLAMA_URL", &url);
    let (_, err, failure) = hark_config(&home, "init", Some("\n\n\n\n7\n2\n\n\n\n"));
    assert_eq!(failure, None);
    assert!(err.contains("ollama at http://127.0.0.1:"), "{err}");
    assert!(
        err.contains("1. first:latest") && err.contains("2. second:latest"),
        "{err}"
    );
    assert!(err.contains("Ollama has no 7."), "{err}");
    assert_eq!(
        home.config().llm.ollama.model.as_deref(),
        Some("second:latest")
    );
}

/// Answers like an Ollama with two models and nothing resident, until the test ends.
fn ollama() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let body = if request[..read].starts_with(b"GET /api/version") {
                r#"{"version":"0.12.0"}"#
            } else if request[..read].starts_with(b"GET /api/tags") {
                r#"{"models":[{"name":"first:latest","size":7,"capabilities":["completion"]},{"name":"second:latest","size":7,"capabilities":["completion"]}]}"#
            } else {
                r#"{"models":[]}"#
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // The client may leave at any time.
            stream.write_all(format!("{head}{body}").as_bytes()).ok();
        }
    });
    url
}

#[test]
fn init_without_anybody_to_ask_takes_the_defaults() {
    let home = Home::new();
    let (_, err, failure) = hark_config(&home, "init", None);
    assert_eq!((err.as_str(), failure), ("", None));
    assert!(home.places().config_file.exists());
}

#[test]
fn the_arguments_do_not_contradict_each_other_and_the_help_has_examples() {
    Line::command().debug_assert();
    let mut command = Line::command();
    let helps = command.get_subcommands_mut().map(|verb| {
        (
            verb.get_name().to_owned(),
            verb.render_long_help().to_string(),
        )
    });
    let without: Vec<String> = helps
        .filter(|(_, help)| !help.contains("Example"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(without, Vec::<String>::new());
}
