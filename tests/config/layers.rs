//! Which layer wins, what is allowed, and what a person is told who wrote something else.

use std::collections::BTreeSet;
use std::time::Duration;

use hark::config::raw::keys;
use hark::config::resolved::{Backend, EchoCancellation, Engine, LogLevel, Manage};
use hark::config::{Config, Raw};

use super::Home;

#[test]
fn the_defaults_are_valid_and_every_known_key_is_read_by_somebody() {
    let home = Home::new();
    let (_, read) = Config::resolve_and_tell(&Raw::default(), &home.places()).unwrap();
    let known: BTreeSet<&str> = keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(read, known);
}

#[test]
fn the_defaults_are_those_of_the_command_lines_contract() {
    let config = Home::new().config();
    assert_eq!(config.audio.input, "default");
    assert_eq!(
        (config.wake.enabled, config.wake.phrase.as_str()),
        (true, "hey hark")
    );
    assert_eq!(config.wake.threshold, None);
    assert_eq!(config.push_to_talk.as_deref(), Some("ctrl+alt+space"));
    assert_eq!(
        (config.stt.model, config.stt.language.as_str()),
        (None, "en")
    );
    assert_eq!(
        (config.llm.backend, config.llm.manage),
        (Backend::Auto, Manage::Ask)
    );
    assert_eq!(config.llm.mlx.url, "http://127.0.0.1:8080/v1");
    assert_eq!(config.llm.ollama.url, "http://127.0.0.1:11434");
    assert_eq!(config.llm.ollama.num_ctx, 16_384);
    assert_eq!(config.llm.ollama.keep_alive, None);
    assert_eq!(config.llm.openai, None);
    assert_eq!(config.agent, Engine::Builtin);
    assert_eq!(
        config.gateway.listen,
        Some("127.0.0.1:7177".parse().unwrap())
    );
    assert_eq!(config.transcripts.keep_days, None);
    assert_eq!(config.gateway.slots, None);
    assert!(config.transcripts.redact && !config.transcripts.keep_audio);
    assert_eq!(config.transcripts.audio_days, Some(30));
}

