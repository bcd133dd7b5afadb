//! What a person types to search, as an expression of the index.
//!
//! Pure. Every word is quoted, so that no text is a syntax error or a hidden operator; the operators are those that people
//! know from elsewhere: `"a phrase"`, `-without`, `begin*`, and the capital words `OR`, `NOT`, `AND`.

/// Why there is nothing to search for: give a word. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No word at all.
    #[error(
        "there is nothing to search for; give at least one word, like `hark transcripts search weather`"
    )]
    Empty,
    /// Only words that must not occur.
    #[error("a search needs a word that occurs beside those that must not; add one before the `-`")]
    OnlyExclusions,
}

/// The expression for FTS5.
///
/// # Errors
/// See [`QueryError`].
pub fn expression(typed: &str) -> Result<String, QueryError> {
    let mut any_of: Vec<Vec<String>> = vec![Vec::new()];
    let mut none_of = Vec::new();
    let mut exclude = false;
    for piece in pieces(typed) {
        match piece {
            Piece::Or => any_of.push(Vec::new()),
            Piece::Not => exclude = true,
            Piece::And => {}
            Piece::Term(term) => {
                let list = any_of.last_mut().expect("one list is there from the start");
                let list = if std::mem::take(&mut exclude) {
                    &mut none_of
                } else {
                    list
                };
                list.push(term);
            }
        }
    }
    any_of.retain(|group| !group.is_empty());
    if any_of.is_empty() {
        return Err(if none_of.is_empty() {
            QueryError::Empty
        } else {
            QueryError::OnlyExclusions
        });
    }
    let groups: Vec<String> = any_of
        .iter()
        .map(|group| format!("({})", group.join(" AND ")))
        .collect();
    let wanted = groups.join(" OR ");
    Ok(if none_of.is_empty() {
        wanted
    } else {
        format!("({wanted}) NOT ({})", none_of.join(" OR "))
    })
}

enum Piece {
    Or,
    And,
    Not,
    Term(String),
}

/// Splits at blanks outside double quotes.
fn pieces(typed: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = typed.trim_start();
    while !rest.is_empty() {
        let excluded = rest.len() > 1 && rest.starts_with('-');
        let body = if excluded { &rest[1..] } else { rest };
        let (text, quoted, after) = match body.strip_prefix('"') {
            Some(inner) => {
                let end = inner.find('"').unwrap_or(inner.len());
                (
                    &inner[..end],
                    true,
                    inner.get(end + 1..).unwrap_or_default(),
                )
            }
            None => {
                let end = body
                    .find(|c: char| c.is_whitespace() || c == '"')
                    .unwrap_or(body.len());
                (&body[..end], false, &body[end..])
            }
        };
        let piece = match text {
            "OR" if !quoted && !excluded => Some(Piece::Or),
            "AND" if !quoted && !excluded => Some(Piece::And),
            "NOT" if !quoted && !excluded => Some(Piece::Not),
            _ => term(text, quoted).map(Piece::Term),
        };
        if let Some(piece) = piece {
            if excluded {
                pieces.push(Piece::Not);
            }
            pieces.push(piece);
        }
        rest = after.trim_start();
    }
    pieces
}

/// A quoted string of the index's language; `None` where the text holds nothing that the index knows (punctuation).
fn term(text: &str, quoted: bool) -> Option<String> {
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    // One letter begins too many words to mean any of them, and has no index.
    let long = text.chars().filter(|c| c.is_alphanumeric()).count() > 1;
    let prefix = if !quoted && long && text.ends_with('*') {
        "*"
    } else {
        ""
    };
    // A quote cannot occur in it, and a NUL would end the statement's text.
    let text = text.trim_end_matches('*').replace('\0', " ");
    Some(format!("\"{text}\"{prefix}"))
}
