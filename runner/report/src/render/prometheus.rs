//! What was counted so far in Prometheus' text format 0.0.4, for a scraper.

use super::exported::{Exported, exported};
use crate::outcome::Outcome;
use crate::totals::Totals;
use std::fmt::Write;

/// The content type of [`prometheus`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of times, in microseconds, and as they are written in seconds.
pub const PROMETHEUS_BUCKETS: [(u64, &str); 15] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
    (60_000_000, "60"),
];

/// Everything counted since the start, and how many bots are alive. Buckets of times are exact but for
/// values less than a thousandth above a bound, which may be counted in the next one.
pub fn prometheus(totals: &Totals, alive: u32) -> String {
    let rows = exported(totals);
    let mut text = String::new();
    let details = totals.total_details();
    for (name, what, value) in [
        ("botarmy_requests_total", "Requests sent.", totals.requests),
        ("botarmy_iterations_total", "Passes of the root that ended.", totals.iterations),
        ("botarmy_bots_started_total", "Bots started.", totals.bots_started),
        ("botarmy_starts_dropped_total", "Arrivals for which no bot was started.", totals.dropped),
        ("botarmy_received_bytes_total", "Bytes received.", details.bytes_in()),
        ("botarmy_sent_bytes_total", "Bytes sent.", details.bytes_out()),
    ] {
        head(&mut text, name, "counter", what);
        line(&mut text, name, "", value);
    }
    head(&mut text, "botarmy_bots_alive", "gauge", "Bots alive.");
    line(&mut text, "botarmy_bots_alive", "", u64::from(alive));
    actions(&mut text, &rows);
    durations(&mut text, &rows);
    text
}

fn labels(row: &Exported) -> String {
    let mut labels = label("action", &row.name);
    for (name, value) in [("scenario", &row.scenario), ("group", &row.group)] {
        if !value.is_empty() {
            labels += &format!(",{}", label(name, value));
        }
    }
    labels
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn actions(text: &mut String, rows: &[Exported]) {
    let name = "botarmy_actions_total";
    head(text, name, "counter", "Executions of an action, by outcome.");
    for row in rows {
        for outcome in Outcome::ALL {
            let labels = format!("{},{}", labels(row), label("outcome", outcome.name()));
            line(text, name, &labels, row.series.count(outcome));
        }
    }
    let name = "botarmy_action_failures_total";
    head(text, name, "counter", "Failures of an action, by class.");
    for row in rows {
        for (class, samples) in row.details.failures() {
            let labels = format!("{},{}", labels(row), label("class", class.name()));
            line(text, name, &labels, samples.total());
        }
    }
}

fn durations(text: &mut String, rows: &[Exported]) {
    let name = "botarmy_action_duration_seconds";
    head(text, name, "histogram", "Times of an action, cancelled executions left out.");
    for row in rows {
        let (labels, latency) = (&labels(row), row.series.latency());
        let mut counts = latency.counts_by_value().peekable();
        let mut below = 0_u64;
        for (bound, shown) in PROMETHEUS_BUCKETS {
            while let Some((_, count)) = counts.next_if(|(value, _)| *value <= bound) {
                below = below.saturating_add(count);
            }
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{shown}\""), below);
        }
        line(text, &format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), latency.count());
        let (seconds, micros) = (latency.sum() / 1_000_000, latency.sum() % 1_000_000);
        line(text, &format!("{name}_sum"), labels, format_args!("{seconds}.{micros:06}"));
        line(text, &format!("{name}_count"), labels, latency.count());
    }
}

fn head(text: &mut String, name: &str, kind: &str, what: &str) {
    // Writing into a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::EVIL;
    use crate::{FailureClass, OTHER, Observed, Recorder, RowInfo};
    use prometheus_parse::{Scrape, Value};

    fn totals(rows: usize) -> Totals {
        let row = |n: usize| RowInfo {
            name: if n == 0 { format!("{EVIL}\\\n\"") } else { format!("GET /{n:04}") },
            base: "GET".into(),
            measured: true,
            group: if n == 1 { "Shop".into() } else { String::new() },
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new((0..rows).map(row).collect(), 3_600_000_000);
        for row in 0..rows {
            for us in [500, 1_000, 7_000, 70_000_000] {
                recorder.record(row, Outcome::Succeed, us);
            }
            let failed = Observed { bytes_in: 10, ..Observed::failed(FailureClass::Timeout, "late") };
            recorder.record_observed(row, Outcome::Fail, 29_000_000, &failed);
            recorder.count_request();
        }
        recorder.drain()
    }

    fn parsed(text: &str) -> Scrape {
        Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("the format")
    }

    #[test]
    fn a_parser_reads_what_was_counted() {
        let scrape = parsed(&prometheus(&totals(3), 7));
        let find = |name: &str, labels: &[(&str, &str)]| {
            let fits = |s: &&prometheus_parse::Sample| {
                s.metric == name && labels.iter().all(|(key, value)| s.labels.get(key) == Some(value))
            };
            scrape.samples.iter().find(fits).unwrap_or_else(|| panic!("{name} {labels:?}")).value.clone()
        };
        assert_eq!(find("botarmy_bots_alive", &[]), Value::Gauge(7.0));
        assert_eq!(find("botarmy_requests_total", &[]), Value::Counter(3.0));
        assert_eq!(find("botarmy_received_bytes_total", &[]), Value::Counter(30.0));
        let labels = [("action", "GET /0001"), ("group", "Shop"), ("outcome", "succeed")];
        assert_eq!(find("botarmy_actions_total", &labels), Value::Counter(4.0));
        let labels = [("action", "GET /0002"), ("class", "timeout")];
        assert_eq!(find("botarmy_action_failures_total", &labels), Value::Counter(1.0));
        let Value::Histogram(buckets) = find("botarmy_action_duration_seconds", &labels[..1]) else {
            panic!("no histogram")
        };
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(buckets.len(), PROMETHEUS_BUCKETS.len() + 1);
        assert_eq!((counts[0], counts[3], counts[13], counts[14], counts[15]), (2.0, 3.0, 4.0, 4.0, 5.0));
    }

    /// The parser above knows no escapes; this is what the format says of them.
    #[test]
    fn labels_are_escaped() {
        let text = prometheus(&totals(1), 0);
        let line = text.lines().find(|l| l.starts_with("botarmy_actions_total")).expect("a line");
        let value = line
            .split_once("action=\"")
            .expect("a label")
            .1
            .rsplit_once("\",outcome=\"succeed\"} 4")
            .expect("the end")
            .0;
        assert!(!value.replace("\\\\", "").replace("\\\"", "").contains('"'), "{value}");
        let plain = value.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
        assert_eq!(plain, format!("{EVIL}\\\n\""));
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let text = prometheus(&totals(900), 0);
        assert!(text.lines().count() < 201 * 26, "{}", text.lines().count());
        assert!(
            text.contains(&format!("botarmy_actions_total{{action=\"{OTHER}\",outcome=\"succeed\"}} 2800\n"))
        );
        let sum: u64 = text
            .lines()
            .filter(|l| l.starts_with("botarmy_action_duration_seconds_count"))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(sum, 4_500);
        parsed(&text);
    }
}
