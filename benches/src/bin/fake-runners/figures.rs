//! What the runners have seen of their coordinator, all of them together.

use botarmy_report::Histogram;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a check-in is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It connects first; the first one of a runner also has its token reviewed.
    Connecting,
    /// It waits for the plan, or for the start.
    Waiting,
    /// It reports, once a second.
    Working,
    /// It waits until all is durable.
    Ending,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Ending => "ending",
        }
    }
}

/// The clock of this machine, which is that of the coordinator too: both run on it.
#[derive(Debug)]
pub(crate) struct Clock {
    here: Instant,
    /// Since 1970.
    then: Duration,
}

impl Clock {
    pub(crate) fn now() -> Self {
        Self { here: Instant::now(), then: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Microseconds since 1970 of a moment after this clock was made.
    pub(crate) fn micros(&self, moment: Instant) -> u64 {
        micros(self.then + moment.saturating_duration_since(self.here))
    }
}

/// When a runner begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    /// What it was told, in milliseconds of the coordinator's clock.
    pub(crate) told_ms: u64,
    /// What it makes of it, in microseconds of that clock.
    pub(crate) at_us: u64,
    /// It was told after that moment, and begins when it is told.
    pub(crate) late: bool,
}

#[derive(Debug, Default)]
struct Errors {
    count: u64,
    /// The first of them.
    sample: String,
}

/// Counts and times.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    round_trips: BTreeMap<Phase, Histogram>,
    /// How late the runners came to a report because of this program itself.
    lag: Histogram,
    errors: BTreeMap<String, Errors>,
    /// By the UID of the run.
    begins: BTreeMap<String, Vec<Begin>>,
    /// Deltas that were made.
    deltas: u64,
    /// Of the check-ins of runners at work.
    sent_bytes: u64,
    sent_deltas: u64,
}

impl Figures {
    /// Counts an answer that came in time.
    pub(crate) fn answered(&mut self, phase: Phase, took: Duration) {
        self.round_trips.entry(phase).or_default().record(micros(took));
    }

    /// Counts what runners at work send.
    pub(crate) fn sent(&mut self, bytes: usize, deltas: usize) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.sent_bytes += count(bytes);
        self.sent_deltas += count(deltas);
    }

    /// Counts a check-in that came to nothing.
    pub(crate) fn failed(&mut self, kind: &str, why: &impl ToString) {
        let errors = self.errors.entry(kind.to_owned()).or_default();
        if errors.count == 0 {
            errors.sample = why.to_string();
        }
        errors.count += 1;
    }

    /// Counts a report that was made so much later than it was due.
    pub(crate) fn late(&mut self, by: Duration) {
        self.lag.record(micros(by));
        self.deltas += 1;
    }

    /// Takes note of when a runner begins.
    pub(crate) fn begins(&mut self, run_uid: &str, begin: Begin) {
        self.begins.entry(run_uid.to_owned()).or_default().push(begin);
    }

    /// All of it; `requests` are those of one delta.
    pub(crate) fn to_json(&self, requests: u64) -> Value {
        let trips = self.round_trips.iter().map(|(phase, trips)| (phase.name().to_owned(), times(trips)));
        let errors = self.errors.iter().map(|(kind, Errors { count, sample })| {
            (kind.clone(), json!({"count": count, "sample": sample}))
        });
        let reports = self.round_trips.get(&Phase::Working).map_or(0, Histogram::count);
        json!({
            "roundTrips": trips.collect::<Map<_, _>>(),
            "errors": errors.collect::<Map<_, _>>(),
            "start": starts(&self.begins),
            "lag": times(&self.lag),
            "requests": self.deltas * requests,
            "bytesEach": self.sent_bytes.checked_div(reports),
            "deltasEach": (reports > 0).then(|| self.sent_deltas as f64 / reports as f64),
        })
    }
}

/// How far the runners of a run begin from one another, over the runs.
fn starts(begins: &BTreeMap<String, Vec<Begin>>) -> Value {
    let spread = |run: &Vec<Begin>| {
        let moments = || run.iter().map(|begin| begin.at_us);
        moments().max().unwrap_or_default() - moments().min().unwrap_or_default()
    };
    let all = || begins.values().flatten();
    let off = |begin: &Begin| begin.at_us.abs_diff(begin.told_ms.saturating_mul(1000));
    let told_differently =
        |run: &&Vec<Begin>| run.iter().map(|begin| begin.told_ms).collect::<BTreeSet<_>>().len() > 1;
    json!({
        "skewUs": begins.values().map(spread).max(),
        "offUs": all().map(off).max(),
        "late": all().filter(|begin| begin.late).count(),
        "toldDifferently": begins.values().filter(told_differently).count(),
    })
}

fn times(histogram: &Histogram) -> Value {
    let quantile = |q| histogram.quantile(q);
    json!({
        "count": histogram.count(), "p50Us": quantile(0.5), "p99Us": quantile(0.99), "maxUs": histogram.max(),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_that_of_the_worst_run() {
        let mut figures = Figures::default();
        for (run, told_ms, at_us, late) in [
            ("a", 1_000, 1_000_400, false),
            ("a", 1_000, 999_900, false),
            ("b", 9_000, 9_000_000, false),
            ("b", 9_001, 9_031_000, true),
        ] {
            figures.begins(run, Begin { told_ms, at_us, late });
        }
        let start = &figures.to_json(200)["start"];
        assert_eq!(*start, json!({"skewUs": 31_000, "offUs": 30_000, "late": 1, "toldDifferently": 1}));
    }

    #[test]
    fn round_trips_are_told_by_phase_and_errors_by_kind() {
        let mut figures = Figures::default();
        for ms in 1..=4 {
            figures.answered(Phase::Working, Duration::from_millis(ms));
            figures.sent(100, 5);
            figures.late(Duration::ZERO);
        }
        figures.failed("timeout", &"first");
        figures.failed("timeout", &"second");
        let told = figures.to_json(200);
        assert_eq!(
            (&told["requests"], &told["bytesEach"], &told["deltasEach"]),
            (&json!(800), &json!(100), &json!(5.0))
        );
        assert_eq!(told["errors"], json!({"timeout": {"count": 2, "sample": "first"}}));
        assert_eq!(
            (&told["roundTrips"]["working"]["count"], &told["roundTrips"]["working"]["maxUs"]),
            (&json!(4), &json!(4_000))
        );
        assert_eq!(told["roundTrips"].get("ending"), None);
    }

    #[test]
    fn a_clock_goes_on() {
        let clock = Clock::now();
        let later = clock.here + Duration::from_millis(7);
        assert_eq!(clock.micros(later) - clock.micros(clock.here), 7_000);
    }
}
