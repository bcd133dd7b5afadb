//! Figures that engines read differently or wrongly: times, dates, money, ranges, fractions, units.
//!
//! Core. Every function takes one token without its closing punctuation and answers `None` where it is not of its kind.

/// A token whose wording depends on the next one; also tells how many tokens were used.
pub(super) fn with_next(core: &str, close: &str, after: Option<&str>) -> Option<(String, usize)> {
    let after_core = after.map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']));
    if close.is_empty()
        && let Some(magnitude) = after_core
        && MAGNITUDES.contains(&magnitude)
        && let Some((amount, currency)) = money_parts(core)
    {
        let tail = &after.unwrap_or_default()[magnitude.len()..];
        let tail = tail.trim_start_matches(')');
        return Some((format!("{amount} {magnitude} {}{tail}", currency.many), 2));
    }
    None
}

/// A unit that stands apart from its number: "10 km", "9:05 am".
pub(super) fn unit_after_number(core: &str, before: Option<&str>) -> Option<String> {
    let number = before?.trim_start_matches(['(', '~', '-', '+']);
    match core.to_lowercase().as_str() {
        "am" | "a.m" if time(number).is_some() || is_hour(number) => return Some("AM".to_owned()),
        "pm" | "p.m" if time(number).is_some() || is_hour(number) => return Some("PM".to_owned()),
        _ => {}
    }
    if !is_number(number) && range(number).is_none() {
        return None;
    }
    unit(core, number == "1").map(str::to_owned)
}

fn is_hour(text: &str) -> bool {
    text.parse().is_ok_and(|hour: u8| (1..=12).contains(&hour))
}

/// The first reading that fits.
pub(super) fn figure(core: &str) -> Option<String> {
    if let Some(rest) = core.strip_prefix('~')
        && rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '€' | '£'))
    {
        return Some(format!("about {}", figure(rest).unwrap_or(rest.to_owned())));
    }
    for (sign, words) in [
        ('±', "plus or minus"),
        ('-', "minus"),
        ('<', "less than"),
        ('>', "more than"),
        ('≤', "at most"),
        ('≥', "at least"),
        ('+', "plus"),
    ] {
        if let Some(rest) = core.strip_prefix(sign)
            && rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '€' | '£'))
        {
            return Some(format!(
                "{words} {}",
                figure(rest).unwrap_or(rest.to_owned())
            ));
        }
    }
    date(core)
        .or_else(|| time(core))
        .or_else(|| money(core))
        .or_else(|| ordinal_sign(core))
        .or_else(|| range(core))
        .or_else(|| fraction(core))
        .or_else(|| power(core))
        .or_else(|| number_with_unit(core))
        .or_else(|| sum(core))
}

/// "2026-11-24", with or without a time after a `T`.
fn date(core: &str) -> Option<String> {
    let (day, time_of_day) = match core.split_once('T') {
        Some((day, rest)) => (day, Some(rest)),
        None => (core, None),
    };
    let mut parts = day.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let year: u16 = year.parse().ok()?;
    let month: usize = month.parse().ok()?;
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = MONTHS.get(month.checked_sub(1)?)?;
    let mut words = format!("{month} {day}, {year}");
    if let Some(rest) = time_of_day {
        let clock = rest.get(..5)?;
        words.push_str(" at ");
        words.push_str(&time(clock)?);
    }
    Some(words)
}

/// "10:30", "9:05am", "14:00".
fn time(core: &str) -> Option<String> {
    let lower = core.to_lowercase();
    let (clock, half) = ["am", "pm", "a.m", "p.m"]
        .iter()
        .find_map(|half| lower.strip_suffix(half).map(|clock| (clock, &half[..1])))
        .map_or((lower.as_str(), None), |(clock, half)| (clock, Some(half)));
    let half = half
        .map(|half| format!(" {}M", half.to_uppercase()))
        .unwrap_or_default();
    let Some((hours, minutes)) = clock.split_once(':') else {
        let hour: u8 = clock.parse().ok()?;
        return (!half.is_empty() && (1..=12).contains(&hour)).then(|| format!("{hour}{half}"));
    };
    let hour: u8 = hours.parse().ok().filter(|hour| *hour < 24)?;
    let minute: u8 = minutes.parse().ok().filter(|minute| *minute < 60)?;
    if minutes.len() != 2 || hours.len() > 2 {
        return None;
    }
    Some(match minute {
        0 if half.is_empty() => format!("{hour} o'clock"),
        0 => format!("{hour}{half}"),
        1..=9 => format!("{hour} oh {minute}{half}"),
        _ => format!("{hour} {minute}{half}"),
    })
}

