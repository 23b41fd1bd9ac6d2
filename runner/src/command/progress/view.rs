//! What a person sees of a run that goes on, as lines of text. Pure: of one view and one size come always
//! the same lines.

use super::recent::Counts;
use crate::command::screen::Size;
use botarmy_report::ThresholdResult;
use botarmy_report::quantity::{latency, rate, share, span};
use botarmy_report::terminal::{escape, shorten};
use std::time::Duration;

/// From this many columns on, lines have room for words; below they are short.
const WIDE: usize = 60;
/// Most lines of thresholds; of more the failed ones are shown first.
const MAX_THRESHOLDS: usize = 10;
/// Widest name, expectation and subject of a threshold.
const MAX_NAME: usize = 30;
/// Widest bar.
const MAX_BAR: usize = 40;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is counted yet, for so long.
    WarmUp(Duration),
    Running,
    /// No bot begins anything new.
    Ending,
}

/// A run that goes on, at one moment.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) run: String,
    pub(super) phase: Phase,
    pub(super) elapsed: Duration,
    /// After which time it ends at the latest.
    pub(super) duration: Option<Duration>,
    /// How many iterations were made, and after how many it ends.
    pub(super) iterations: Option<(u64, u64)>,
    pub(super) alive: u32,
    /// What was counted lately, and over which time.
    pub(super) recent: (Counts, Duration),
    pub(super) whole: Counts,
    /// Arrivals for which no bot was started.
    pub(super) dropped: u64,
    /// Measured actions for whose end there was no time.
    pub(super) cut_off: u64,
    /// Microseconds, over the whole run.
    pub(super) p50: Option<u64>,
    pub(super) p95: Option<u64>,
    pub(super) thresholds: Vec<ThresholdResult>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Faint,
    Good,
    Bad,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Faint => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[31m",
        }
    }
}

/// A line in the making.
type Line = Vec<(Style, String)>;

fn plain(text: String) -> (Style, String) {
    (Style::Plain, text)
}

impl View {
    /// The lines for a terminal of this size: none is wider, and there are fewer than it has rows.
    pub(super) fn lines(&self, size: Size, colours: bool) -> Vec<String> {
        // The last column stays free: some terminals go to the next line when it is written.
        let width = size.columns.saturating_sub(1).max(1);
        let room = size.rows.saturating_sub(1).max(1);
        let wide = size.columns >= WIDE;
        let mut lines = vec![self.headline(width, wide)];
        lines.extend(self.figures(wide));
        lines.extend(self.missing());
        lines.extend(self.thresholds(room.saturating_sub(lines.len()), wide));
        lines.truncate(room);
        lines.into_iter().map(|line| paint(line, width, colours)).collect()
    }

    /// The same in one line, for where nothing can be drawn over.
    pub(super) fn line(&self) -> String {
        let (recent, over) = self.recent;
        let mut parts = vec![
            format!("{:>5}s", self.elapsed.as_secs()),
            format!("{} bots", self.alive),
            format!("{:.0} requests/s", recent.requests as f64 / over.as_secs_f64().max(0.001)),
            format!("p50 {}", time(self.p50)),
            format!("p95 {}", time(self.p95)),
            format!("errors {}", errors(self.whole).1),
        ];
        parts.extend(self.left_out());
        if !self.thresholds.is_empty() {
            let failing = self.thresholds.iter().filter(|t| !t.passed).count();
            parts.push(format!("{failing} of {} thresholds fail", self.thresholds.len()));
        }
        match self.phase {
            Phase::WarmUp(rest) => {
                parts.extend(self.to_come());
                parts.push(format!("{} of warm-up", whole_seconds(rest)));
            }
            Phase::Running => parts.extend(self.to_come()),
            Phase::Ending => parts.push("ending".to_owned()),
        }
        parts.join("  ")
    }

    /// The name, a bar, and how long it will take.
    fn headline(&self, width: usize, wide: bool) -> Line {
        let (name, left) = (shorten(&escape(&self.run), MAX_NAME), self.left());
        let mut line = if wide { vec![plain(format!("{name}  "))] } else { vec![] };
        if let Some(done) = self.done() {
            let percent = format!("{:>3}%  ", (done * 100.0).floor());
            let taken = percent.len()
                + left.chars().count()
                + line.iter().map(|p| p.1.chars().count()).sum::<usize>();
            let bar = width.saturating_sub(taken + 1).min(MAX_BAR);
            if bar >= 5 {
                let full = filled(done, bar);
                line.push((Style::Good, "█".repeat(full)));
                line.push((Style::Faint, "░".repeat(bar - full)));
                line.push(plain(" ".to_owned()));
            }
            line.push(plain(percent));
        }
        line.push(plain(left));
        line
    }

    /// The share of the run that is over, 0 to 1; none when its end is not known.
    fn done(&self) -> Option<f64> {
        let time = self.duration.map(|all| self.elapsed.as_secs_f64() / all.as_secs_f64().max(0.001));
        let iterations = self.iterations.map(|(made, all)| made as f64 / all.max(1) as f64);
        [time, iterations].into_iter().flatten().reduce(f64::max).map(|done| done.clamp(0.0, 1.0))
    }

    fn left(&self) -> String {
        let gone = || format!("{} gone", whole_seconds(self.elapsed));
        let left = self.to_come().unwrap_or_else(gone);
        match self.phase {
            Phase::WarmUp(rest) => format!("{left}, {} of warm-up", whole_seconds(rest)),
            Phase::Running => left,
            Phase::Ending => gone() + ", ending",
        }
    }

