//! What is blotted out before it is written, and what is left alone.

use hark::transcripts::redact::{blot, secrets};
use hark::transcripts::{Reader, RecordId, WriterOptions};

use super::{Running, State, turn};

fn cleaned(text: &str) -> String {
    blot(text, &secrets(text))
}

#[test]
fn secrets_are_blotted_out() {
    for (said, written) in [
        // Card numbers are those that the schemes publish for tests.
        (
            "my card is 4111 1111 1111 1111 thanks",
            "my card is [card number removed] thanks",
        ),
        ("4111-1111-1111-1111", "[card number removed]"),
        ("4111111111111111.", "[card number removed]."),
        ("amex 3782 822463 10005", "amex [card number removed]"),
        (
            "5555555555554444 and 6011111111111117",
            "[card number removed] and [card number removed]",
        ),
        (
            "number 2 4111 1111 1111 1111 12",
            "number 2 [card number removed] 12",
        ),
        ("2223003122003222", "[card number removed]"),
        (
            "four one one one, one one one one, one one one one, one one one one is it",
            "[card number removed] is it",
        ),
        (
            "pay to DE89 3704 0044 0532 0130 00 please",
            "pay to [account number removed] please",
        ),
        ("gb82west12345698765432", "[account number removed]"),
        ("FR1420041010050500013M02606", "[account number removed]"),
        (
            "my password is hunter2, don't tell",
            "my password is [password removed], don't tell",
        ),
        (
            "The password is correct horse battery staple.",
            "The password is [password removed].",
        ),
        ("password: S3cr3t.with.dots", "password: [password removed]"),
        (
            "The Wi-Fi password for the guests is blue elephant",
            "The Wi-Fi password for the guests is [password removed]",
        ),
        (
            "Mein Passwort ist Sommer2026!",
            "Mein Passwort ist [password removed]!",
        ),
        (
            "the passphrase is now open sesame",
            "the passphrase is now [password removed]",
        ),
        (
            "https://me:s3cret@example.org/x",
            "https://me:[password removed]@example.org/x",
        ),
        ("my PIN is 4711", "my PIN is [PIN removed]"),
        (
            "the security code: 123 and",
            "the security code: [PIN removed] and",
        ),
        (
            "verification code is 481 516",
            "verification code is [PIN removed]",
        ),
        (
            "use sk-proj-abcdEFGH1234ijklMNOP5678 now",
            "use [token removed] now",
        ),
        (
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "[token removed]",
        ),
        ("AKIAIOSFODNN7EXAMPLE", "[token removed]"),
        ("hf_abcdefghijKLMNOPQRSTuvwx", "[token removed]"),
        ("glpat-abcdefghij0123456789", "[token removed]"),
        (
            "Authorization: Bearer abcdef0123456789abcdef",
            "Authorization: Bearer [token removed]",
        ),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "[token removed]",
        ),
        ("the api key is a1b2c3d4e5", "the api key is [key removed]"),
        ("token: 0123456789abcdef", "token: [key removed]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nbye",
            "[private key removed]\nbye",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn",
            "[private key removed]",
        ),
    ] {
        assert_eq!(cleaned(said), written, "{said}");
    }
}

#[test]
fn everyday_talk_is_left_alone() {
    for said in [
        "Call me at +49 170 1234567.",
        "My number is 030 901820 and the other 0171 2345678",
        "+1 (415) 555-2671 or +4111111111111111",
        "the 24th of November 2026 at 14:35",
        "2026-11-24T12:00:00",
        "1234567890123 plus 4 is 1234567890127",
        "4111 1111 1111 1112 has a wrong check digit",
        "12 times 12 is 144, and 3.14159265358979 is pi",
        "one two three four five six seven eight nine",
        "one two three four five six seven eight nine one two three",
        "The password is required.",
        "The password is wrong, try again",
        "my password is not very good",
        "your password is incorrect because of the caps lock",
        "what is my password",
        "I forgot the password for the router",
        "change my password please",
        "the secret is patience",
        "token of my appreciation",
        "the key is under the mat",
        "a bearer of good news",
        "pin the note to the wall",
        "the pin is bent",
        "the code is written in Rust",
        "ISBN 978-3-16-148410-0",
        "version 1.2.3 build 20261124",
        "sk-8 shoes and ghp reports",
        "https://example.org/path?x=1",
        "someone@example.org",
        "DE stands for Germany, 89 for Munich",
        "Set a timer for 10 minutes 30 seconds",
        "",
    ] {
        assert_eq!(cleaned(said), said);
    }
}

#[test]
fn secrets_never_reach_the_file_nor_the_index() {
    let state = State::new();
    let running = state.running();
    let mut asked = turn(
        1,
        "my password is swordfish99",
        "I noted that your card is 4111 1111 1111 1111, fine.",
    );
    asked.heard = "I noted that your card is 4111 1111 11".into();
    running.record(asked);
    running.close();
    for secret in ["swordfish99", "4111", "1111"] {
        assert!(!state.holds_bytes(secret), "{secret}");
    }
    let stored = Reader::open(&state.log())
        .unwrap()
        .show(RecordId(1))
        .unwrap()
        .unwrap();
    assert_eq!(
        stored.turn.asked.as_str(),
        "my password is [password removed]"
    );
    assert_eq!(
        stored.turn.replied.as_str(),
        "I noted that your card is [card number removed], fine."
    );
    assert_eq!(
        stored.turn.heard.as_str(),
        "I noted that your card is [card number removed]"
    );
    assert_eq!(stored.redacted, 2);
}

#[test]
fn what_was_heard_in_full_stays_heard_in_full() {
    let state = State::with(vec![turn(1, "hello", "your PIN is 4711")]);
    let stored = Reader::open(&state.log())
        .unwrap()
        .show(RecordId(1))
        .unwrap()
        .unwrap();
    assert!(stored.heard_all());
}

#[test]
fn the_switch_keeps_everything_as_it_was_said() {
    let state = State::new();
    let options = WriterOptions {
        redact: false,
        ..WriterOptions::default()
    };
    let running = Running::start(&state.log(), options);
    running.record(turn(1, "my password is swordfish99", "fine"));
    running.close();
    assert!(state.holds_bytes("swordfish99"));
}

#[test]
fn no_text_is_cut_within_a_character() {
    use proptest::prelude::*;
    let pieces = prop::sample::select(vec![
        "4111 1111 1111 1111",
        "pässword is ",
        "my password is ",
        "ü",
        " ",
        "🦀",
        "pin 1234",
        "Bearer ",
        "abcdefghij0123456789",
        ".",
        "\n",
        "://",
        "@",
        ":",
    ]);
    proptest!(|(parts in prop::collection::vec(pieces, 0..12), cut in 0_usize..40)| {
        let text = parts.concat();
        let found = secrets(&text);
        prop_assert!(found.is_empty() || blot(&text, &found).contains(" removed]"));
        let end = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
        let clipped: Vec<_> = found.iter().filter_map(|secret| secret.clipped(end)).collect();
        prop_assert_eq!(blot(&text[..end], &clipped).contains(" removed]"), !clipped.is_empty());
    });
}
