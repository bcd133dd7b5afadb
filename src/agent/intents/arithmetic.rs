//! Sums: spoken or written, with precedence, percentages and roots.
//!
//! Pure. A recursive descent over the words; every word must belong to the sum, or it is somebody else's question.

use super::{Intent, IntentKind, numbers};

/// Why a sum has no value.
enum Impossible {
    DivisionByZero,
    RootOfNegative,
    TooLarge,
}

/// A value, and whether it was given in percent ("100 plus 10 percent").
#[derive(Clone, Copy)]
struct Value {
    number: f64,
    percent: bool,
}

/// What an instruction does with its two numbers.
type Operation = fn(f64, f64) -> f64;

type Parsed = Option<Result<Value, Impossible>>;

struct Parser<'a, 'w> {
    words: &'a [&'w str],
    at: usize,
    operations: usize,
    depth: usize,
}

/// The answer, if all of `words` is a sum with at least one operation.
pub(super) fn answer(words: &[&str]) -> Option<Intent> {
    let words = without_question(words);
    let value = instruction(words).or_else(|| sum(words))?;
    let say = match value {
        Ok(value) => format!("That's {}.", numbers::say(value)),
        Err(Impossible::DivisionByZero) => "Dividing by zero has no answer.".to_owned(),
        Err(Impossible::RootOfNegative) => "A negative number has no real square root.".to_owned(),
        Err(Impossible::TooLarge) => "That number is too large for me.".to_owned(),
    };
    Some(Intent::say(IntentKind::Arithmetic, say))
}

fn without_question<'a, 'w>(words: &'a [&'w str]) -> &'a [&'w str] {
    let openings: &[&[&str]] = &[
        &["what", "is"],
        &["what", "are"],
        &["what", "does"],
        &["what", "do", "you", "get", "if", "you"],
        &["how", "much", "is"],
        &["how", "much", "are"],
        &["tell", "me", "what"],
        &["tell", "me"],
        &["calculate"],
        &["compute"],
        &["work", "out"],
        &["the", "result", "of"],
    ];
    let closings: &[&[&str]] = &[
        &["is", "what"],
        &["equals", "what"],
        &["equals"],
        &["equal"],
        &["make"],
        &["is"],
        &["="],
    ];
    let mut words = words;
    for opening in openings {
        words = words.strip_prefix(*opening).unwrap_or(words);
    }
    for closing in closings {
        words = words.strip_suffix(*closing).unwrap_or(words);
    }
    words
}

/// "add five and seven", "subtract 3 from 10", "divide ten by four".
fn instruction(words: &[&str]) -> Option<Result<f64, Impossible>> {
    let (verb, rest) = words.split_first()?;
    let (joints, operation): (&[&str], Operation) = match *verb {
        "add" => (&["and", "to", "plus"], |a, b| a + b),
        "subtract" | "take" => (&["from"], |a, b| b - a),
        "multiply" => (&["by", "and", "with"], |a, b| a * b),
        "divide" => (&["by"], |a, b| a / b),
        _ => return None,
    };
    rest.iter().enumerate().find_map(|(at, word)| {
        let joint = joints.contains(word);
        let (first, second) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
        let (first, second) = (operand(first).filter(|_| joint)?, operand(second)?);
        if *verb == "divide" && second == 0.0 {
            return Some(Err(Impossible::DivisionByZero));
        }
        Some(finite(operation(first, second)))
    })
}

fn operand(words: &[&str]) -> Option<f64> {
    let (value, taken) = numbers::number(words)?;
    (taken == words.len()).then_some(value)
}

fn sum(words: &[&str]) -> Option<Result<f64, Impossible>> {
    let mut parser = Parser {
        words,
        at: 0,
        operations: 0,
        depth: 0,
    };
    let value = parser.terms()?;
    if parser.at != words.len() || parser.operations == 0 {
        return None;
    }
    Some(value.and_then(|value| finite(value.plain())))
}

fn finite(value: f64) -> Result<f64, Impossible> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Impossible::TooLarge)
    }
}

impl Value {
    const fn of(number: f64) -> Self {
        Self {
            number,
            percent: false,
        }
    }

    fn plain(self) -> f64 {
        if self.percent {
            self.number / 100.0
        } else {
            self.number
        }
    }
}

impl Parser<'_, '_> {
    fn rest(&self) -> &[&str] {
        &self.words[self.at..]
    }

    /// Steps over one of `forms`, longest first.
    fn accept(&mut self, forms: &[&[&str]]) -> bool {
        let found = forms.iter().find(|form| self.rest().starts_with(form));
        let length = found.map_or(0, |form| form.len());
        self.at += length;
        length > 0
    }

