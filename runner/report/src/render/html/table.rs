//! The tables of the page.

use super::escape;
use crate::quantity;
use crate::result::{ActionResult, DetailResult, Figures, RunResult};

pub(super) const FIGURES: [&str; 10] =
    ["count", "succeed", "fail", "error", "crash", "cancelled", "p50", "p95", "p99", "max"];

/// A table under a title; nothing when there are no rows.
pub(super) struct Table<'a> {
    title: &'a str,
    headings: &'a [&'a str],
    texts: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(title: &'a str, headings: &'a [&'a str]) -> Self {
        Self { title, headings, texts: 0 }
    }

    /// So many columns hold text; the others hold numbers.
    pub(super) fn texts(self, texts: usize) -> Self {
        Self { texts, ..self }
    }

    /// The cells are markup already.
    pub(super) fn rows(&self, rows: Vec<Vec<String>>) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let class = |column: usize| if column < self.texts { "" } else { " class=\"number\"" };
        let cells = |tag: &str, cells: &[&str]| {
            let each = cells.iter().enumerate();
            each.map(|(i, cell)| format!("<{tag}{}>{cell}</{tag}>", class(i))).collect::<Vec<_>>().concat()
        };
        let head = cells("th", self.headings);
        let row = |row: Vec<String>| {
            format!("<tr>{}</tr>\n", cells("td", &row.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let body: String = rows.into_iter().map(row).collect();
        format!(
            "<section><h2>{}</h2>\n<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div></section>\n",
            escape(self.title)
        )
    }
}

pub(super) fn figures(figures: &Figures) -> Vec<String> {
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), quantity::latency);
    let Figures { count, succeed, fail, error, crash, p50_us, p95_us, p99_us, max_us, .. } = *figures;
    let failed = |n: u64| if n > 0 { format!("<span class=\"bad\">{n}</span>") } else { "0".to_owned() };
    let counts = [
        count.to_string(),
        succeed.to_string(),
        failed(fail),
        failed(error),
        failed(crash),
        figures.cancelled_in_words(),
    ];
    counts.into_iter().chain([p50_us, p95_us, p99_us, max_us].map(time)).collect()
}

/// A name with the scenario and the group that it belongs to.
fn name(action: &ActionResult) -> String {
    let around = [&action.scenario, &action.group].into_iter().flatten();
    let around: Vec<String> = around.map(|text| format!("<small>{}</small> ", escape(text))).collect();
    format!("{}{}", around.concat(), escape(&action.name))
}

pub(super) fn actions(result: &RunResult) -> String {
    let headings = [&["action"], &FIGURES[..]].concat();
    let row = |action: &ActionResult| [vec![name(action)], figures(&action.figures)].concat();
    let (measured, control): (Vec<_>, Vec<_>) = result.actions.iter().partition(|a| a.measured);
    let mut rows: Vec<_> = measured.into_iter().map(row).collect();
    rows.push([vec!["<strong>total</strong>".to_owned()], figures(&result.total)].concat());
    let control = control.into_iter().map(row).collect();
    let table = |title| Table::new(title, &headings).texts(1);
    table("Actions").rows(rows) + &table("Control leaves, not in the total").rows(control)
}

/// The actions of which something is told, and all of them together.
fn told(result: &RunResult) -> impl Iterator<Item = (String, &DetailResult)> {
    result.actions.iter().map(|a| (name(a), &a.detail))
}

pub(super) fn failures(result: &RunResult) -> String {
    let rows = told(result).flat_map(|(name, detail)| {
        detail.failures.iter().map(move |failure| {
            let samples = failure.samples.iter();
            let samples =
                samples.map(|s| format!("<li>{} <small>({})</small></li>", escape(&s.text), s.count));
            let samples = format!("<ul>{}</ul>", samples.collect::<String>());
            vec![name.clone(), failure.class.name().to_owned(), samples, failure.count.to_string()]
        })
    });
    Table::new("Failures", &["action", "class", "some of what was said", "count"])
        .texts(3)
        .rows(rows.collect())
}

pub(super) fn statuses(result: &RunResult) -> String {
    let rows = told(result).filter(|(_, detail)| !detail.statuses.is_empty()).map(|(name, detail)| {
        let each = detail.statuses.iter().map(|(code, n)| format!("{}: {n}", escape(code)));
        let bytes = [detail.bytes_in, detail.bytes_out].map(quantity::bytes);
        [vec![name, each.collect::<Vec<_>>().join(", ")], bytes.to_vec()].concat()
    });
    Table::new("Status codes and bytes", &["action", "status codes", "received", "sent"])
        .texts(2)
        .rows(rows.collect())
}

pub(super) fn parts(result: &RunResult) -> String {
    let rows = told(result).flat_map(|(name, detail)| {
        detail.parts.named().map(move |(part, times)| {
            let numbers = [times.p50_us, times.p95_us, times.p99_us, times.max_us].map(quantity::latency);
            [vec![name.clone(), part.to_owned(), times.count.to_string()], numbers.to_vec()].concat()
        })
    });
    let headings = ["action", "part", "count", "p50", "p95", "p99", "max"];
    Table::new("Parts of the time", &headings).texts(2).rows(rows.collect())
}
