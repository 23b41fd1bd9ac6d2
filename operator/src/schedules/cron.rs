//! The times at which a schedule is due. Pure.

use cronexpr::Crontab;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the five fields are called.
const FIELDS: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];
/// Short forms, and what they stand for.
const MACROS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What is wrong with a schedule's times.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no time zone {0:?}; write a name of the IANA database such as Europe/Berlin, or UTC")]
    Zone(String),
    #[error(
        "{0} fields, where five are expected: minute, hour, day of month, month and day of week, such as 30 2 * * 1-5"
    )]
    Fields(usize),
    #[error("there is no {0:?}; write five fields such as 30 2 * * 1-5, or one of {known}", known = macros())]
    Macro(String),
    #[error("{0:?} has characters that no schedule has; write five fields such as 30 2 * * 1-5")]
    Characters(String),
    #[error("the {0} {1:?} cannot be read: {2}")]
    Field(&'static str, String, String),
    #[error("it cannot be read: {0}")]
    Whole(String),
    #[error("it is not due within the next four years; give it a day that comes")]
    Never,
}

/// The times of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Cron(Crontab);

impl Cron {
    /// Reads an expression, and the name of the time zone that it is meant in.
    pub(super) fn read(expression: &str, time_zone: &str) -> Result<Self, Error> {
        let expression = expression.trim();
        if !expression.is_ascii() {
            return Err(Error::Characters(expression.to_owned()));
        }
        let known = MACROS.iter().find(|(name, _)| *name == expression);
        let expression = match known {
            Some((_, fields)) => fields,
            None if expression.starts_with('@') => return Err(Error::Macro(expression.to_owned())),
            None => expression,
        };
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(Error::Fields(fields.len()));
        }
        // Each by itself, because the library does not name the one that is wrong.
        for (i, (name, field)) in FIELDS.into_iter().zip(&fields).enumerate() {
            let mut alone = ["*"; FIELDS.len()];
            alone[i] = field;
            cronexpr::parse_crontab(&format!("{} UTC", alone.join(" ")))
                .map_err(|e| Error::Field(name, (*field).to_owned(), reason(&e)))?;
        }
        cronexpr::parse_crontab(&format!("{} {time_zone}", fields.join(" ")))
            .map(Self)
            .map_err(|e| Error::Whole(reason(&e)))
    }

    /// The first time after this one; none if none comes within four years.
    pub(super) fn after(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.find_next(time).ok().map(|found| found.timestamp())
    }

    /// The times after the first one given, up to the second one, the earliest first.
    pub(super) fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(after), move |t| self.after(*t)).take_while(move |t| *t <= until)
    }

    /// The last of these times, found by halving, however many there are.
    pub(super) fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let found = |second: i64| {
            let next = self.after(Timestamp::from_second(second).ok()?)?;
            (next <= until).then_some(next)
        };
        // Times are whole seconds. One comes after `low`, none after `high`.
        let (mut low, mut high) = (after.as_second(), until.as_second());
        let mut last = found(low)?;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match found(middle) {
                Some(next) => (low, last) = (middle, next),
                None => high = middle,
            }
        }
        Some(last)
    }
}

/// Whether a time zone of this name is known.
pub(super) fn check_zone(name: &str) -> Result<(), Error> {
    TimeZone::get(name).map(drop).map_err(|_| Error::Zone(name.to_owned()))
}

fn macros() -> String {
    MACROS.map(|(name, _)| name).join(", ")
}