    /// What is left of it, if its end is known.
    fn to_come(&self) -> Option<String> {
        let time = self.duration.map(|all| whole_seconds(all.saturating_sub(self.elapsed)));
        let iterations =
            self.iterations.map(|(made, all)| format!("{} of {all} iterations", all.saturating_sub(made)));
        match (time, iterations) {
            (Some(time), Some(iterations)) => Some(format!("{time} or {iterations} left")),
            (Some(left), None) | (None, Some(left)) => Some(format!("{left} left")),
            (None, None) => None,
        }
    }

    fn figures(&self, wide: bool) -> [Line; 3] {
        let (recent, over) = self.recent;
        let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
        let a_second = |events: u64| rate(events, ms).unwrap_or_else(|| "-".to_owned());
        let (actions, requests) = (a_second(recent.actions), a_second(recent.requests));
        let (p50, p95, alive) = (time(self.p50), time(self.p95), self.alive);
        let lately = format!("last {}s", (over + Duration::from_millis(500)).as_secs().max(1));
        let (now, whole) = (errors(recent), errors(self.whole));
        if wide {
            return [
                vec![
                    plain(format!("bots {alive}   actions {actions}   requests {requests}   ")),
                    (Style::Faint, lately.clone()),
                ],
                vec![plain(format!("p50 {p50}   p95 {p95}   ")), (Style::Faint, "whole run".to_owned())],
                vec![
                    plain("errors ".to_owned()),
                    now,
                    (Style::Faint, format!(" {lately}   ")),
                    whole,
                    (Style::Faint, " whole run".to_owned()),
                ],
            ];
        }
        [
            vec![plain(format!("actions {actions}  requests {requests}"))],
            vec![plain(format!("bots {alive}  p50 {p50}  p95 {p95}"))],
            vec![
                plain("errors ".to_owned()),
                now,
                (Style::Faint, format!(" {lately}, ")),
                whole,
                (Style::Faint, " whole".to_owned()),
            ],
        ]
    }

    /// Starts that were dropped and actions that were cut off, if there are any.
    fn left_out(&self) -> impl Iterator<Item = String> {
        let counts = [(self.dropped, "dropped"), (self.cut_off, "cut off")];
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"))
    }

    /// What is missing in the figures, if anything is.
    fn missing(&self) -> Option<Line> {
        let told = self.left_out().collect::<Vec<_>>().join("   ");
        let so = (Style::Faint, "   percentiles are incomplete".to_owned());
        (!told.is_empty()).then(|| vec![(Style::Bad, told), so])
    }

    /// The thresholds, in at most so many lines.
    fn thresholds(&self, room: usize, wide: bool) -> Vec<Line> {
        let room = room.min(MAX_THRESHOLDS);
        let mut shown: Vec<&ThresholdResult> = self.thresholds.iter().collect();
        let mut rest = Vec::new();
        if shown.len() > room {
            shown.sort_by_key(|t| t.passed);
            rest = shown.split_off(room.saturating_sub(1));
        }
        let texts: Vec<[String; 3]> = shown
            .iter()
            .map(|t| [&*t.expect, &*t.value, &*t.about()].map(|text| shorten(&escape(text), MAX_NAME)))
            .collect();
        let width = |part: usize| texts.iter().map(|t| t[part].chars().count()).max().unwrap_or(0);
        let (expects, values) = (width(0), width(1));
        let line = |t: &ThresholdResult, [expect, value, about]: [String; 3]| {
            let mark =
                if t.passed { (Style::Good, "✓ ".to_owned()) } else { (Style::Bad, "✗ ".to_owned()) };
            let rest = if wide {
                format!("{expect:<expects$}   {value:<values$}   ")
            } else {
                // What changes comes first: a line that is cut keeps it.
                format!("{value:<values$}  {expect}  ")
            };
            vec![mark, plain(rest), (Style::Faint, about)]
        };
        let mut lines: Vec<Line> = shown.iter().zip(texts).map(|(t, texts)| line(t, texts)).collect();
        if !rest.is_empty() {
            let failed = rest.iter().filter(|t| !t.passed).count();
            let style = if failed == 0 { Style::Faint } else { Style::Bad };
            lines.push(vec![(style, format!("… {} more thresholds, {failed} failing", rest.len()))]);
        }
        lines
    }
}

fn time(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), latency)
}

/// The share of actions that failed, which is bad news unless there is none.
fn errors(counts: Counts) -> (Style, String) {
    match counts {
        Counts { actions: 0, .. } => plain("-".to_owned()),
        Counts { actions, failures: 0, .. } => plain(share(0, actions)),
        Counts { actions, failures, .. } => (Style::Bad, share(failures.min(actions), actions)),
    }
}

/// How many of the bar's places are full.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the bar's width")]
fn filled(done: f64, bar: usize) -> usize {
    ((done.clamp(0.0, 1.0) * bar as f64).round() as usize).min(bar)
}

/// `48s`, `3m 48s`, `1h 0m 7s`: tenths of a second would only flicker.
fn whole_seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => span(seconds.saturating_mul(1000)),
    }
}

/// The line in at most so many characters, with its colours if they are wanted.
fn paint(line: Line, width: usize, colours: bool) -> String {
    let length: usize = line.iter().map(|(_, text)| text.chars().count()).sum();
    let mut room = if length > width { width - 1 } else { width };
    let mut painted = String::new();
    for (style, text) in line {
        let text: String = text.chars().take(room).collect();
        room -= text.chars().count();
        match style {
            Style::Plain => painted += &text,
            _ if !colours || text.is_empty() => painted += &text,
            style => painted += &format!("{}{text}\u{1b}[0m", style.code()),
        }
    }
    if length > width {
        painted.push('…');
    }
    painted
}

#[cfg(test)]
mod tests;
