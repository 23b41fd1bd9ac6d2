//! A record as one line of bytes. Pure.

use super::Layout;
use super::clock::Clock;
use super::record::{Field, MAX_MESSAGE, MAX_NAME, Pair, Record};
use super::text;
use jiff::tz::TimeZone;
use std::io::Write;
use std::time::Duration;

/// Writes the records of a run in one layout.
#[derive(Debug)]
pub(super) struct Formatter {
    layout: Layout,
    clock: Clock,
    /// The run's id as it stands in each line.
    run_id: Vec<u8>,
}

impl Formatter {
    pub(super) fn new(layout: Layout, zone: TimeZone, run_id: &str) -> Self {
        let mut written = Vec::new();
        match layout {
            Layout::Pairs => pair(&mut written, "bot_run_id", &Field::Text(run_id, MAX_NAME)),
            Layout::Json => member(&mut written, "bot_run_id", &Field::Text(run_id, MAX_NAME)),
        }
        Self { layout, clock: Clock::new(zone), run_id: written }
    }

    /// Appends a line of at most [`MAX_LINE`](super::record::MAX_LINE) bytes; `time` is since 1970.
    pub(super) fn line(&mut self, out: &mut Vec<u8>, time: Duration, record: &Record<'_>) {
        match self.layout {
            Layout::Pairs => self.pairs(out, time, record),
            Layout::Json => self.json(out, time, record),
        }
        out.push(b'\n');
    }

    fn pairs(&mut self, out: &mut Vec<u8>, time: Duration, record: &Record<'_>) {
        self.clock.write(out, time);
        out.push(b' ');
        let (first, rest) = record.fields();
        for (key, field) in present(&first) {
            pair(out, key, field);
        }
        out.extend_from_slice(&self.run_id);
        for (key, field) in present(&rest) {
            pair(out, key, field);
        }
        out.push(b'[');
        out.extend_from_slice(record.level.name().as_bytes());
        out.extend_from_slice(b"] ");
        text::message(out, record.message, MAX_MESSAGE);
    }

    fn json(&mut self, out: &mut Vec<u8>, time: Duration, record: &Record<'_>) {
        out.extend_from_slice(b"{\"msg\":");
        text::quoted(out, record.message, MAX_MESSAGE);
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // Writing into memory does not fail.
        let _ = write!(out, ",\"level\":\"{}\",\"timestamp\":{millis}", record.level.name());
        out.extend_from_slice(&self.run_id);
        let (first, rest) = record.fields();
        for (key, field) in present(&first).chain(present(&rest)) {
            member(out, key, field);
        }
        out.push(b'}');
    }
}

/// The keys that are there.
fn present<'a>(pairs: &'a [Pair<'a>]) -> impl Iterator<Item = (&'static str, &'a Field<'a>)> {
    pairs.iter().filter_map(|(key, field)| Some((*key, field.as_ref()?)))
}

/// Appends `key=value` and a blank.
fn pair(out: &mut Vec<u8>, key: &str, field: &Field<'_>) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    match field {
        Field::Number(number) => drop(write!(out, "{number}")),
        Field::Text(value, most) => text::value(out, value, *most),
        Field::Words(words) => text::value(out, words, MAX_NAME),
    }
    out.push(b' ');
}

