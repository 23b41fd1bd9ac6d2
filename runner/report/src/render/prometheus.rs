//! What was counted of a run, for a Prometheus scraper.

use super::exported::{Exported, exported};
use super::exposition::{Exposition, Label, Metric, Number, Unit};
use crate::outcome::Outcome;
use crate::result::OTHER_STATUSES;
use crate::totals::{OTHER, Totals};

/// The label of an action's name.
const ACTION: &str = "action";

const REQUESTS: Metric = Metric::counter("botarmy_requests_total", "Requests sent.");
const ITERATIONS: Metric = Metric::counter("botarmy_iterations_total", "Passes of the root that ended.");
const STARTED: Metric = Metric::counter("botarmy_bots_started_total", "Bots started.");
const DROPPED: Metric =
    Metric::counter("botarmy_starts_dropped_total", "Arrivals for which no bot was started.");
const CUT_OFF: Metric = Metric::counter(
    "botarmy_actions_cut_off_total",
    "Measured actions for whose end there was no time; no percentile has them.",
);
const RECEIVED: Metric = Metric::counter("botarmy_received_bytes_total", "Bytes received.");
const SENT: Metric = Metric::counter("botarmy_sent_bytes_total", "Bytes sent.");
const ALIVE: Metric = Metric::gauge("botarmy_bots_alive", "Bots alive.");
const LOOKED_AT: Metric =
    Metric::counter("botarmy_generator_seconds_total", "Seconds in which the generator was looked at.");
const SATURATED: Metric = Metric::counter(
    "botarmy_generator_saturated_seconds_total",
    "Seconds in which the generator could not keep up.",
);
const SUSPECT: Metric = Metric::gauge(
    "botarmy_generator_saturated",
    "1 when so many seconds were saturated that the figures are about the generator.",
);
const ACTIONS: Metric = Metric::counter("botarmy_actions_total", "Executions of an action, by outcome.");
const FAILURES: Metric = Metric::counter("botarmy_action_failures_total", "Failures of an action, by class.");
const RESPONSES: Metric =
    Metric::counter("botarmy_action_responses_total", "Answers to an action, by status code.");
const DURATION: Metric = Metric::histogram(
    "botarmy_action_duration_seconds",
    "Times of an action, cancelled executions left out.",
);

/// Everything counted since the start, and how many bots are alive, in Prometheus' text format 0.0.4.
pub fn prometheus(totals: &Totals, alive: u32) -> String {
    let mut exposition = Exposition::classic();
    expose_run(&mut exposition, &[], totals, alive, &exported(totals));
    exposition.text()
}

/// Adds everything counted of a run since its start, and how many bots are alive. All samples have `labels`, and
/// those of `rows` also what tells their action: at most 5 samples of outcomes, 10 of classes, 65 of status codes
/// and a histogram each.
pub fn expose_run(to: &mut Exposition, labels: &[Label], totals: &Totals, alive: u32, rows: &[Exported]) {
    expose_counters(to, labels, &Counters::of(totals), alive);
    to.add_count(&SUSPECT, labels, u64::from(totals.health.is_saturated()));
    for row in rows {
        expose_row(to, labels, row);
    }
}

/// Adds what was counted of several runs together: their actions are one, which has no times.
pub fn expose_sum(to: &mut Exposition, labels: &[Label], counters: &Counters, alive: u32) {
    expose_counters(to, labels, counters, alive);
    expose_outcomes(to, &with(labels, ACTION, OTHER), |outcome| counters.outcomes[outcome.index()]);
}

/// What was counted of a run, of all measured actions together. It adds up over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    requests: u64,
    iterations: u64,
    started: u64,
    dropped: u64,
    cut_off: u64,
    bytes_in: u64,
    bytes_out: u64,
    looked_at: u64,
    saturated: u64,
    /// By [`Outcome::index`].
    outcomes: [u64; 5],
}

impl Counters {
    /// Of everything counted; cheap, since no histogram is looked into.
    pub fn of(totals: &Totals) -> Self {
        let mut counters = Self {
            requests: totals.requests,
            iterations: totals.iterations,
            started: totals.bots_started,
            dropped: totals.dropped,
            cut_off: totals.cut_off(),
            looked_at: totals.health.seconds,
            saturated: totals.health.saturated,
            ..Self::default()
        };
        for row in totals.rows.values().filter(|row| row.measured) {
            let outcomes = Outcome::ALL.map(|outcome| row.count(outcome));
            let (bytes_in, bytes_out) = (row.details.bytes_in(), row.details.bytes_out());
            counters.add(&Self { bytes_in, bytes_out, outcomes, ..Self::default() });
        }
        counters
    }

    /// Adds those of another part.
    pub fn add(&mut self, other: &Self) {
        let Self {
            requests,
            iterations,
            started,
            dropped,
            cut_off,
            bytes_in,
            bytes_out,
            looked_at,
            saturated,
            outcomes,
        } = other;
        for (sum, part) in [
            (&mut self.requests, requests),
            (&mut self.iterations, iterations),
            (&mut self.started, started),
            (&mut self.dropped, dropped),
            (&mut self.cut_off, cut_off),
            (&mut self.bytes_in, bytes_in),
            (&mut self.bytes_out, bytes_out),
            (&mut self.looked_at, looked_at),
            (&mut self.saturated, saturated),
        ] {
            *sum = sum.saturating_add(*part);
        }
        for (sum, part) in self.outcomes.iter_mut().zip(outcomes) {
            *sum = sum.saturating_add(*part);
        }
    }
}

