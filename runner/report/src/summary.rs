//! The summary people see at the end of a run in a terminal.

mod more;

use crate::quantity;
use crate::result::{ActionResult, Figures, Gap, RunResult, Section, ThresholdResult};
use crate::terminal::{escape, shorten};
use std::iter;

/// What dropped starts come from, and what is to be thought of the figures then.
pub(crate) const INCOMPLETE: &str = "no bot or row was free, or it was too late; percentiles are incomplete";

/// What was cut off, what is to be thought of the figures then, and what can be done.
pub(crate) fn cut_off(total: &Figures) -> Option<[String; 2]> {
    let told = |count: u64| {
        let what = "were cut off by a timeout around them or by the end; percentiles are incomplete";
        let cure =
            "a timeout of the http leaf itself counts as a failure; at the end, allow a longer gracePeriod";
        [format!("{count} actions {what}"), cure.to_owned()]
    };
    (total.cut_off > 0).then(|| told(total.cut_off))
}

/// Why there are no figures, and what can be done, of a run that was over before its warm-up was.
pub(crate) fn only_warmup(result: &RunResult) -> Option<[String; 2]> {
    let none = result.warmup.is_some() && result.measured_ms() == 0 && result.bots.started > 0;
    none.then(|| {
        let what = "all of the run was warm-up, so that nothing of it is in the figures and the thresholds";
        [what.to_owned(), "make the warmup shorter, or let the run go on for longer".to_owned()]
    })
}

/// Widest line, in characters, where the numbers allow.
const WIDTH: usize = 110;

/// Narrowest column of names: less tells none apart.
const MIN_NAME: usize = 20;

/// Widest expectation and value of a threshold: both and a mark leave room for what it is about.
const MAX_TEXT: usize = 40;

/// Widest reason of a run that is Errored.
const MAX_WORDS: usize = WIDTH - 12;

/// Widest reason of a gap; with it a line holds the 36 characters of a UID.
const MAX_REASON: usize = 24;

const HEADINGS: [&str; 10] =
    ["count", "succeed", "fail", "error", "crash", "cancelled", "p50", "p95", "p99", "max"];

/// The result as text: outcome, counts, a table of actions (measured ones, their total, then control
/// leaves apart), thresholds and gaps.
///
/// Lines end with a line feed and are at most 110 characters wide unless the numbers need more; long
/// names lose their middle, and control characters in them are escaped.
pub fn summary(result: &RunResult) -> String {
    let mut lines = headline(result);
    lines.extend(table(result));
    lines.extend(more::failures(result));
    lines.extend(thresholds(&result.thresholds));
    lines.extend(gaps(&result.gaps));
    lines.into_iter().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect()
}

fn headline(result: &RunResult) -> Vec<String> {
    let RunResult { outcome, bots, requests, iterations, dropped, duration_ms, total, .. } = result;
    let rate =
        quantity::rate(*requests, result.measured_ms()).map_or_else(String::new, |rate| format!(" ({rate})"));
    let share = match total.count {
        0 => String::new(),
        count => format!(" ({})", quantity::share(total.failures().min(count), count)),
    };
    let mut lines = vec![format!("outcome     {}", outcome.name())];
    lines.extend(result.reason.iter().map(|reason| format!("reason      {}", text(reason, MAX_WORDS))));
    lines.extend([
        format!("duration    {}", quantity::span(*duration_ms)),
        format!("bots        {} started, {} alive", bots.started, bots.alive),
        format!("iterations  {iterations}"),
        format!("requests    {requests}{rate}"),
    ]);
    lines.extend(result.warmup.iter().map(|warmup| {
        let crate::WarmupResult { duration_ms, requests, iterations, .. } = warmup;
        let time = quantity::span(*duration_ms);
        format!("warm-up     {time}, {requests} requests, {iterations} iterations, in no other figure")
    }));
    if let Some([what, cure]) = only_warmup(result) {
        lines.extend([format!("warning     {what}"), format!("            {cure}")]);
    }
    lines.extend(more::traffic(&result.detail));
    lines.push(format!("failures    {} of {} actions{share}", total.failures(), total.count));
    if let Some([what, why]) = result.generator.and_then(|generator| generator.warning()) {
        lines.extend([format!("warning     {what}"), format!("            {why}")]);
    }
    if *dropped > 0 {
        lines.push(format!("dropped     {dropped} starts: {INCOMPLETE}"));
    }
    if let Some([what, cure]) = cut_off(total) {
        lines.extend([format!("warning     {what}"), format!("            {cure}")]);
    }
    lines
}