/// Appends `,"key":value`.
fn member(out: &mut Vec<u8>, key: &str, field: &Field<'_>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    match field {
        Field::Number(number) => drop(write!(out, "{number}")),
        Field::Text(value, most) => text::quoted(out, value, *most),
        Field::Words(words) => text::quoted(out, words, MAX_NAME),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::record::MAX_LINE;
    use super::*;
    use serde_json::{Value, json};

    /// 2027-03-04T05:06:07.089 in UTC.
    const TIME: Duration = Duration::from_millis(1_804_136_767_089);

    fn line(layout: Layout, run_id: &str, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        Formatter::new(layout, TimeZone::UTC, run_id).line(&mut out, TIME, record);
        let line = String::from_utf8(out).unwrap();
        assert!(line.len() <= MAX_LINE && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        line.trim_end_matches('\n').to_owned()
    }

    fn action<'a>(action: &'a str, outcome: &'a str) -> Record<'a> {
        Record {
            bot_id: Some(1),
            action: Some(action),
            outcome: Some(outcome),
            duration: Some(21),
            ..Record::default()
        }
    }

    #[test]
    fn lines_have_their_keys_in_one_order() {
        let all = Record {
            level: Level::Error,
            message: "Bot died!",
            bot_id: Some(7),
            action: Some("a"),
            outcome: Some("error"),
            error: Some("no luck"),
            duration: Some(0),
            uptime: Some(Duration::from_millis(65_021)),
            bot_count: Some(3),
            scenario: Some("day"),
            dropped: Some(9),
        };
        let expected = "2027-03-04T05:06:07.089 bot_id=7 bot_run_id=r action=a outcome=error error=\"no luck\" duration=0 \
                        uptime=\"1 minute, 5 seconds, 21.0 milliseconds\" bot_count=3 scenario=day dropped=9 [error] Bot died!";
        assert_eq!(line(Layout::Pairs, "r", &all), expected);
        let action = line(Layout::Pairs, "r", &action("Shop.buy", "succeed"));
        let expected = "2027-03-04T05:06:07.089 bot_id=1 bot_run_id=r action=Shop.buy outcome=succeed duration=21 [info] ";
        assert_eq!(action, expected);
        let none = Record { level: Level::Warn, message: "All bots have finished", ..Record::default() };
        assert_eq!(
            line(Layout::Pairs, "my run", &none),
            "2027-03-04T05:06:07.089 bot_run_id=\"my run\" [warn] All bots have finished"
        );
    }

    #[test]
    fn json_keeps_types_and_order() {
        let record = Record { level: Level::Debug, message: "x\n", ..action("GET /", "fail") };
        let written = line(Layout::Json, "r", &record);
        let order = ["msg", "level", "timestamp", "bot_run_id", "bot_id", "action", "outcome", "duration"];
        let places: Vec<_> = order.iter().map(|k| written.find(&format!("\"{k}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{written}");
        let parsed: Value = serde_json::from_str(&written).unwrap();
        let expected = json!({
            "msg": "x\n", "level": "debug", "timestamp": 1_804_136_767_089_u64, "bot_run_id": "r",
            "bot_id": 1, "action": "GET /", "outcome": "fail", "duration": 21,
        });
        assert_eq!(parsed, expected);
        let uptime = Record { uptime: Some(Duration::ZERO), bot_count: Some(0), ..Record::default() };
        let parsed: Value = serde_json::from_str(&line(Layout::Json, "r", &uptime)).unwrap();
        assert_eq!((&parsed["uptime"], &parsed["bot_count"]), (&json!("0 microseconds"), &json!(0)));
    }

    #[test]
    fn nothing_that_is_said_makes_a_line_or_a_key() {
        let evil = "x\n2027-03-04T05:06:07.089 bot_id=9 outcome=error\u{2028}\"} [error] \u{1b}[2J";
        let record =
            Record { error: Some(evil), message: evil, scenario: Some(evil), ..action(evil, "error") };
        let written = line(Layout::Pairs, evil, &record);
        let before_message = written.split(" [info] ").next().unwrap();
        // What stands outside of quotes.
        let bare: String = before_message.replace("\\\"", "").split('"').step_by(2).collect();
        assert_eq!(
            bare.split_whitespace().skip(1).collect::<Vec<_>>(),
            ["bot_id=1", "bot_run_id=", "action=", "outcome=error", "error=", "duration=21", "scenario="]
        );
        let parsed: Value = serde_json::from_str(&line(Layout::Json, evil, &record)).unwrap();
        assert_eq!(
            (&parsed["error"], &parsed["msg"], &parsed["bot_id"]),
            (&json!(evil), &json!(evil), &json!(1))
        );
    }

    #[test]
    fn a_line_is_bounded_whatever_is_said() {
        for part in ["x", "\u{0}", "\"", "µ", "🦀", " "] {
            let long = part.repeat(20_000);
            let record = Record {
                error: Some(&long),
                message: &long,
                scenario: Some(&long),
                bot_id: Some(u64::MAX),
                duration: Some(u64::MAX),
                uptime: Some(Duration::MAX),
                bot_count: Some(u32::MAX),
                dropped: Some(u64::MAX),
                ..action(&long, "cancelled")
            };
            let written = line(Layout::Pairs, &long, &record);
            assert!(written.contains("…\" dropped=18446744073709551615 [info] ") && written.ends_with('…'));
            let parsed: Value = serde_json::from_str(&line(Layout::Json, &long, &record)).unwrap();
            assert!(parsed["msg"].as_str().unwrap().ends_with('…'), "{parsed}");
        }
    }
}
