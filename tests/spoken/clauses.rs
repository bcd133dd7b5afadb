//! The splitter: where it cuts, when it gives a clause out, and that deltas make no difference.

use hark::agent::clauses::{Clause, ClauseKind, Clauses};
use hark::agent::spoken::SpokenReply;
use proptest::prelude::*;

/// All clauses of `text`, given in one piece.
fn cut(text: &str) -> Vec<Clause> {
    let mut clauses = Clauses::new();
    let mut all = clauses.push(text);
    all.extend(clauses.finish());
    all
}

fn prose(text: &str) -> Vec<String> {
    cut(text)
        .into_iter()
        .filter(|clause| clause.kind == ClauseKind::Prose)
        .map(|clause| clause.text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .collect()
}

fn expect(text: &str, clauses: &[&str]) {
    assert_eq!(prose(text), clauses, "in {text:?}");
}

#[test]
fn the_first_clause_ends_at_a_comma_after_three_words_and_later_ones_do_not() {
    expect(
        "The capital of France, as you know, is Paris. It lies on the Seine, in the north.",
        &[
            "The capital of France,",
            "as you know, is Paris.",
            "It lies on the Seine, in the north.",
        ],
    );
    expect(
        "Sure, here it is, my friend.",
        &["Sure, here it is,", "my friend."],
    );
    expect("I think so; it is late.", &["I think so;", "it is late."]);
    expect(
        "It is very simple — you just ask.",
        &["It is very simple —", "you just ask."],
    );
    expect(
        "Here are three ideas: one, two.",
        &["Here are three ideas:", "one, two."],
    );
}

#[test]
fn a_short_sentence_comes_at_once() {
    expect("Yes. It is open.", &["Yes.", "It is open."]);
    expect("Really? Yes! Good.", &["Really?", "Yes!", "Good."]);
}

#[test]
fn dots_that_end_no_sentence_do_not_cut() {
    for text in [
        "Pi is 3.14159 or so.",
        "It costs $1,234.56 today.",
        "Dr. Smith met Mrs. Jones.",
        "It starts at 10.30 tonight.",
        "See www.example.com for more.",
        "Use tools e.g. a hammer.",
        "J. R. R. Tolkien wrote it.",
        "The U.S. Army came.",
        "It is version 2.0.1 now.",
        "Well... maybe it is.",
        "He met Prof. Weiss.",
        "That is no. 5 of them.",
        "On March 3, 2025 it rained.",
        "Look at https://a.example/b.c?d=e. it is there.",
    ] {
        expect(text, &[text]);
    }
}

#[test]
fn sentences_end_after_quotes_brackets_and_emphasis() {
    expect(
        "\"I am here.\" Then he left. (He came back.) **Done.** Bye.",
        &[
            "\"I am here.\"",
            "Then he left.",
            "(He came back.)",
            "**Done.**",
            "Bye.",
        ],
    );
    expect(
        "\"Are you here?\" she asked. Yes.",
        &["\"Are you here?\" she asked.", "Yes."],
    );
    expect(
        "It opens at 5 p.m. Bring a friend.",
        &["It opens at 5 p.m.", "Bring a friend."],
    );
    expect("I wonder… Perhaps not.", &["I wonder…", "Perhaps not."]);
}

#[test]
fn lists_headings_and_tables_are_cut_by_line() {
    expect(
        "# Tea\n1. Boil the water.\n2. Pour it\n3. Wait\n\n- one\n- two\n| a | b |\n| 1 | 2 |\n",
        &[
            "# Tea",
            "1. Boil the water.",
            "2. Pour it",
            "3. Wait",
            "- one",
            "- two",
            "| a | b |",
            "| 1 | 2 |",
        ],
    );
}

#[test]
fn a_line_break_inside_a_sentence_does_not_cut() {
    expect(
        "This sentence is\nwrapped by its writer.",
        &["This sentence is\nwrapped by its writer."],
    );
}

#[test]
fn markup_is_not_torn() {
    expect("Use `a. B` there.", &["Use `a. B` there."]);
    expect(
        "See [the docs. Really](http://x.example/a) now.",
        &["See [the docs. Really](http://x.example/a) now."],
    );
}

#[test]
fn a_sentence_without_end_is_cut_at_commas_and_at_last_at_blanks() {
    let text = format!("{}end", "and then some more words, ".repeat(40));
    let clauses = prose(&text);
    assert!(clauses.len() > 3);
    assert!(
        clauses.iter().all(|clause| clause.len() <= 200),
        "{clauses:?}"
    );
    let text = "word ".repeat(200);
    assert!(prose(&text).iter().all(|clause| clause.len() <= 310));
}

#[test]
fn a_clause_is_given_as_soon_as_the_next_word_begins() {
    let mut clauses = Clauses::new();
    assert!(clauses.push("The answer is").is_empty());
    assert!(clauses.push(" simple").is_empty());
    assert!(
        clauses.push(",").is_empty(),
        "the comma may belong to a number"
    );
    let given = clauses.push(" it");
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].text, "The answer is simple,");
    assert!(clauses.push(" is forty two.").is_empty());
    assert_eq!(clauses.push(" Next").len(), 1);
}