#[derive(Clone, Copy)]
struct Currency {
    one: &'static str,
    many: &'static str,
    cents: &'static str,
}

fn money_parts(core: &str) -> Option<(&str, Currency)> {
    CURRENCIES.iter().find_map(|(sign, currency)| {
        let amount = core
            .strip_prefix(*sign)
            .or_else(|| core.strip_suffix(*sign))?;
        is_number(amount).then_some((amount, *currency))
    })
}

/// "$5.50" is said as it is in a shop.
fn money(core: &str) -> Option<String> {
    let (amount, currency) = money_parts(core)?;
    let name = |amount: &str| {
        if amount == "1" {
            currency.one
        } else {
            currency.many
        }
    };
    if let Some((whole, cents)) = amount.split_once('.')
        && cents.len() == 2
    {
        let cents: u8 = cents.parse().ok()?;
        return Some(match (whole, cents) {
            (_, 0) => format!("{whole} {}", name(whole)),
            ("0", cents) => format!("{cents} {}", currency.cents),
            _ => format!("{whole} {} and {cents} {}", name(whole), currency.cents),
        });
    }
    Some(format!("{amount} {}", name(amount)))
}

fn ordinal_sign(core: &str) -> Option<String> {
    let number = core.strip_prefix('#')?;
    is_number(number).then(|| format!("number {number}"))
}

/// "5–7", "5-7%", "$5-$10"; with a hyphen only where it cannot be a telephone number or a score.
fn range(core: &str) -> Option<String> {
    let (low, high, dash) = match core.split_once('–') {
        Some((low, high)) => (low, high, true),
        None => {
            let (low, high) = core.split_once('-')?;
            (low, high, false)
        }
    };
    let bare = |side: &str| side.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let (first, last) = (bare(low), bare(high));
    if !is_number(&first)
        || !is_number(&last)
        || !low.starts_with(|c: char| c.is_ascii_digit() || c == '$' || c == '€')
    {
        if let (true, Some(from), Some(to)) = (dash, time(low), time(high)) {
            return Some(format!("{from} to {to}"));
        }
        return None;
    }
    if !dash {
        let rising = first.parse::<f64>().ok()? < last.parse::<f64>().ok()?;
        let telephone = first.len() == 3 && last.len() == 4;
        if !rising || telephone || high.contains('-') || last.len() > first.len() + 1 {
            return None;
        }
    }
    let side = |text: &str| figure(text).unwrap_or_else(|| text.to_owned());
    // The unit of "5–7 %" or "$5–7" is said once, at the end.
    let low = low.trim_start_matches(['$', '€']);
    let high = match core.chars().next() {
        Some(sign @ ('$' | '€')) if !high.starts_with(sign) => format!("{sign}{high}"),
        _ => high.to_owned(),
    };
    Some(format!("{} to {}", side(low), side(&high)))
}

fn fraction(core: &str) -> Option<String> {
    let (top, bottom) = core.split_once('/')?;
    let (n, d): (u32, u32) = (top.parse().ok()?, bottom.parse().ok()?);
    if (n, d) == (24, 7) {
        return Some("24 7".to_owned());
    }
    let parts = match d {
        2 => ["half", "halves"],
        3 => ["third", "thirds"],
        4 => ["quarter", "quarters"],
        5 => ["fifth", "fifths"],
        6 => ["sixth", "sixths"],
        8 => ["eighth", "eighths"],
        10 => ["tenth", "tenths"],
        _ => return Some(format!("{n} over {d}")),
    };
    let count = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ];
    if n >= d || n == 0 {
        return Some(format!("{n} over {d}"));
    }
    Some(format!(
        "{} {}",
        count[n as usize],
        parts[usize::from(n != 1)]
    ))
}

