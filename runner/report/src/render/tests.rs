use super::*;
use crate::result::{Dimension, Facts, Figures, RunOutcome, ThresholdResult};
use crate::timeline::{Presence, Timeline};
use crate::{FailureClass, Observed, Outcome, Recorder, RowInfo};

/// Names as an attacker would choose them.
pub(crate) const EVIL: &str = "</script><img src=x onerror=alert(1)>\"'&\u{1b}[31m\u{202e},=1+1";

pub(crate) fn sample() -> RunResult {
    let row = |name: &str, measured, group: &str| RowInfo {
        name: name.into(),
        base: name.into(),
        measured,
        scenario: "day".into(),
        group: group.into(),
    };
    let rows = [row("GET /cart", true, "Shop / Pay"), row(EVIL, true, EVIL), row("wait(1)", false, "")];
    let (mut timeline, mut presence) = (Timeline::default(), Presence::default());
    let mut totals = crate::Totals::default();
    let mut recorder = Recorder::new(rows.into(), 3_600_000_000);
    for second in 0..60_u64 {
        recorder.enter_stage(0..3, u16::from(second > 30));
        for n in 0..second + 3 {
            let answered = Observed {
                status: Some(200),
                bytes_in: 1_500,
                bytes_out: 200,
                parts: [None, (n == 0).then_some(400), None, Some(3_000)],
                ..Observed::default()
            };
            recorder.record_observed(0, Outcome::Succeed, 4_000 + n * 900 + second * 50, &answered);
            recorder.count_request();
        }
        let failed = Observed { status: Some(500), ..Observed::failed(FailureClass::Status, EVIL) };
        recorder.record_observed(1, Outcome::Fail, 90_000, &failed);
        recorder.record(2, Outcome::Succeed, 1_000_000);
        recorder.iteration();
        let drained = recorder.drain();
        timeline.add(second, &drained);
        presence.tell(&mut timeline, second, u32::try_from(second.min(20)).unwrap());
        totals.merge(&drained).unwrap();
    }
    let threshold = |expect: &str, action: Option<&str>, value: &str, passed| ThresholdResult {
        expect: expect.into(),
        action: action.map(str::to_owned),
        group: None,
        scenario: None,
        stage: Some("busy".into()),
        value: value.into(),
        passed,
    };
    let thresholds = vec![
        threshold("p(95) < 500ms", None, "61.2ms", true),
        threshold("fail_rate < 1%", Some(EVIL), "100.00%", false),
    ];
    let stages = vec!["quiet".to_owned(), "busy".to_owned()];
    let dimensions = vec![
        Dimension { scenario: "day".into(), stages },
        Dimension { scenario: "night".into(), stages: vec![] },
    ];
    let gaps =
        vec![crate::Gap { index: 1, pod_uid: EVIL.into(), from: 3, until: 4, bots: 9, reason: EVIL.into() }];
    let facts =
        Facts { outcome: RunOutcome::Failed, alive: 0, duration_ms: 60_123, thresholds, gaps, dimensions };
    RunResult::build(&totals, facts).over_time(&timeline)
}

/// The names of a document's elements as they are opened and closed; any misplaced character fails.
fn elements(document: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for part in document.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "a bracket in {text}");
        let name = tag.split([' ', '/', '\n']).find(|name| !name.is_empty()).unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(&*name), "{part}");
        } else if !tag.starts_with(['!', '?']) && !tag.ends_with('/') && name != "meta" && name != "link" {
            open.push(name.clone());
        }
        seen.push(name);
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

#[test]
fn formats_are_told_apart_by_name_and_by_suffix() {
    for format in Format::ALL {
        let suffix = match format {
            Format::Text => "txt",
            Format::Junit => "xml",
            other => other.name(),
        };
        assert_eq!(Format::of_suffix(suffix), Some(format));
        assert!(render(&sample(), format).ends_with('\n'));
    }
    assert!(Format::ALL.iter().all(|format| Format::of_suffix(format.suffix()) == Some(*format)));
    assert_eq!(Format::of_suffix("pdf"), None);
}

#[test]
fn json_is_the_result() {
    let text = render(&sample(), Format::Json);
    assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), sample());
}

