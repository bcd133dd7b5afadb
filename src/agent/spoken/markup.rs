//! Markdown, HTML and inline formulae to plain text.
//!
//! Core. One clause at a time, so a pair of marks may be torn apart: what the Markdown parser leaves of them is removed by
//! [`super::words`].

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The text of one clause without its markup; lines are joined.
pub(super) fn plain(clause: &str) -> String {
    let mut out = String::with_capacity(clause.len());
    let mut text = String::new();
    for line in clause.lines() {
        if is_table_row(line) {
            flush(&mut text, &mut out);
            add(&table_row(line), &mut out);
        } else {
            text.push_str(line.trim());
            text.push('\n');
        }
    }
    flush(&mut text, &mut out);
    out
}

fn flush(text: &mut String, out: &mut String) {
    if !text.trim().is_empty() {
        add(&markdown(text), out);
    }
    text.clear();
}

fn add(sentence: &str, out: &mut String) {
    if sentence.is_empty() {
        return;
    }
    pause(out);
    out.push_str(sentence);
}

/// Separates what follows from what is there, as a full stop would.
fn pause(out: &mut String) {
    let ended = out.trim_end();
    if ended.is_empty() {
        return;
    }
    let stop = if ended.ends_with(['.', '!', '?', ':', ',', ';', '…']) {
        " "
    } else {
        ". "
    };
    out.truncate(ended.len());
    out.push_str(stop);
}

fn is_table_row(line: &str) -> bool {
    let line = line.trim();
    line.len() > 1 && line.starts_with('|') && line[1..].contains('|')
}

/// "| Tea | 2 € |" becomes "Tea, 2 €"; the row of dashes below the headings becomes nothing.
fn table_row(line: &str) -> String {
    let cells: Vec<String> = line
        .trim()
        .trim_matches('|')
        .split('|')
        .map(|cell| markdown(cell.trim()))
        .filter(|cell| cell.contains(|c: char| !matches!(c, '-' | ':' | ' ')))
        .collect();
    cells.join(", ")
}

fn markdown(text: &str) -> String {
    let text = outside_code(text, |part| without_tags(&without_formulae(part)));
    let mut out = String::with_capacity(text.len());
    let mut image_text = None;
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut numbers = Vec::new();
    for event in Parser::new_ext(text.trim_start(), options) {
        match event {
            Event::Start(Tag::List(first)) => numbers.push(first),
            Event::End(TagEnd::List(_)) => {
                numbers.pop();
            }
            Event::Start(Tag::Item) => {
                pause(&mut out);
                if let Some(Some(number)) = numbers.last_mut() {
                    out.push_str(&format!("{number}. "));
                    *number += 1;
                }
            }
            Event::Start(Tag::Paragraph | Tag::Heading { .. }) if !out.ends_with(". ") => {
                pause(&mut out);
            }
            Event::Start(Tag::Image { .. }) => image_text = Some(out.len()),
            Event::End(TagEnd::Image) => {
                let start = image_text.take().unwrap_or(out.len());
                let what = if out.len() == start {
                    "an image"
                } else {
                    "image: "
                };
                out.insert_str(start, what);
            }
            Event::Code(code) => out.push_str(&code_words(&code)),
            Event::Text(words) => out.push_str(&words),
            Event::SoftBreak | Event::HardBreak => out.push(' '),
            Event::TaskListMarker(true) => out.push_str("done: "),
            // Tags were taken out before; what looks like one now is text ("a <b> c" with odd content).
            Event::Html(words) | Event::InlineHtml(words) => out.push_str(&words),
            _ => {}
        }
    }
    out.trim().to_owned()
}

/// Applies `change` to the parts of `text` that are not code spans.
fn outside_code(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('`').enumerate() {
        if index > 0 {
            out.push('`');
        }
        if index % 2 == 0 {
            out.push_str(&change(part));
        } else {
            out.push_str(part);
        }
    }
    out
}

/// Takes HTML tags and comments out; `<https://…>` and comparisons stay.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let tag_like =
            rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        let close = rest.find('>').filter(|_| tag_like);
        let Some(close) = close else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let body = &rest[1..close];
        if body.contains("://") && !body.contains(' ') || body.contains('@') {
            out.push_str(body);
        } else if body.starts_with("br") || body.starts_with("/p") || body.starts_with("/li") {
            out.push(' ');
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out
}