/// "10^6", "5²".
fn power(core: &str) -> Option<String> {
    let (base, exponent) = core.split_once('^')?;
    let plain = |text: &str, extra: &[char]| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || extra.contains(&c))
    };
    if !plain(base, &[]) || !plain(exponent, &['-', '.']) {
        return None;
    }
    Some(match exponent {
        "2" => format!("{base} squared"),
        "3" => format!("{base} cubed"),
        _ => format!("{base} to the power of {}", exponent.replace('-', "minus ")),
    })
}

/// "5%", "20°C", "16GB", "5km/h".
fn number_with_unit(core: &str) -> Option<String> {
    let end = core.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))?;
    let (number, sign) = core.split_at(end);
    if !is_number(number) {
        return None;
    }
    unit(sign, number == "1").map(|words| format!("{number} {words}"))
}

/// "12+30=42" and "5=5": figures joined by signs.
fn sum(core: &str) -> Option<String> {
    let figures = core.chars().filter(char::is_ascii_digit).count();
    let signs = core
        .chars()
        .filter(|c| matches!(c, '+' | '=' | '×' | '÷' | '*'))
        .count();
    if figures == 0
        || signs == 0
        || !core
            .chars()
            .all(|c| c.is_ascii_digit() || ".,+=×÷*-".contains(c))
    {
        return None;
    }
    let words = core
        .replace('+', " plus ")
        .replace('=', " equals ")
        .replace(['×', '*'], " times ")
        .replace('÷', " divided by ")
        .replace('-', " minus ");
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
}

fn unit(sign: &str, one: bool) -> Option<&'static str> {
    UNITS
        .iter()
        .find(|(sign_of, ..)| *sign_of == sign)
        .map(|(_, singular, plural)| if one { *singular } else { *plural })
}

const MAGNITUDES: &[&str] = &["thousand", "million", "billion", "trillion"];

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const CURRENCIES: &[(char, Currency)] = &[
    (
        '$',
        Currency {
            one: "dollar",
            many: "dollars",
            cents: "cents",
        },
    ),
    (
        '€',
        Currency {
            one: "euro",
            many: "euros",
            cents: "cents",
        },
    ),
    (
        '£',
        Currency {
            one: "pound",
            many: "pounds",
            cents: "pence",
        },
    ),
    (
        '¥',
        Currency {
            one: "yen",
            many: "yen",
            cents: "sen",
        },
    ),
];

/// Sign, singular, plural. Signs of one letter are left to the engine: "5 m" may be metres or minutes.
const UNITS: &[(&str, &str, &str)] = &[
    ("%", "percent", "percent"),
    ("°C", "degree Celsius", "degrees Celsius"),
    ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
    ("°", "degree", "degrees"),
    ("km", "kilometer", "kilometers"),
    ("cm", "centimeter", "centimeters"),
    ("mm", "millimeter", "millimeters"),
    ("kg", "kilogram", "kilograms"),
    ("mg", "milligram", "milligrams"),
    ("lb", "pound", "pounds"),
    ("lbs", "pound", "pounds"),
    ("oz", "ounce", "ounces"),
    ("ft", "foot", "feet"),
    ("mi", "mile", "miles"),
    ("ml", "milliliter", "milliliters"),
    ("mL", "milliliter", "milliliters"),
    ("mph", "mile per hour", "miles per hour"),
    ("km/h", "kilometer per hour", "kilometers per hour"),
    ("kB", "kilobyte", "kilobytes"),
    ("KB", "kilobyte", "kilobytes"),
    ("MB", "megabyte", "megabytes"),
    ("GB", "gigabyte", "gigabytes"),
    ("TB", "terabyte", "terabytes"),
    ("MiB", "mebibyte", "mebibytes"),
    ("GiB", "gibibyte", "gibibytes"),
    ("Hz", "hertz", "hertz"),
    ("kHz", "kilohertz", "kilohertz"),
    ("MHz", "megahertz", "megahertz"),
    ("GHz", "gigahertz", "gigahertz"),
    ("kW", "kilowatt", "kilowatts"),
    ("kWh", "kilowatt hour", "kilowatt hours"),
    ("ms", "millisecond", "milliseconds"),
    ("min", "minute", "minutes"),
    ("mins", "minute", "minutes"),
    ("hrs", "hour", "hours"),
    ("m²", "square meter", "square meters"),
    ("km²", "square kilometer", "square kilometers"),
];