    fn terms(&mut self) -> Parsed {
        let mut left = self.factors()?;
        loop {
            let plus = self.accept(&[&["plus"], &["+"], &["added", "to"]]);
            if !plus && !self.accept(&[&["minus"], &["-"], &["less"], &["take", "away"]]) {
                return Some(left);
            }
            self.operations += 1;
            let right = self.factors()?;
            left = both(left, right, |a, b| {
                let base = a.plain();
                // "100 plus 10 percent" adds a tenth of what stands before it.
                let b = if b.percent && !a.percent {
                    base * b.plain()
                } else {
                    b.plain()
                };
                Ok(Value::of(if plus { base + b } else { base - b }))
            });
        }
    }

    fn factors(&mut self) -> Parsed {
        let mut left = self.powers()?;
        loop {
            let times = self.accept(&[&["times"], &["*"], &["x"], &["multiplied", "by"]]);
            if !times && !self.accept(&[&["divided", "by"], &["over"], &["/"]]) {
                return Some(left);
            }
            self.operations += 1;
            let right = self.powers()?;
            left = both(left, right, |a, b| match (times, b.plain()) {
                (false, 0.0) => Err(Impossible::DivisionByZero),
                (true, b) => Ok(Value::of(a.plain() * b)),
                (false, b) => Ok(Value::of(a.plain() / b)),
            });
        }
    }

    fn powers(&mut self) -> Parsed {
        let base = self.operand()?;
        let exponent = if self.accept(&[&["squared"]]) {
            Some(Ok(Value::of(2.0)))
        } else if self.accept(&[&["cubed"]]) {
            Some(Ok(Value::of(3.0)))
        } else if self.accept(&[
            &["to", "the", "power", "of"],
            &["to", "the", "power"],
            &["^"],
        ]) {
            Some(self.operand()?)
        } else {
            None
        };
        let Some(exponent) = exponent else {
            return Some(base);
        };
        self.operations += 1;
        Some(both(base, exponent, |a, b| {
            Ok(Value::of(a.plain().powf(b.plain())))
        }))
    }

    fn operand(&mut self) -> Parsed {
        // Nested signs and brackets are the only recursion; nobody speaks them this deep.
        if self.depth > 20 {
            return None;
        }
        self.depth += 1;
        let value = self.deeper_operand();
        self.depth -= 1;
        value
    }

    fn deeper_operand(&mut self) -> Parsed {
        if self.accept(&[&["minus"], &["negative"], &["-"]]) {
            let value = self.operand()?;
            return Some(value.map(|value| Value {
                number: -value.number,
                ..value
            }));
        }
        if self.accept(&[&["("]]) {
            let value = self.terms()?;
            return self.accept(&[&[")"]]).then_some(value);
        }
        if self.accept(&[
            &["the", "square", "root", "of"],
            &["square", "root", "of"],
            &["√"],
        ]) {
            self.operations += 1;
            let value = self.powers()?;
            return Some(value.and_then(|value| match value.plain() {
                negative if negative < 0.0 => Err(Impossible::RootOfNegative),
                positive => Ok(Value::of(positive.sqrt())),
            }));
        }
        if let Some(share) = self.share() {
            self.operations += 1;
            let whole = self.powers()?;
            return Some(whole.map(|whole| Value::of(share * whole.plain())));
        }
        self.figure()
    }

    /// "half of", "a third of", "twice".
    fn share(&mut self) -> Option<f64> {
        let forms: &[(&[&str], f64)] = &[
            (&["half", "of"], 0.5),
            (&["a", "half", "of"], 0.5),
            (&["one", "half", "of"], 0.5),
            (&["a", "third", "of"], 1.0 / 3.0),
            (&["one", "third", "of"], 1.0 / 3.0),
            (&["two", "thirds", "of"], 2.0 / 3.0),
            (&["a", "quarter", "of"], 0.25),
            (&["one", "quarter", "of"], 0.25),
            (&["three", "quarters", "of"], 0.75),
            (&["a", "tenth", "of"], 0.1),
            (&["double"], 2.0),
            (&["twice"], 2.0),
        ];
        let (form, share) = forms
            .iter()
            .find(|(form, _)| self.rest().starts_with(form))?;
        self.at += form.len();
        Some(*share)
    }

    fn figure(&mut self) -> Parsed {
        let (number, taken) = match self.rest() {
            ["half", ..] => (0.5, 1),
            ["pi", ..] => (std::f64::consts::PI, 1),
            rest => numbers::number(rest)?,
        };
        self.at += taken;
        let percent = self.accept(&[&["percent"], &["per", "cent"]]);
        if percent && self.accept(&[&["of"]]) {
            self.operations += 1;
            let whole = self.powers()?;
            return Some(whole.map(|whole| Value::of(number / 100.0 * whole.plain())));
        }
        Some(Ok(Value { number, percent }))
    }
}

fn both(
    left: Result<Value, Impossible>,
    right: Result<Value, Impossible>,
    apply: impl FnOnce(Value, Value) -> Result<Value, Impossible>,
) -> Result<Value, Impossible> {
    apply(left?, right?)
}