fn expose_counters(to: &mut Exposition, labels: &[Label], counters: &Counters, alive: u32) {
    for (metric, value) in [
        (&REQUESTS, counters.requests),
        (&ITERATIONS, counters.iterations),
        (&STARTED, counters.started),
        (&DROPPED, counters.dropped),
        (&CUT_OFF, counters.cut_off),
        (&RECEIVED, counters.bytes_in),
        (&SENT, counters.bytes_out),
        (&ALIVE, u64::from(alive)),
        (&LOOKED_AT, counters.looked_at),
        (&SATURATED, counters.saturated),
    ] {
        to.add_count(metric, labels, value);
    }
}

fn expose_outcomes(to: &mut Exposition, labels: &[Label], count: impl Fn(Outcome) -> u64) {
    for outcome in Outcome::ALL {
        let labels = with(labels, "outcome", outcome.name());
        to.add(&ACTIONS, labels, Number::Whole(count(outcome)));
    }
}

fn expose_row(to: &mut Exposition, labels: &[Label], row: &Exported) {
    let mut labels = with(labels, ACTION, &row.name);
    for (name, value) in [("scenario", &row.scenario), ("group", &row.group)] {
        if !value.is_empty() {
            labels.push((name, value.clone()));
        }
    }
    expose_outcomes(to, &labels, |outcome| row.series.count(outcome));
    for (class, samples) in row.details.failures() {
        to.add(&FAILURES, with(&labels, "class", class.name()), Number::Whole(samples.total()));
    }
    let statuses = row.details.statuses();
    for (status, count) in statuses.counts() {
        to.add(&RESPONSES, with(&labels, "status", &status.to_string()), Number::Whole(*count));
    }
    if statuses.rest() > 0 {
        to.add(&RESPONSES, with(&labels, "status", OTHER_STATUSES), Number::Whole(statuses.rest()));
    }
    to.add_histogram(&DURATION, labels, &row.series.latency(), Unit::Seconds);
}

fn with(labels: &[Label], name: &'static str, value: &str) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push((name, value.to_owned()));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::EVIL;
    use crate::{FailureClass, Health, Observed, PROMETHEUS_BUCKETS, Recorder, RowInfo};
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

    #[test]
    fn status_codes_and_the_generator_are_told_where_there_is_something_to_tell() {
        let mut totals = totals(2);
        assert!(!prometheus(&totals, 0).contains("botarmy_action_responses_total"));
        let info = RowInfo { name: "GET /".into(), base: "GET".into(), measured: true, ..RowInfo::default() };
        let mut recorder = Recorder::new(vec![info].into(), 3_600_000_000);
        for status in [200, 200, 503] {
            let observed = Observed { status: Some(status), ..Observed::default() };
            recorder.record_observed(0, Outcome::Succeed, 5, &observed);
        }
        (0..3).for_each(|_| recorder.record_cut_off(0, 7));
        totals.merge(&recorder.drain()).expect("the same range");
        totals.health = Health { seconds: 10, saturated: 9, ..Health::default() };
        let text = prometheus(&totals, 0);
        for line in [
            "botarmy_action_responses_total{action=\"GET /\",status=\"200\"} 2",
            "botarmy_action_responses_total{action=\"GET /\",status=\"503\"} 1",
            "botarmy_actions_cut_off_total 3",
            "botarmy_actions_total{action=\"GET /\",outcome=\"cancelled\"} 3",
            "botarmy_generator_seconds_total 10",
            "botarmy_generator_saturated_seconds_total 9",
            "botarmy_generator_saturated 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
    }

    #[test]
    fn runs_stand_beside_each_other_and_a_sum_has_no_names() {
        let run = |name: &str| vec![("namespace", "shop".to_owned()), ("run", name.to_owned())];
        let (one, other) = (totals(1), totals(2));
        let mut exposition = Exposition::classic();
        expose_run(&mut exposition, &run("a"), &one, 1, &exported(&one));
        expose_run(&mut exposition, &run("b"), &other, 2, &exported(&other));
        let mut sum = Counters::of(&one);
        sum.add(&Counters::of(&other));
        expose_sum(&mut exposition, &run("(other)"), &sum, 3);
        let text = exposition.text();
        assert_eq!(text.matches("# TYPE botarmy_bots_alive gauge\n").count(), 1);
        for line in [
            "botarmy_bots_alive{namespace=\"shop\",run=\"a\"} 1",
            "botarmy_bots_alive{namespace=\"shop\",run=\"b\"} 2",
            "botarmy_bots_alive{namespace=\"shop\",run=\"(other)\"} 3",
            "botarmy_received_bytes_total{namespace=\"shop\",run=\"(other)\"} 30",
            "botarmy_actions_total{namespace=\"shop\",run=\"(other)\",action=\"(other)\",outcome=\"succeed\"} 12",
            "botarmy_actions_total{namespace=\"shop\",run=\"(other)\",action=\"(other)\",outcome=\"fail\"} 3",
            "botarmy_action_duration_seconds_count{namespace=\"shop\",run=\"b\",action=\"GET /0001\",group=\"Shop\"} 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        parsed(&text);
    }
}
