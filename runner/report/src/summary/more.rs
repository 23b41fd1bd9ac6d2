//! What a summary tells beside counts and latencies: failures by class, status codes, bytes, parts.

use super::{WIDTH, text};
use crate::quantity;
use crate::result::{ActionResult, DetailResult, RunResult};
use crate::terminal::escape;
use std::borrow::Cow;

/// Most failures of a summary; the rest is counted.
const MAX_FAILURES: usize = 20;
/// Most status codes of a summary.
const MAX_STATUSES: usize = 8;
/// Widest name of an action and widest text of a failure.
const MAX_NAME: usize = 84;
/// A text of a failure stands below it, over so many lines of so many characters.
const TEXT_LINES: usize = 3;
const TEXT_WIDTH: usize = WIDTH - TEXT_INDENT;
const TEXT_INDENT: usize = 11;

/// Lines of the headline.
pub(super) fn traffic(detail: &DetailResult) -> Vec<String> {
    let mut lines = Vec::new();
    if detail.bytes_in > 0 || detail.bytes_out > 0 {
        let [received, sent] = [detail.bytes_in, detail.bytes_out].map(quantity::bytes);
        lines.push(format!("bytes       {received} received, {sent} sent"));
    }
    if !detail.statuses.is_empty() {
        let each = detail.statuses.iter().take(MAX_STATUSES);
        let each: Vec<String> = each.map(|(code, n)| format!("{} {n}×", text(code, 5))).collect();
        let more = if detail.statuses.len() > MAX_STATUSES { ", …" } else { "" };
        lines.push(format!("statuses    {}{more}", each.join(", ")));
    }
    if !detail.parts.is_empty() {
        let part =
            |(name, times): (&str, crate::PartFigures)| format!("{name} {}", quantity::latency(times.p95_us));
        lines.push(format!("parts, p95  {}", detail.parts.named().map(part).collect::<Vec<_>>().join(", ")));
    }
    lines
}

/// Why actions failed, the most frequent first.
pub(super) fn failures(result: &RunResult) -> Vec<String> {
    let of = |action: &ActionResult| {
        let name = text(&action.full_name(), MAX_NAME);
        let failures = action.detail.failures.iter();
        let line = |f: &crate::FailureResult| {
            let sample = f.samples.first().map(|s| wrap(&escape(&s.text), TEXT_WIDTH, TEXT_LINES));
            (f.count, f.class.name(), name.clone(), sample)
        };
        failures.map(line).collect::<Vec<_>>()
    };
    let mut failures: Vec<_> = result.actions.iter().flat_map(of).collect();
    if failures.is_empty() {
        return Vec::new();
    }
    failures.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let left_out = failures.len().saturating_sub(MAX_FAILURES);
    failures.truncate(MAX_FAILURES);
    let mut lines = vec![String::new(), "failures".to_owned()];
    for (count, class, name, sample) in failures {
        lines.push(format!("  {count:>7}  {class:<11}  {name}"));
        lines.extend(sample.into_iter().flatten().map(|line| format!("{:TEXT_INDENT$}{line}", "")));
    }
    if left_out > 0 {
        lines.push(format!("  and {left_out} more kinds of failures"));
    }
    lines
}

/// Breaks a text into lines; what does not fit into so many is cut off at the end, where it matters least.
fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let wrapped = textwrap::wrap(text, width);
    let is_cut = wrapped.len() > lines;
    let mut wrapped: Vec<String> = wrapped.into_iter().take(lines).map(Cow::into_owned).collect();
    if let Some(last) = wrapped.last_mut().filter(|_| is_cut) {
        *last = last.chars().take(width - 1).chain(['…']).collect();
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use crate::render::tests::sample;
    use crate::summary;

    #[test]
    fn what_is_known_of_a_run_is_told() {
        let text = summary(&sample());
        for part in [
            "\nbytes       2.9 MB received, 390.0 kB sent\nstatuses    200 1950×, 500 60×\nparts, p95  connect 400us, first byte 3.0ms\n",
            "GET /cart ",
            "\nscenarios\nday ",
            "\nstages\nday / quiet ",
            "\nfailures\n       60  status       day / ",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 110 && !line.chars().any(char::is_control), "{line}");
        }
    }
}
