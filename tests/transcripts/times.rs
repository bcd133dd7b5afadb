//! Stretches of time as people write them.

use hark::transcripts::when::{age, day_name, stretch, turns};
use jiff::Timestamp;

use super::at;

/// The stretch as local times in Berlin.
fn berlin(written: &str) -> (String, String) {
    let now = at("2026-11-24T14:30:00+01:00[Europe/Berlin]");
    let when = stretch(written, &now).unwrap();
    let local = |ms| {
        let instant = Timestamp::from_millisecond(ms).unwrap();
        instant
            .to_zoned_datetime(now.time_zone().clone())
            .strftime("%m-%d %H:%M")
            .to_string()
    };
    let end = if when.until_ms == i64::MAX {
        "open".to_owned()
    } else {
        local(when.until_ms)
    };
    let start = if when.from_ms == i64::MIN {
        "open".to_owned()
    } else {
        local(when.from_ms)
    };
    (start, end)
}

#[test]
fn days_months_ranges_and_ages_are_understood() {
    for (written, start, end) in [
        ("today", "11-24 00:00", "11-25 00:00"),
        ("Yesterday", "11-23 00:00", "11-24 00:00"),
        ("2026-11-20", "11-20 00:00", "11-21 00:00"),
        ("2026-11", "11-01 00:00", "12-01 00:00"),
        ("2026", "01-01 00:00", "01-01 00:00"),
        ("2026-11-01..2026-11-20", "11-01 00:00", "11-21 00:00"),
        ("2026-11-01..today", "11-01 00:00", "11-25 00:00"),
        ("2026-11-01..", "11-01 00:00", "open"),
        ("..yesterday", "open", "11-24 00:00"),
        ("12h", "11-24 02:30", "open"),
        ("7d", "11-17 14:30", "open"),
        ("2w", "11-10 14:30", "open"),
    ] {
        assert_eq!(
            berlin(written),
            (start.to_owned(), end.to_owned()),
            "{written}"
        );
    }
}

#[test]
fn the_day_on_which_clocks_are_put_back_has_25_hours() {
    let now = at("2026-11-24T14:30:00+01:00[Europe/Berlin]");
    let day = stretch("2026-10-25", &now).unwrap();
    assert_eq!(day.until_ms - day.from_ms, 25 * 3_600_000);
}

#[test]
fn what_means_no_time_is_refused_with_what_may_be_written() {
    let now = at("2026-11-24T14:30:00+01:00[Europe/Berlin]");
    for written in [
        "",
        "..",
        "soon",
        "2026-13",
        "2026-02-30",
        "24.11.2026",
        "7",
        "7x",
        "-3d",
        "2026-11-20..2026-11-01",
        "999999999999999999999d",
        "1-2-3-4",
    ] {
        let error = stretch(written, &now).unwrap_err().to_string();
        assert!(
            error.contains("write today, yesterday"),
            "{written:?}: {error}"
        );
    }
    assert!(
        age("old", &now)
            .unwrap_err()
            .to_string()
            .contains("like 90d")
    );
}

#[test]
fn an_age_is_an_instant_in_the_past() {
    let now = at("2026-11-24T14:30:00+01:00[Europe/Berlin]");
    let ago = now.timestamp().as_millisecond() - age("90d", &now).unwrap();
    // The summer in between makes them an hour less or more: the same time of day is meant.
    assert_eq!(ago, 90 * 86_400_000 + 3_600_000);
}

#[test]
fn turns_are_a_number_or_a_range() {
    assert_eq!(turns("42"), Some((42, 42)));
    assert_eq!(turns("40..45"), Some((40, 45)));
    for written in ["", "0", "45..40", "x", "4x", "40..", "-1"] {
        assert_eq!(turns(written), None, "{written}");
    }
}

#[test]
fn days_near_the_present_have_names() {
    let now = at("2026-11-24T00:30:00+01:00[Europe/Berlin]");
    let name = |written: &str| day_name(written.parse().unwrap(), &now);
    assert_eq!(name("2026-11-24"), "today");
    assert_eq!(name("2026-11-23"), "yesterday");
    assert_eq!(name("2026-11-21"), "Saturday");
    assert_eq!(name("2026-11-17"), "2026-11-17");
    assert_eq!(name("2026-11-25"), "2026-11-25");
}
