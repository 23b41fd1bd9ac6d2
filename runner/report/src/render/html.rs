//! A result as a page that stands alone: nothing is fetched, no script runs, every text is escaped.

mod chart;
mod table;

use super::escape_markup as escape;
use crate::quantity;
use crate::result::{Gap, PointResult, RunResult, Section, SeriesResult, ThresholdResult};
use crate::summary::{INCOMPLETE, cut_off, only_warmup};
use chart::{Chart, Line};
use table::Table;

const STYLE: &str = include_str!("html/page.css");

pub(super) fn html(result: &RunResult) -> String {
    let outcome = result.outcome.name();
    let body = [
        headline(result),
        thresholds(&result.thresholds),
        result.series.as_ref().map_or_else(String::new, |series| charts(series, result.duration_ms)),
        table::actions(result),
        sections("Scenarios", &result.scenarios),
        sections("Stages", &result.stages),
        stage_actions(&result.stages),
        table::failures(result),
        table::statuses(result),
        table::parts(result),
        gaps(&result.gaps),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{outcome}: a run of the bot army</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        body.concat()
    )
}

fn headline(result: &RunResult) -> String {
    let RunResult { outcome, bots, requests, iterations, dropped, duration_ms, total, detail, .. } = result;
    let rate = |n| quantity::rate(n, result.measured_ms()).unwrap_or_else(|| "-".to_owned());
    let failed = match total.count {
        0 => "-".to_owned(),
        count => quantity::share(total.failures().min(count), count),
    };
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), quantity::latency);
    let mut tiles = vec![
        ("duration", quantity::span(*duration_ms)),
        ("bots started", bots.started.to_string()),
        ("iterations", iterations.to_string()),
        ("actions", format!("{} ({})", total.count, rate(total.count))),
        ("requests", format!("{requests} ({})", rate(*requests))),
        ("failed", failed),
        ("p50", time(total.p50_us)),
        ("p95", time(total.p95_us)),
        ("p99", time(total.p99_us)),
    ];
    if detail.bytes_in > 0 || detail.bytes_out > 0 {
        tiles.push(("received", quantity::bytes(detail.bytes_in)));
        tiles.push(("sent", quantity::bytes(detail.bytes_out)));
    }
    if *dropped > 0 {
        tiles.push(("starts dropped", dropped.to_string()));
    }
    if total.cut_off > 0 {
        tiles.push(("cut off", total.cut_off.to_string()));
    }
    if let Some(warmup) = &result.warmup {
        tiles.push(("requests of the warm-up", warmup.requests.to_string()));
    }
    let tiles = tiles
        .into_iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value)));
    let class = if outcome.name() == "Passed" { "good" } else { "bad" };
    let warning = result.generator.and_then(|generator| generator.warning()).map(|w| w.join(": "));
    let incomplete = (*dropped > 0).then(|| format!("{dropped} starts were dropped: {INCOMPLETE}"));
    let cut_off = cut_off(total).map(|[what, cure]| format!("{what}; {cure}"));
    let warmed = only_warmup(result).map(|w| w.join("; "));
    let notes = result.reason.iter().chain(&warmed).chain(&warning).chain(&incomplete).chain(&cut_off);
    let notes = notes.map(|note| format!("<p class=\"bad\">{}</p>\n", escape(note)));
    format!(
        "<h1>Run <span class=\"{class}\">{}</span></h1>\n{}<dl class=\"tiles\">\n{}</dl>\n",
        outcome.name(),
        notes.collect::<String>(),
        tiles.collect::<String>()
    )
}

fn thresholds(thresholds: &[ThresholdResult]) -> String {
    let rows = thresholds.iter().map(|t| {
        let (class, mark) = if t.passed { ("good", "✓ holds") } else { ("bad", "✗ broken") };
        let mark = format!("<span class=\"{class}\">{mark}</span>");
        vec![mark, escape(&t.expect), escape(&t.value), escape(&t.about())]
    });
    Table::new("Thresholds", &["", "expected", "measured", "of"]).texts(4).rows(rows.collect())
}

/// What a line shows of a point.
type Value<'a> = &'a dyn Fn(&PointResult) -> Option<f64>;

fn charts(series: &SeriesResult, duration_ms: u64) -> String {
    let step = series.step_seconds.max(1);
    // What is left of a step at the end would look like a fall: it is shown by its own length, or not.
    let covered =
        |p: &PointResult| duration_ms.saturating_sub(p.second.saturating_mul(1000)).min(step * 1000);
    let whole_enough = |p: &&PointResult| p.second == 0 || covered(p) * 2 >= step * 1000;
    let points: Vec<&PointResult> = series.points.iter().filter(whole_enough).collect();
    let lines = |lines: &[(&'static str, Value<'_>)]| -> Vec<Line> {
        let of = |(name, value): &(&'static str, Value<'_>)| Line {
            name,
            values: points.iter().map(|point| value(point)).collect(),
        };
        lines.iter().map(of).collect()
    };
    let rate = |p: &PointResult, n: u64| Some(n as f64 * 1000.0 / covered(p).max(1) as f64);
    let time = |us: Option<u64>| us.map(|us| us as f64);
    let us = |value: f64| quantity::latency(whole(value));
    let plain = |value: f64| quantity::short(value);
    let bytes = |value: f64| format!("{}/s", quantity::bytes(whole(value)));
    let chart = |title, unit, lines| Chart { title, step, unit, lines }.svg();
    [
        "<section><h2>Over time</h2>\n<div class=\"charts\">\n".to_owned(),
        chart(
            "Actions a second",
            &plain,
            lines(&[("actions", &|p| rate(p, p.actions)), ("failed", &|p| rate(p, p.failures))]),
        ),
        chart(
            "Latency",
            &us,
            lines(&[
                ("p50", &|p| time(p.p50_us)),
                ("p95", &|p| time(p.p95_us)),
                ("p99", &|p| time(p.p99_us)),
            ]),
        ),
        chart("Bots alive", &plain, lines(&[("bots", &|p| Some(p.bots as f64))])),
        chart(
            "Bytes",
            &bytes,
            lines(&[("received", &|p| rate(p, p.bytes_in)), ("sent", &|p| rate(p, p.bytes_out))]),
        ),
        "</div></section>\n".to_owned(),
    ]
    .concat()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "above zero, and rounded for reading"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

fn sections(title: &str, sections: &[Section]) -> String {
    let rows = sections.iter().map(|s| [vec![escape(&s.name())], table::figures(&s.figures)].concat());
    Table::new(title, &[&["name"], &table::FIGURES[..]].concat()).texts(1).rows(rows.collect())
}

/// What each action did in each stage.
fn stage_actions(stages: &[Section]) -> String {
    let rows = stages.iter().flat_map(|stage| {
        stage.actions.iter().map(|action| {
            let group = action.group.as_deref().unwrap_or_default();
            let names = [&stage.name(), group, &action.name].map(escape);
            [names.to_vec(), table::figures(&action.figures)].concat()
        })
    });
    let headings = [&["stage", "group", "action"], &table::FIGURES[..]].concat();
    Table::new("Actions by stage", &headings).texts(3).rows(rows.collect())
}

fn gaps(gaps: &[Gap]) -> String {
    let rows = gaps.iter().map(|gap| {
        let time = format!("{}s to {}s", gap.from, gap.until);
        vec![gap.index.to_string(), time, gap.bots.to_string(), escape(&gap.reason), escape(&gap.pod_uid)]
    });
    let title = "Gaps: what these runners did in these seconds is not counted";
    Table::new(title, &["runner", "time", "bots", "reason", "pod"]).texts(5).rows(rows.collect())
}