#[test]
fn a_page_stands_alone_and_runs_nothing() {
    let page = render(&sample(), Format::Html);
    let seen = elements(&page);
    for unwanted in ["script", "img", "iframe", "object", "form", "a"] {
        assert!(!seen.iter().any(|name| name == unwanted), "{unwanted}");
    }
    for unwanted in
        ["http://", "https://", "//", "url(", "@import", "onerror=alert(1)>", "\u{1b}", "\u{202e}"]
    {
        assert!(!page.contains(unwanted), "{unwanted}");
    }
    for wanted in [
        "<svg",
        "Latency",
        "Shop / Pay",
        "&lt;img src=x",
        "first byte",
        "busy",
        "500: 60",
        "prefers-color-scheme",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in the page");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
    let nothing = RunResult { series: None, thresholds: vec![], actions: vec![], gaps: vec![], ..sample() };
    elements(&render(&nothing, Format::Html));
}

#[test]
fn percentiles_of_a_run_with_dropped_starts_are_called_incomplete_in_every_form_for_people() {
    let told =
        "93 starts were dropped: no bot or row was free, or it was too late; percentiles are incomplete";
    let page = render(&RunResult { dropped: 93, ..sample() }, Format::Html);
    assert!(page.contains(&format!("<p class=\"bad\">{told}</p>")), "{page}");
    let text = render(&RunResult { dropped: 93, ..sample() }, Format::Text);
    assert!(
        text.contains(&told.replace("starts were dropped", "starts").replace("93", "dropped     93")),
        "{text}"
    );
    for format in [Format::Html, Format::Text] {
        let whole = render(&sample(), format);
        assert!(!whole.contains("dropped") && !whole.contains("incomplete"), "{whole}");
    }
}

#[test]
fn so_are_those_of_a_run_with_actions_that_were_cut_off() {
    let total = Figures { cancelled: 160, cut_off: 151, ..sample().total };
    let cut_off = RunResult { total, ..sample() };
    let what = "151 actions were cut off by a timeout around them or by the end; percentiles are incomplete";
    let cure =
        "a timeout of the http leaf itself counts as a failure; at the end, allow a longer gracePeriod";
    let page = render(&cut_off, Format::Html);
    assert!(page.contains(&format!("<p class=\"bad\">{what}; {cure}</p>")), "{page}");
    assert!(page.contains("<dt>cut off</dt><dd>151</dd>") && page.contains(">160 (151 cut off)<"), "{page}");
    let text = render(&cut_off, Format::Text);
    assert!(text.contains(&format!("\nwarning     {what}\n            {cure}\n")), "{text}");
    assert!(text.contains("  160 (151 cut off)"), "{text}");
    for format in [Format::Html, Format::Text] {
        assert!(!render(&sample(), format).contains("cut off"));
    }
}

#[test]
fn thresholds_are_test_cases() {
    let xml = render(&sample(), Format::Junit);
    let seen = elements(&xml);
    let count = |name: &str| seen.iter().filter(|n| *n == name && !n.starts_with('/')).count();
    assert_eq!((count("failure"), count("error")), (1, 0), "{xml}");
    for part in [
        r#"<testsuite name="botarmy" tests="3" failures="1" errors="0" time="60.123">"#,
        r#"name="p(95) &lt; 500ms of all measured actions, stage busy"/>"#,
        r#"<failure message="expected fail_rate &lt; 1%, measured 100.00%"/>"#,
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let aborted = RunResult { outcome: RunOutcome::Aborted, ..sample() };
    assert!(render(&aborted, Format::Junit).contains(r#"<error message="the outcome is Aborted"/>"#));
}

#[test]
fn a_table_has_as_many_cells_in_each_line() {
    let csv = render(&sample(), Format::Csv);
    let cells = |line: &str| {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    for line in csv.split_terminator("\r\n") {
        assert_eq!(cells(line), 23, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for part in [
        "\r\naction,GET /cart,day,Shop / Pay,,1950,",
        "\r\npoint,,,,59,63,62,1,",
        "\r\nstage,busy,day,,,",
        "\r\nscenario,night,night,",
        "\r\nstage action,GET /cart,day,Shop / Pay,,",
    ] {
        assert!(csv.contains(part), "{part} is not in {csv}");
    }
    let dropped = render(&RunResult { dropped: 93, ..sample() }, Format::Csv);
    let ends = |csv: &str| -> Vec<String> {
        let end = |line: &str| line.rsplitn(3, ',').take(2).collect::<Vec<_>>().join(" ");
        csv.lines().map(end).collect()
    };
    assert_eq!(ends(&dropped)[..3], ["cut_off dropped", "0 93", "0 "]);
    let cut_off = Figures { cut_off: 7, ..sample().total };
    let csv = render(&RunResult { total: cut_off, ..sample() }, Format::Csv);
    assert_eq!(ends(&csv)[..3], ["cut_off dropped", "7 0", "0 "]);
    let formula = RunResult {
        actions: vec![crate::ActionResult {
            name: "=cmd|' /C calc'!A0".into(),
            ..sample().actions[0].clone()
        }],
        ..sample()
    };
    assert!(render(&formula, Format::Csv).contains(",'=cmd"));
}
