//! Text to what is said.

use hark::agent::spoken::{SpokenReply, spoken};

/// What is said when the model's text arrives one character at a time.
fn trickled(text: &str) -> String {
    let mut reply = SpokenReply::new();
    let mut said = Vec::new();
    for c in text.chars() {
        said.extend(reply.push(&c.to_string()));
    }
    said.extend(reply.finish());
    said.join(" ")
}

const CODE: &str = "I have written some code, which I won't read out.";
const FORMULA: &str = "There is a formula, which I won't read out.";

const CASES: &[(&str, &str)] = &[
    // Emphasis.
    ("This is **very** important.", "This is very important."),
    (
        "This is *slanted* and _so is this_.",
        "This is slanted and so is this.",
    ),
    ("***Both*** at once.", "Both at once."),
    ("~~Wrong~~ right.", "Wrong right."),
    (
        "**One sentence. Another one.** Third.",
        "One sentence. Another one. Third.",
    ),
    ("2 * 3 * 4 is 24.", "2 times 3 times 4 is 24."),
    ("The snake_case_name is odd.", "The snake case name is odd."),
    // Blocks.
    ("# Heading\n\nText here.", "Heading Text here."),
    ("## Two ##\nText.", "Two Text."),
    ("- first\n- second\n", "first second"),
    ("* first\n* second", "first second"),
    ("1. Boil water.\n2. Pour it.", "1. Boil water. 2. Pour it."),
    ("- [x] shopping\n- [ ] cooking", "done: shopping cooking"),
    ("> Quoted words.", "Quoted words."),
    ("Above.\n\n---\n\nBelow.", "Above. Below."),
    (
        "| Tea | Price |\n|-----|------:|\n| Green | 2 € |\n",
        "Tea, Price Green, 2 euros",
    ),
    ("First line  \nsecond line.", "First line second line."),
    // Links and pictures.
    (
        "See [the manual](https://example.com/a/b).",
        "See the manual.",
    ),
    (
        "Go to https://www.example.com/path?x=1#y now.",
        "Go to example dot com now.",
    ),
    (
        "Look at <https://docs.example.org/a>.",
        "Look at docs dot example dot org.",
    ),
    ("It is on http://127.0.0.1:8080/v1.", "It is on a link."),
    ("Visit example.com today.", "Visit example dot com today."),
    ("![A cat](cat.png) sleeps.", "image: A cat sleeps."),
    ("![](cat.png) Here.", "an image Here."),
    (
        "Write to anna@example.com soon.",
        "Write to anna at example dot com soon.",
    ),
    // Code.
    ("Run `cargo build` first.", "Run cargo build first."),
    ("The name `max_len` is taken.", "The name max len is taken."),
    (
        "It is `x = {a: [1, 2], b: (3)}` there.",
        "It is some code there.",
    ),
    (
        "Here:\n```rust\nfn main() { println!(\"hi\"); }\n```\nThat is all.",
        "Here: I have written some code, which I won't read out. That is all.",
    ),
    (
        "```\na\n```\nand\n```\nb\n```\nend.",
        "I have written some code, which I won't read out. and end.",
    ),
    (
        "~~~\ncode\n~~~\nText.",
        "I have written some code, which I won't read out. Text.",
    ),
    // Thinking and markers.
    ("<think>Hm, 5 * 3.</think>It is 15.", "It is 15."),
    ("<|channel>thought\nHm.\n<channel|>Yes.", "Yes."),
    ("Before <think>x</think> after.", "Before after."),
    ("The tag `<think>` is special.", "The tag think is special."),
    // HTML.
    ("A <b>bold</b> word.", "A bold word."),
    ("One<br>two.", "One two."),
    ("Fish &amp; chips &lt;now&gt;.", "Fish and chips now."),
    ("<!-- note -->Text.", "Text."),
    ("If a < b then stop.", "If a is less than b then stop."),
    // Formulae.
    (
        "$$\nE = mc^2\n$$\nIt is famous.",
        "There is a formula, which I won't read out. It is famous.",
    ),
    (
        "So $x^2 + y^2 = z^2$ holds.",
        "So x squared plus y squared equals z squared holds.",
    ),
    ("It is \\(\\frac{1}{2}\\) of it.", "It is 1 over 2 of it."),
    (
        "It costs $5 and then $10.",
        "It costs 5 dollars and then 10 dollars.",
    ),
    // Emoji.
    ("Great 🎉 work 👍🏽!", "Great work!"),
    ("Hello 👋", "Hello"),
    ("🎉🎉", ""),
    ("A family 👨‍👩‍👧 here ❤️.", "A family here."),
    ("Step 1️⃣ is done ✅.", "Step 1 is done."),
    ("🇩🇪 Germany", "Germany"),
    // Signs.
    ("About 50% of it.", "About 50 percent of it."),
    (
        "It is 21.5°C or 70 °F.",
        "It is 21.5 degrees Celsius or 70 degrees Fahrenheit.",
    ),
    ("Salt & pepper.", "Salt and pepper."),
    ("It costs €5 or 3 £.", "It costs 5 euros or 3 pounds."),
    ("It costs $5.50.", "It costs 5 dollars and 50 cents."),
    ("That is $3 million.", "That is 3 million dollars."),
    ("5 + 3 = 8", "5 plus 3 equals 8"),
    ("12+30=42 is right.", "12 plus 30 equals 42 is right."),
    ("He/she and/or they.", "He she and or they."),
    ("It runs at 90 km/h.", "It runs at 90 kilometers per hour."),
    ("A → B", "A to B"),
    ("x² is bigger.", "x squared is bigger."),
    ("Use C++ or C#.", "Use C plus plus or C sharp."),
    ("~20 people, >5 dogs.", "about 20 people, more than 5 dogs."),
    ("It was -5 today.", "It was minus 5 today."),
    (
        "It takes 16 GB of memory.",
        "It takes 16 gigabytes of memory.",
    ),
    // Figures.
    ("Meet at 10:30.", "Meet at 10 30."),
    ("Meet at 9:05 am.", "Meet at 9 oh 5 AM."),
    ("Meet at 10:00pm.", "Meet at 10 PM."),
    (
        "It opens at 5 p.m. Bring tea.",
        "It opens at 5 PM. Bring tea.",
    ),
    ("I am 5 and you am not.", "I am 5 and you am not."),
    ("From 14:00 on.", "From 14 o'clock on."),
    ("Use 3/4 of a cup.", "Use three quarters of a cup."),
    ("Use 1/2 cup.", "Use one half cup."),
    ("Open 24/7.", "Open 24 7."),
    ("It takes 5–7 days.", "It takes 5 to 7 days."),
    ("It takes 5-7 days.", "It takes 5 to 7 days."),
    ("From 2020–2024 it grew.", "From 2020 to 2024 it grew."),
    ("Call 555-1234.", "Call 555-1234."),
    ("You are #1.", "You are number 1."),
    (
        "On 2026-11-24 it rained.",
        "On November 24, 2026 it rained.",
    ),
    ("At 2026-11-24T10:30:00Z.", "At November 24, 2026 at 10 30."),
    ("A 20–30% rise.", "A 20 to 30 percent rise."),
    ("Between 5 and 10^6.", "Between 5 and 10 to the power of 6."),
    // Words.
    (
        "Tools, e.g. a saw, etc.",
        "Tools, for example a saw, et cetera",
    ),
    (
        "\u{201c}Quoted\u{201d} and \u{2018}so\u{2019}.",
        "Quoted and so.",
    ),
    ("It\u{2019}s fine \u{2014} really.", "It's fine, really."),
    ("Wait\u{2026} what?", "Wait... what?"),
    ("A note[^1] here.", "A note here."),
    ("#fun times.", "fun times."),
    ("", ""),
    ("***", ""),
];

#[test]
fn what_is_said_for_each_text() {
    let mut wrong = Vec::new();
    for (text, said) in CASES {
        let whole = spoken(text);
        if whole != *said {
            wrong.push(format!(
                "{text:?}\n  expected {said:?}\n  but said {whole:?}"
            ));
        }
    }
    assert!(CASES.len() >= 60);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_said_does_not_depend_on_how_the_text_arrives() {
    for (text, _) in CASES {
        assert_eq!(trickled(text), spoken(text), "{text:?}");
    }
}

#[test]
fn code_and_formulae_are_announced_once_in_a_reply() {
    let text = "A:\n```\nx\n```\nB:\n```\ny\n```\n$$\nz\n$$\n$$\nw\n$$\nEnd.";
    let said = spoken(text);
    assert_eq!(said.matches(CODE).count(), 1, "{said}");
    assert_eq!(said.matches(FORMULA).count(), 1, "{said}");
}