/// The library shows the expression, points at the place, and says the reason behind that.
fn reason(error: &cronexpr::Error) -> String {
    let told = error.to_string();
    told.rsplit_once("^ ").map_or(told.as_str(), |(_, reason)| reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::read(expression, zone).unwrap();
        let far = time("2040-01-01T00:00:00Z");
        cron.between(time(after), far).take(count).map(|t| t.to_string()).collect()
    }

    #[test]
    fn each_form_has_its_times() {
        for (expression, zone, after, times) in [
            ("*/30 * * * *", "UTC", "2030-01-01T00:00:00Z", ["2030-01-01T00:30:00Z", "2030-01-01T01:00:00Z"]),
            ("0 2 * * *", "UTC", "2030-01-01T01:59:59Z", ["2030-01-01T02:00:00Z", "2030-01-02T02:00:00Z"]),
            (
                "0 2 * * *",
                "Asia/Kolkata",
                "2030-01-01T00:00:00Z",
                ["2030-01-01T20:30:00Z", "2030-01-02T20:30:00Z"],
            ),
            // A Monday and a Friday.
            (
                "0 0 * * MON,5",
                "UTC",
                "2030-01-05T00:00:00Z",
                ["2030-01-07T00:00:00Z", "2030-01-11T00:00:00Z"],
            ),
            // Either day, because neither field begins with a star.
            ("0 0 1 * 1", "UTC", "2030-01-28T00:00:00Z", ["2030-02-01T00:00:00Z", "2030-02-04T00:00:00Z"]),
            ("0 0 29 2 *", "UTC", "2030-01-01T00:00:00Z", ["2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]),
            (" @hourly ", "UTC", "2030-01-01T00:00:00Z", ["2030-01-01T01:00:00Z", "2030-01-01T02:00:00Z"]),
            ("@midnight", "UTC", "2030-01-01T00:00:00Z", ["2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"]),
            // A Sunday.
            ("@weekly", "UTC", "2030-01-01T00:00:00Z", ["2030-01-06T00:00:00Z", "2030-01-13T00:00:00Z"]),
            ("@monthly", "UTC", "2030-01-01T00:00:00Z", ["2030-02-01T00:00:00Z", "2030-03-01T00:00:00Z"]),
            ("@annually", "UTC", "2030-01-01T00:00:00Z", ["2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"]),
            // Clocks that go from 02:00 to 03:00 leave half past two out; those that go back show it twice.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2030-03-30T12:00:00Z",
                ["2030-04-01T00:30:00Z", "2030-04-02T00:30:00Z"],
            ),
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2030-10-26T12:00:00Z",
                ["2030-10-27T00:30:00Z", "2030-10-27T01:30:00Z"],
            ),
        ] {
            assert_eq!(next(expression, zone, after, 2), times, "{expression} {zone}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (expression, part) in [
            ("٣ * * * *", "\"٣ * * * *\" has characters that no schedule has"),
            ("* * * *", "4 fields, where five are expected"),
            ("0 0 * * * *", "6 fields, where five are expected"),
            (
                "@every 1h",
                "there is no \"@every 1h\"; write five fields such as 30 2 * * 1-5, or one of @hourly",
            ),
            ("60 * * * *", "the minute \"60\" cannot be read: "),
            ("0 24 * * *", "the hour \"24\" cannot be read: "),
            ("0 0 0 * *", "the day of month \"0\" cannot be read: "),
            ("0 0 * XYZ *", "the month \"XYZ\" cannot be read: "),
            ("0 0 * * 8", "the day of week \"8\" cannot be read: "),
            ("0 0 5-3 * *", "the day of month \"5-3\" cannot be read: range must be in ascending order"),
            ("? * * * *", "the minute \"?\" cannot be read: "),
        ] {
            let error = Cron::read(expression, "UTC").unwrap_err().to_string();
            assert!(error.starts_with(part), "{expression}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        for zone in ["Europe/Berlin", "UTC", "Etc/GMT+5", "EST5EDT"] {
            assert_eq!(check_zone(zone), Ok(()), "{zone}");
            assert!(Cron::read("@daily", zone).is_ok(), "{zone}");
        }
        for zone in ["Europe/Berlim", "Local", "+02:00", ""] {
            assert_eq!(check_zone(zone), Err(Error::Zone(zone.to_owned())));
        }
        let never = Cron::read("0 0 31 2 *", "UTC").unwrap();
        assert_eq!(never.after(time("2030-01-01T00:00:00Z")), None);
    }

    #[test]
    fn the_last_time_is_found_by_halving_as_by_counting() {
        for expression in ["* * * * *", "*/7 3-5 * * *", "0 0 1 * *", "30 2 * * 0", "59 23 31 12 *"] {
            let cron = Cron::read(expression, "Europe/Berlin").unwrap();
            for until in ["2030-03-31T01:00:00Z", "2030-03-31T00:59:59.5Z", "2030-10-27T02:11:00Z"] {
                let (after, until) = (time("2030-03-29T13:14:15.9Z"), time(until));
                assert_eq!(
                    cron.last_between(after, until),
                    cron.between(after, until).last(),
                    "{expression} {until}"
                );
            }
        }
        let cron = Cron::read("* * * * *", "UTC").unwrap();
        let now = time("2030-01-01T00:00:30Z");
        assert_eq!(
            cron.last_between(time("1980-01-01T00:00:00Z"), now),
            Some(time("2030-01-01T00:00:00Z")),
            "26 million times"
        );
        assert_eq!(cron.last_between(now, now), None);
        assert_eq!(cron.last_between(time("2030-06-01T00:00:00Z"), now), None, "the wrong way round");
    }
}
