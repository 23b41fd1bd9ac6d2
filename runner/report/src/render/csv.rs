//! A result as one table (RFC 4180): what a line is about stands in its first column.

use crate::result::{ActionResult, Figures, PointResult, RunResult, Section, SectionAction};

const HEADINGS: [&str; 23] = [
    "kind",
    "name",
    "scenario",
    "group",
    "second",
    "count",
    "succeed",
    "fail",
    "error",
    "crash",
    "cancelled",
    "p50_us",
    "p95_us",
    "p99_us",
    "max_us",
    "requests",
    "iterations",
    "bots",
    "bytes_in",
    "bytes_out",
    "stage",
    "dropped",
    "cut_off",
];

pub(super) fn csv(result: &RunResult) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned).to_vec()];
    lines.push(total(result));
    lines.extend(result.scenarios.iter().map(|section| of_section("scenario", section)));
    lines.extend(result.stages.iter().map(|section| of_section("stage", section)));
    lines.extend(
        result.stages.iter().flat_map(|stage| stage.actions.iter().map(|action| in_stage(stage, action))),
    );
    lines.extend(result.actions.iter().map(action));
    lines.extend(result.series.iter().flat_map(|series| &series.points).map(point));
    lines.iter().flat_map(|cells| [cells.join(","), "\r\n".to_owned()]).collect()
}

fn total(result: &RunResult) -> Vec<String> {
    let mut cells = line("total", ["total", "", ""], &result.total);
    let bots = result.bots.started;
    let own = [result.requests, result.iterations, bots, result.detail.bytes_in, result.detail.bytes_out];
    cells.extend(own.map(|n| n.to_string()));
    let last = [String::new(), result.dropped.to_string(), result.total.cut_off.to_string()];
    cells.extend(last);
    cells
}

fn of_section(kind: &str, section: &Section) -> Vec<String> {
    let scenario = section.scenario.as_deref().unwrap_or_default();
    let name = section.stage.as_deref().unwrap_or(scenario);
    in_its_stage([name, scenario, ""], kind, &section.figures, section)
}

fn in_stage(stage: &Section, action: &SectionAction) -> Vec<String> {
    let [scenario, group] = [&stage.scenario, &action.group].map(|name| name.as_deref().unwrap_or_default());
    in_its_stage([&action.name, scenario, group], "stage action", &action.figures, stage)
}

/// The line with the name of its stage, and nothing in between.
fn in_its_stage(names: [&str; 3], kind: &str, figures: &Figures, section: &Section) -> Vec<String> {
    let mut cells = line(kind, names, figures);
    cells.resize(HEADINGS.len() - 3, String::new());
    let stage = cell(section.stage.as_deref().unwrap_or_default());
    cells.extend([stage, String::new(), figures.cut_off.to_string()]);
    cells
}

fn action(action: &ActionResult) -> Vec<String> {
    let kind = if action.measured { "action" } else { "control" };
    let (scenario, group) = (action.scenario.as_deref(), action.group.as_deref());
    let names = [&*action.name, scenario.unwrap_or_default(), group.unwrap_or_default()];
    let mut cells = line(kind, names, &action.figures);
    cells.resize(HEADINGS.len() - 5, String::new());
    cells.extend([action.detail.bytes_in, action.detail.bytes_out].map(|n| n.to_string()));
    cells.extend([String::new(), String::new(), action.figures.cut_off.to_string()]);
    cells
}

/// Name, scenario and group; the figures; no second.
fn line(kind: &str, names: [&str; 3], figures: &Figures) -> Vec<String> {
    let Figures { count, succeed, fail, error, crash, cancelled, p50_us, p95_us, p99_us, max_us, .. } =
        *figures;
    let counts = [count, succeed, fail, error, crash, cancelled].map(|n| n.to_string());
    let times = [p50_us, p95_us, p99_us, max_us].map(number);
    let names = names.map(cell);
    [kind.to_owned()].into_iter().chain(names).chain([String::new()]).chain(counts).chain(times).collect()
}

fn point(point: &PointResult) -> Vec<String> {
    let PointResult { second, bots, iterations, actions, failures, requests, bytes_in, bytes_out, .. } =
        *point;
    let nothing = String::new;
    let mut cells = vec!["point".to_owned(), nothing(), nothing(), nothing(), second.to_string()];
    cells.extend([actions, actions.saturating_sub(failures), failures].map(|n| n.to_string()));
    cells.extend([nothing(), nothing(), nothing()]);
    cells.extend([point.p50_us, point.p95_us, point.p99_us, None].map(number));
    cells.extend([requests, iterations, bots, bytes_in, bytes_out].map(|n| n.to_string()));
    cells.extend([String::new(), String::new(), String::new()]);
    cells
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |n| n.to_string())
}

/// Text that neither leaves its cell nor is taken for a formula by a spreadsheet.
fn cell(text: &str) -> String {
    let text = crate::terminal::escape(text);
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text };
    if text.contains(['"', ',']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