#[test]
fn code_thinking_and_formulae_are_clauses_of_their_own_kinds() {
    let text = "<think>Hm. Let me see.\n</think>Here it is:\n```rust\nfn main() {}\n```\nDone.\n$$\nE = mc^2\n$$\nBye.";
    let kinds: Vec<ClauseKind> = cut(text).iter().map(|clause| clause.kind).collect();
    for kind in [
        ClauseKind::Hidden,
        ClauseKind::Code,
        ClauseKind::Formula,
        ClauseKind::Prose,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    expect(text, &["Here it is:", "Done.", "Bye."]);
}

#[test]
fn thinking_does_not_use_up_the_early_first_clause() {
    expect(
        "<think>I should, perhaps, say hello to them.</think>Well of course, here you are.",
        &["Well of course,", "here you are."],
    );
}

#[test]
fn no_marker_of_a_chat_template_reaches_the_prose() {
    for (text, said) in [
        (
            "<|channel>thought\nThe user greets me.\n<channel|>Hello there.",
            "Hello there.",
        ),
        (
            "<|channel|>analysis<|message|>Think. Hard.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>",
            "Hello.",
        ),
        (
            "<|start|>assistant<|channel|>final<|message|>Hello.",
            "Hello.",
        ),
        ("<think>never closed. I go on.", ""),
        ("[THINK]Let me see.[/THINK]Yes.", "Yes."),
        ("Hello.<|im_end|>", "Hello."),
        ("Hello.<end_of_turn>", "Hello."),
        ("<|im_start|>assistant\nHello.", "Hello."),
        ("</think>\n\nHello.", "Hello."),
        ("<tool_call>{\"name\": \"x\"}</tool_call>Done.", "Done."),
        ("<THINK>a</THINK>Hello.", "Hello."),
    ] {
        assert_eq!(prose(text).join(" "), said, "{text}");
    }
}

#[test]
fn what_a_cut_depends_on_is_waited_for() {
    for text in [
        "It was on March 3, 2025 that it rained.",
        "It was on March 3, I think.",
        "He said so. (then he left.) Yes.",
        "It is 5 p.m. now, I think. Yes.",
        "It costs about 3.5 of them. Or 3. Yes.",
        "Is it \"so?\" he asked. \"Yes!\" She left.",
        "A line\nand another\n- a list\n``` x\ncode\n```\nend",
        "It is very - well - odd. It is a-b.",
    ] {
        let mut clauses = Clauses::new();
        let mut parts = Vec::new();
        for c in text.chars() {
            parts.extend(clauses.push(&c.to_string()));
        }
        parts.extend(clauses.finish());
        assert_eq!(parts, cut(text), "{text:?}");
    }
}

/// Pieces that the random texts are made of: everything that the splitter has a rule for.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "word",
        "Word",
        " ",
        " ",
        " ",
        "\n",
        "\n\n",
        ". ",
        ".",
        "! ",
        "? ",
        ", ",
        ",",
        "; ",
        ": ",
        "…",
        "...",
        " — ",
        " - ",
        "3",
        "3.5",
        "1,000",
        "1. ",
        "- ",
        "# ",
        "| a |",
        "`",
        "```",
        "```rust\n",
        "~~~\n",
        "**",
        "_",
        "\"",
        "(",
        ")",
        "[",
        "](x)",
        "<think>",
        "</think>",
        "<|channel>",
        "<channel|>",
        "<|channel|>",
        "<|message|>",
        "analysis",
        "final",
        "<|end|>",
        "<b>",
        "<",
        ">",
        "$$",
        "\\[",
        "\\]",
        "e.g. ",
        "Dr. ",
        "p.m. ",
        "U.S. ",
        "https://a.example/x.y",
        "😀",
        "é",
        "。",
        "[THINK]",
        "[/THINK]",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_clauses_are_the_text_and_do_not_depend_on_the_deltas(text in pieces(), cuts in prop::collection::vec(1usize..9, 1..40)) {
        let whole = cut(&text);
        let joined: String = whole.iter().map(|clause| clause.text.as_str()).collect();
        prop_assert_eq!(&joined, &text);
        let characters: Vec<char> = text.chars().collect();
        let (mut clauses, mut parts, mut at) = (Clauses::new(), Vec::new(), 0);
        for length in cuts.iter().cycle() {
            if at >= characters.len() {
                break;
            }
            let end = characters.len().min(at + length);
            parts.extend(clauses.push(&characters[at..end].iter().collect::<String>()));
            at = end;
        }
        parts.extend(clauses.finish());
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn no_markup_is_ever_said(text in prop_oneof![pieces(), "\\PC{0,60}", "[-*_`#<>|~^a1 .:/&$%@\\[\\](){}\\\\\n]{0,40}"]) {
        let mut reply = SpokenReply::new();
        let mut said = reply.push(&text);
        said.extend(reply.finish());
        for clause in said {
            prop_assert!(clause.contains(char::is_alphanumeric), "{:?}", clause);
            prop_assert!(!clause.contains(['*', '`', '#', '<', '>', '|', '\\', '{', '}', '[', ']', '^']), "{:?}", clause);
        }
    }
}