#[test]
fn the_gateway_listens_to_other_machines_only_when_it_is_told_twice() {
    let home = Home::with_file("[gateway]\nlisten = '0.0.0.0:7177'\n");
    assert!(
        home.complaint().contains("gateway.expose"),
        "{}",
        home.complaint()
    );
    let home = Home::with_file("[gateway]\nlisten = '0.0.0.0:7177'\nexpose = true\nslots = 8\n");
    assert_eq!(
        home.config().gateway.listen,
        Some("0.0.0.0:7177".parse().unwrap())
    );
    assert_eq!(home.config().gateway.slots, Some(8));
    let home = Home::with_file("[gateway]\nslots = 0\n");
    assert!(
        home.complaint()
            .contains("\"auto\" or a whole number from 1 to 1024"),
        "{}",
        home.complaint()
    );
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file_which_wins_over_the_defaults() {
    let mut home = Home::with_file("[llm]\nbackend = 'mlx'\nmax_tokens = 100\ntemperature = 1\n")
        .with_variable("HARK_LLM_BACKEND", "ollama")
        .with_variable("HARK_LLM_MAX_TOKENS", "200");
    home.request = home.request.with_flag("--backend", "llm.backend", "none");
    let llm = home.config().llm;
    assert_eq!(llm.backend, Backend::None);
    assert_eq!(llm.max_tokens, 200);
    assert_eq!(llm.temperature, 1.0);
    assert_eq!(llm.manage, Manage::Ask);
}

#[test]
fn every_key_has_a_variable_and_the_variable_reaches_it() {
    for key in keys() {
        let home = Home::new().with_variable(&key.variable(), "\u{1}no such value");
        let reached = match home.load() {
            Ok((_, raw)) => raw.get(&key.name).unwrap().origin.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(reached.contains(&key.variable()), "{}: {reached}", key.name);
    }
}

#[test]
fn values_from_the_environment_are_read_by_the_kind_of_their_key() {
    let config = Home::new()
        .with_variable("HARK_AUDIO_PREFER", "Headset, Built-in")
        .with_variable("HARK_AUDIO_ECHO_CANCELLATION", "Off")
        .with_variable("HARK_AUDIO_SPARE_HEADSET", "no")
        .with_variable("HARK_AUDIO_YIELD_TO_CALLS", "no")
        .with_variable("HARK_WAKE_ENABLED", "off")
        .with_variable("HARK_WAKE_THRESHOLD", "0.7")
        .with_variable("HARK_TURN_END_SILENCE_MS", "750")
        .with_variable("HARK_MEMORY_OS_RESERVE", "1.5GiB")
        .with_variable("HARK_LLM_OLLAMA_KEEP_ALIVE", "30m")
        .with_variable("HARK_HOTKEY_PUSH_TO_TALK", "")
        .with_variable("HARK_TRANSCRIPTS_AUDIO_DAYS", "0")
        .with_variable("HARK_LOG_LEVEL", "DEBUG")
        .config();
    assert_eq!(config.audio.prefer, ["Headset", "Built-in"]);
    assert_eq!(config.audio.echo_cancellation, EchoCancellation::Off);
    assert!(!config.audio.spare_headset && !config.audio.yield_to_calls);
    assert!(!config.wake.enabled);
    assert_eq!(config.wake.threshold, Some(0.7));
    assert_eq!(config.turn.end_silence, Duration::from_millis(750));
    assert_eq!(config.memory.os_reserve, Some(3 << 29));
    assert_eq!(
        config.llm.ollama.keep_alive,
        Some(Duration::from_secs(1800))
    );
    assert_eq!(config.push_to_talk, None);
    assert_eq!(config.transcripts.audio_days, None);
    assert_eq!(config.log_level, LogLevel::Debug);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_key_that_was_meant() {
    let home = Home::with_file("[llm]\n# a comment\nbackent = \"mlx\"\n");
    assert_eq!(
        home.complaint(),
        "~/config.toml:3: llm.backent is no setting; did you mean llm.backend?"
    );
}

#[test]
fn slips_of_the_finger_find_their_key() {
    for (written, meant) in [
        ("audio.inptu", "audio.input"),
        ("wake.treshold", "wake.threshold"),
        ("turn.max_silence", "turn.max_silence_ms"),
        ("llm.ollama.numctx", "llm.ollama.num_ctx"),
        ("llm.keep_alive", "llm.ollama.keep_alive"),
        ("transcript.redact", "transcripts.redact"),
        ("tts.voise", "tts.voice"),
    ] {
        let (section, leaf) = written.rsplit_once('.').unwrap();
        let home = Home::with_file(&format!("[{section}]\n{leaf} = 1\n"));
        let complaint = home.complaint();
        assert!(
            complaint.ends_with(&format!("did you mean {meant}?")),
            "{complaint}"
        );
    }
}

#[test]
fn a_key_like_no_other_gets_no_misleading_suggestion() {
    let home = Home::with_file("zebra = 1\n");
    assert_eq!(
        home.complaint(),
        "~/config.toml:1: zebra is no setting; remove it; `hark config show` lists every key"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let home = Home::with_file(
        "[turn]\nend_silence_ms = 5\nmax_utterance_s = \"long\"\n\n[llm]\nbackend = \"olama\"\n",
    )
    .with_variable("HARK_TTS_RATE", "fast");
    assert_eq!(
        home.complaint(),
        "~/config.toml:2: turn.end_silence_ms is 5, but must be a whole number from 100 to 10000; \
         mend line 2 or remove it, then run `hark config check`\n\
         ~/config.toml:3: turn.max_utterance_s is \"long\", but must be a whole number from 1 to 120; \
         mend line 3 or remove it, then run `hark config check`\n\
         ~/config.toml:6: llm.backend is \"olama\", but must be one of auto, mlx, ollama, openai, none \
         (did you mean \"ollama\"?); mend line 6 or remove it, then run `hark config check`\n\
         environment variable HARK_TTS_RATE: tts.rate is \"fast\", but must be \"auto\" or a number from 0.5 to 3; \
         set it right, or `unset HARK_TTS_RATE`"
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let home = Home::with_file("[audio]\ninput = \"open\n");
    let complaint = home.complaint();
    assert!(
        complaint.starts_with("~/config.toml:2: is not valid TOML: "),
        "{complaint}"
    );
    assert!(
        complaint.ends_with("then run `hark config check`"),
        "{complaint}"
    );
}

#[test]
fn sizes_urls_addresses_and_languages_are_checked() {
    for (key, value, allowed) in [
        ("memory.os_reserve", "8 gigs", "a size like \"8GiB\""),
        ("memory.os_reserve", "-1", "a size like"),
        ("memory.voice_reserve", "99999999999GiB", "a size like"),
        ("llm.mlx.url", "127.0.0.1:8080", "an address like"),
        ("llm.mlx.url", "http://", "an address like"),
        ("llm.mlx.url", "http://host:99999/v1", "an address like"),
        ("llm.mlx.url", "", "an address"),
        ("gateway.listen", "7177", "an address and port"),
        ("stt.language", "english", "two letters"),
        ("llm.ollama.keep_alive", "5 parsecs", "-1 (for ever)"),
        ("llm.temperature", "NaN", "from 0 to 2"),
        ("llm.max_tokens", "0", "from 1 to"),
        ("wake.phrase", " ", "not empty"),
        ("transcripts.redact", "maybe", "true or false"),
    ] {
        let variable = format!("HARK_{}", key.to_uppercase().replace('.', "_"));
        let complaint = Home::new().with_variable(&variable, value).complaint();
        assert!(
            complaint.contains(allowed),
            "{key} = {value:?}: {complaint}"
        );
        assert!(
            complaint.contains(&format!("unset {variable}")),
            "{complaint}"
        );
    }
}

#[test]
fn good_sizes_give_their_bytes() {
    for (written, bytes) in [
        ("8GiB", 8 << 30),
        ("8 GiB", 8 << 30),
        ("8g", 8 << 30),
        ("512MiB", 512 << 20),
        ("2GB", 2_000_000_000),
        ("0.5TiB", 1 << 39),
        ("4096", 4096),
    ] {
        let config = Home::new()
            .with_variable("HARK_MEMORY_OS_RESERVE", written)
            .config();
        assert_eq!(config.memory.os_reserve, Some(bytes), "{written}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, told) in [
        (
            "[turn]\nend_silence_ms = 900\nmax_silence_ms = 800",
            "~/config.toml:3: turn.max_silence_ms is 800, but must be at least turn.end_silence_ms, which is 900",
        ),
        (
            "[llm]\nbackend = 'openai'",
            "llm.openai.url is \"\", but must be set when llm.backend is \"openai\"",
        ),
        (
            "[agent]\nengine = 'openclaw'",
            "agent.openclaw.url is \"\", but must be set when agent.engine is \"openclaw\"",
        ),
    ] {
        let complaint = Home::with_file(text).complaint();
        assert!(complaint.contains(told), "{complaint}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let complaint =
        Home::with_file("[llm.openai]\nurl = 'https://me:s3cret@example.org/v1'").complaint();
    assert!(
        complaint.contains("holds a user name or password"),
        "{complaint}"
    );
    assert!(!complaint.contains("s3cret"), "{complaint}");
}

#[test]
fn paths_start_at_home_or_at_the_files_folder() {
    let home = Home::with_file(
        "[gateway]\ntoken_file = '~/secret/token'\n[llm.openai]\nurl = 'https://example.org/v1/'\nkey_file = 'key'\n",
    );
    let config = home.config();
    assert_eq!(
        config.gateway.token_file.to_str(),
        Some("/home/somebody/secret/token")
    );
    let remote = config.llm.openai.unwrap();
    assert_eq!(remote.url, "https://example.org/v1");
    assert_eq!(
        remote.key_file.unwrap(),
        home.places().config_file.with_file_name("key")
    );
    let config = Home::new();
    assert!(
        config
            .config()
            .gateway
            .token_file
            .ends_with("state/gateway.token")
    );
}

#[test]
fn a_table_or_a_date_where_a_value_belongs_is_told() {
    let complaint = Home::with_file("[audio]\ninput = 2026-11-24\n").complaint();
    assert!(
        complaint.starts_with("~/config.toml:2: audio.input is a datetime"),
        "{complaint}"
    );
    let complaint = Home::with_file("audio = 3\n").complaint();
    assert!(
        complaint.starts_with("~/config.toml:1: audio is no setting"),
        "{complaint}"
    );
    let complaint = Home::with_file("[audio.input]\nname = 'x'\n").complaint();
    assert!(
        complaint.starts_with("~/config.toml:2: audio.input.name is no setting"),
        "{complaint}"
    );
}
