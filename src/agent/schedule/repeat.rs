//! Alarms that come again: a time of day on certain days of the week, in the time zone in which it is asked.
//!
//! Pure.

use jiff::civil::{Time, Weekday};
use jiff::{Timestamp, ToSpan, ZonedDateTime};

/// Days of the week, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);
    /// Monday to Friday.
    pub const WEEKDAYS: Self = Self(0b001_1111);
    /// Saturday and Sunday.
    pub const WEEKENDS: Self = Self(0b110_0000);

    /// One day.
    #[must_use]
    pub fn one(day: Weekday) -> Self {
        Self(1 << day.to_monday_zero_offset())
    }

    /// From the bits of [`Self::bits`]; `None` where no day is set.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        let bits = bits & Self::ALL.0;
        (bits != 0).then_some(Self(bits))
    }

    /// Monday is the lowest bit.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a day is among them.
    #[must_use]
    pub fn has(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }

    /// "every day", "every weekday", "every Monday and Thursday".
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::ALL => return "every day".to_owned(),
            Self::WEEKDAYS => return "every weekday".to_owned(),
            Self::WEEKENDS => return "every weekend".to_owned(),
            _ => {}
        }
        let names: Vec<&str> = NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect();
        match names.as_slice() {
            [first @ .., last] if !first.is_empty() => {
                format!("every {} and {last}", first.join(", "))
            }
            names => format!("every {}", names.join("")),
        }
    }
}

const NAMES: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A time of day on certain days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// The days.
    pub days: Days,
    /// The time of day, local.
    pub time: Time,
}

impl Repeat {
    /// The next time after `now`, in its time zone. A time that the clock skips in spring is taken as the clock shows it
    /// then (half past two becomes half past three).
    #[must_use]
    pub fn after(self, now: &ZonedDateTime) -> Option<Timestamp> {
        (0..=8).find_map(|days| {
            let day = now.date().checked_add(days.days()).ok()?;
            if !self.days.has(day.weekday()) {
                return None;
            }
            let at = day
                .to_datetime(self.time)
                .to_zoned_datetime(now.time_zone().clone())
                .ok()?
                .timestamp();
            (at > now.timestamp()).then_some(at)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn at(text: &str) -> ZonedDateTime {
        text.parse().unwrap()
    }

    fn next(days: Days, time: &str, now: &str) -> String {
        let now = at(now);
        let repeat = Repeat {
            days,
            time: time.parse().unwrap(),
        };
        let next = repeat.after(&now).unwrap();
        next.to_zoned_datetime(now.time_zone().clone()).to_string()
    }

    #[test]
    fn the_next_time_is_today_tomorrow_or_next_week() {
        // A Tuesday.
        let now = "2026-11-24T07:00:00+01:00[Europe/Berlin]";
        assert_eq!(
            next(Days::ALL, "07:30", now),
            "2026-11-24T07:30:00+01:00[Europe/Berlin]"
        );
        assert_eq!(
            next(Days::ALL, "07:00", now),
            "2026-11-25T07:00:00+01:00[Europe/Berlin]"
        );
        assert_eq!(
            next(Days::WEEKENDS, "07:00", now),
            "2026-11-28T07:00:00+01:00[Europe/Berlin]"
        );
        assert_eq!(
            next(Days::one(Weekday::Tuesday), "06:59", now),
            "2026-12-01T06:59:00+01:00[Europe/Berlin]"
        );
    }

    #[test]
    fn a_night_in_which_the_clock_changes_keeps_the_time_of_day() {
        let before = "2026-03-28T12:00:00+01:00[Europe/Berlin]";
        assert_eq!(
            next(Days::ALL, "07:30", before),
            "2026-03-29T07:30:00+02:00[Europe/Berlin]"
        );
        assert_eq!(
            next(Days::ALL, "02:30", before),
            "2026-03-29T03:30:00+02:00[Europe/Berlin]"
        );
    }

    #[test]
    fn days_are_said() {
        let two = Days::one(Weekday::Monday).and(Days::one(Weekday::Thursday));
        assert_eq!(two.words(), "every Monday and Thursday");
        assert_eq!(Days::one(Weekday::Sunday).words(), "every Sunday");
        assert_eq!(Days::WEEKDAYS.words(), "every weekday");
        assert_eq!(Days::from_bits(0), None);
    }
}