/// Says inline formulae: `\( … \)`, `$ … $` where the content looks like one, and the "【…】" of citations goes.
fn without_formulae(text: &str) -> String {
    let text = between(text, "\\(", "\\)", |_| true, &formula_words);
    let text = between(&text, "\\[", "\\]", |_| true, &formula_words);
    let text = between(&text, "$$", "$$", |_| true, &formula_words);
    let is_formula = |body: &str| {
        body.contains(['\\', '^', '_', '='])
            && !body.starts_with(' ')
            && !body.ends_with(' ')
            && !body.contains('\n')
    };
    let text = between(&text, "$", "$", is_formula, &formula_words);
    let text = between(&text, "【", "】", |_| true, &|_| String::new());
    between(&text, "[^", "]", |body| body.len() < 8, &|_| String::new())
}

fn between(
    text: &str,
    open: &str,
    close: &str,
    test: impl Fn(&str) -> bool,
    change: &dyn Fn(&str) -> String,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let body = &rest[start + open.len()..];
        out.push_str(&rest[..start]);
        match body.find(close).filter(|end| test(&body[..*end])) {
            Some(end) => {
                out.push_str(&change(&body[..end]));
                rest = &body[end + close.len()..];
            }
            None => {
                out.push_str(open);
                rest = body;
            }
        }
    }
    out.push_str(rest);
    out
}

fn formula_words(formula: &str) -> String {
    let mut text = formula.to_owned();
    text = braces_after(&text, "\\frac", |first, second| {
        format!(" {first} over {second} ")
    });
    text = braces_after(&text, "\\sqrt", |of, _| {
        format!(" the square root of {of} ")
    });
    text = braces_after(&text, "\\text", |words, _| format!(" {words} "));
    for (from, to) in FORMULA_WORDS {
        text = text.replace(from, to);
    }
    text = braces_after(&text, "^", |power, _| format!(" to the power of {power} "));
    text = text.replace('^', " to the power of ").replace('_', " ");
    let kept: String = text
        .chars()
        .map(|c| {
            if matches!(c, '\\' | '{' | '}') {
                ' '
            } else {
                c
            }
        })
        .collect();
    let spaced = kept.replace('=', " = ").replace('+', " + ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces `command{first}{second}`; `second` is empty where there is none.
fn braces_after(text: &str, command: &str, say: impl Fn(&str, &str) -> String) -> String {
    let opening = format!("{command}{{");
    let Some(start) = text.find(&opening) else {
        return text.to_owned();
    };
    let Some((first, rest)) = group(&text[start + command.len()..]) else {
        return text.to_owned();
    };
    let (second, rest) = if command == "\\frac" {
        group(rest).unwrap_or(("", rest))
    } else {
        ("", rest)
    };
    let said = format!("{}{}", &text[..start], say(first, second));
    said + &braces_after(rest, command, say)
}

/// The content of the braces that `text` starts with, and what follows them.
fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&text[1..at], &text[at + 1..]));
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// A code span: a name or short command is said, anything else is only mentioned.
fn code_words(code: &str) -> String {
    let odd = code
        .chars()
        .filter(|c| !c.is_alphanumeric() && !matches!(c, ' ' | '_' | '-' | '.' | '/' | ':' | '\''))
        .count();
    if odd > 2 || code.chars().count() > 40 {
        return "some code".to_owned();
    }
    code.chars()
        .filter(|c| {
            c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | ':' | '+' | '#' | '\'')
        })
        .collect()
}

const FORMULA_WORDS: &[(&str, &str)] = &[
    ("\\times", " times "),
    ("\\cdot", " times "),
    ("\\div", " divided by "),
    ("\\pm", " plus or minus "),
    ("\\leq", " ≤ "),
    ("\\geq", " ≥ "),
    ("\\neq", " is not equal to "),
    ("\\approx", " ≈ "),
    ("\\left", " "),
    ("\\right", " "),
    ("\\,", " "),
    ("\\infty", " infinity "),
    ("^2", " squared "),
    ("^{2}", " squared "),
    ("^3", " cubed "),
    ("^{3}", " cubed "),
];