/// A line of the table: a name and its numbers.
type Line = (String, [String; 10]);

fn table(result: &RunResult) -> Vec<String> {
    let of = |action: &ActionResult| (escape(&action.full_name()), cells(&action.figures));
    let part = |section: &Section| (escape(&section.name()), cells(&section.figures));
    let (measured, control): (Vec<_>, Vec<_>) = result.actions.iter().partition(|action| action.measured);
    let heading = ("action".to_owned(), HEADINGS.map(str::to_owned));
    let total = ("total".to_owned(), cells(&result.total));
    let whole: Vec<Line> = measured.into_iter().map(of).chain([total]).collect();
    let blocks = [
        ("scenarios", result.scenarios.iter().map(part).collect()),
        ("stages", result.stages.iter().map(part).collect()),
        ("control leaves, not in the total", control.into_iter().map(of).collect::<Vec<Line>>()),
    ];

    let all = || iter::once(&heading).chain(&whole).chain(blocks.iter().flat_map(|(_, lines)| lines));
    let widths: [usize; 10] =
        std::array::from_fn(|column| all().map(|(_, cells)| cells[column].len()).max().unwrap_or(0));
    let numbers: usize = widths.iter().map(|width| width + 2).sum();
    let longest = all().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let name_width = longest.min(WIDTH.saturating_sub(numbers).max(MIN_NAME));
    let show = |(name, cells): &Line| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("  {cell:>width$}"));
        format!("{:<name_width$}{}", shorten(name, name_width), cells.collect::<String>())
    };

    let mut lines = vec![String::new(), show(&heading)];
    lines.extend(whole.iter().map(show));
    for (title, block) in blocks.iter().filter(|(_, block)| !block.is_empty()) {
        lines.extend([String::new(), (*title).to_owned()]);
        lines.extend(block.iter().map(show));
    }
    lines
}

fn cells(figures: &Figures) -> [String; 10] {
    let latency = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), quantity::latency);
    [
        figures.count.to_string(),
        figures.succeed.to_string(),
        figures.fail.to_string(),
        figures.error.to_string(),
        figures.crash.to_string(),
        figures.cancelled_in_words(),
        latency(figures.p50_us),
        latency(figures.p95_us),
        latency(figures.p99_us),
        latency(figures.max_us),
    ]
}

fn thresholds(thresholds: &[ThresholdResult]) -> Vec<String> {
    let widest = |part: fn(&ThresholdResult) -> &String| {
        let widths = thresholds.iter().map(|t| escape(part(t)).chars().count().min(MAX_TEXT));
        widths.max().unwrap_or(0)
    };
    // What it is about has the rest of the line: two blanks are before each column, the mark among them.
    let rest = WIDTH.saturating_sub(3 + 2 + widest(|t| &t.expect) + 2 + widest(|t| &t.value) + 2);
    let rows = thresholds.iter().map(|threshold| {
        let mark = if threshold.passed { "✓" } else { "✗" };
        [
            mark.to_owned(),
            text(&threshold.expect, MAX_TEXT),
            text(&threshold.value, MAX_TEXT),
            text(&threshold.about(), rest.max(MIN_NAME)),
        ]
    });
    section("thresholds", rows.collect())
}

fn gaps(gaps: &[Gap]) -> Vec<String> {
    let rows = gaps.iter().map(|gap| {
        [
            format!("runner {}", gap.index),
            format!("{}s to {}s", gap.from, gap.until),
            format!("{} bots", gap.bots),
            format!("{} (pod {})", text(&gap.reason, MAX_REASON), text(&gap.pod_uid, MAX_TEXT)),
        ]
    });
    section("gaps: what these runners did in these seconds is not counted", rows.collect())
}

fn text(text: &str, width: usize) -> String {
    shorten(&escape(text), width)
}

/// A title and rows with aligned columns; nothing when there are no rows.
fn section(title: &str, rows: Vec<[String; 4]>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let show = |row: [String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:<width$}"));
        cells.collect::<String>()
    };
    let title = [String::new(), title.to_owned()];
    title.into_iter().chain(rows.into_iter().map(show)).collect()
}

#[cfg(test)]
mod tests;
