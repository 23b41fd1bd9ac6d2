use super::*;
use crate::result::{BotCounts, DetailResult, GeneratorResult, RunOutcome, WarmupResult};

fn action(name: &str, measured: bool, figures: Figures) -> ActionResult {
    ActionResult {
        name: name.to_owned(),
        scenario: None,
        group: None,
        measured,
        figures,
        detail: DetailResult::default(),
    }
}

fn figures(counts: [u64; 5], latencies: [u64; 4]) -> Figures {
    let [succeed, fail, error, crash, cancelled] = counts;
    let [p50_us, p95_us, p99_us, max_us] = latencies.map(Some);
    let count = succeed + fail + error + crash;
    let cut_off = 0;
    Figures { count, succeed, fail, error, crash, cancelled, cut_off, p50_us, p95_us, p99_us, max_us }
}

fn threshold(expect: &str, action: Option<&str>, value: &str, passed: bool) -> ThresholdResult {
    let action = action.map(str::to_owned);
    ThresholdResult {
        expect: expect.to_owned(),
        action,
        group: None,
        scenario: None,
        stage: None,
        value: value.to_owned(),
        passed,
    }
}

fn sample() -> RunResult {
    let buy = figures([956, 10, 2, 0, 1], [82_400, 412_300, 2_104_000, 12_345_000]);
    RunResult {
        outcome: RunOutcome::Failed,
        bots: BotCounts { started: 512, alive: 0 },
        requests: 61_725,
        iterations: 12_345,
        dropped: 0,
        duration_ms: 300_000,
        actions: vec![
            action("Shop.\u{1b}[31mask", true, Figures { cancelled: 3, ..Figures::default() }),
            action("Shop.buy(42, \"a\")", true, buy),
            action(
                "log(\"a line that is far too long for a column of names\")",
                false,
                figures([7, 0, 0, 0, 0], [0, 1, 9, 9]),
            ),
            action(
                "wait(5)",
                false,
                figures([12_345, 0, 0, 0, 0], [5_000_191, 5_000_191, 5_000_191, 5_001_000]),
            ),
        ],
        total: Figures { cancelled: 4, ..buy },
        detail: DetailResult::default(),
        scenarios: Vec::new(),
        stages: Vec::new(),
        series: None,
        thresholds: vec![
            threshold("p(95) < 500ms", None, "412.3ms", true),
            threshold("fail_rate < 1%", Some("Shop.buy"), "1.24%", false),
        ],
        gaps: vec![Gap {
            index: 3,
            pod_uid: "6e5c1d9e-3f0b-4a55-9e1c-0a2b3c4d5e6f".to_owned(),
            from: 12,
            until: 14,
            bots: 250,
            reason: "Evicted".to_owned(),
        }],
        reason: None,
        warmup: None,
        generator: None,
    }
}

#[test]
fn reads_as_agreed() {
    let text = summary(&sample());
    assert_eq!(text, include_str!("golden.txt"), "\n{text}");
}

#[test]
fn lines_fit_and_do_nothing_to_the_terminal() {
    let mut result = sample();
    let evil = format!("\u{1b}]0;title\u{7}{}\u{202e}", "µ\r".repeat(300));
    result.actions[1].name.clone_from(&evil);
    result.thresholds[1] = threshold(&evil, Some(&evil), &"9".repeat(20), false);
    result.gaps[0].reason.clone_from(&evil);
    result.gaps[0].pod_uid = "6e5c1d9e-3f0b-4a55-9e1c-0a2b3c4d5e6f".to_owned();
    for line in summary(&result).lines() {
        assert!(line.chars().count() <= WIDTH, "{} in {line}", line.chars().count());
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn great_numbers_leave_names_their_least_width() {
    let mut result = sample();
    let greatest = figures([u64::MAX / 8; 5], [u64::MAX; 4]);
    result.actions[2].figures = greatest;
    result.total = greatest;
    let text = summary(&result);
    assert!(text.contains("\nlog(\"a lin…f names\")  "), "{text}");
}

#[test]
fn a_run_of_nothing_has_a_summary() {
    let nothing = RunResult {
        outcome: RunOutcome::Errored,
        bots: BotCounts::default(),
        requests: 0,
        iterations: 0,
        dropped: 0,
        duration_ms: 0,
        actions: Vec::new(),
        total: Figures::default(),
        detail: DetailResult::default(),
        scenarios: Vec::new(),
        stages: Vec::new(),
        series: None,
        thresholds: Vec::new(),
        gaps: Vec::new(),
        reason: None,
        warmup: None,
        generator: None,
    };
    let text = summary(&nothing);
    assert!(text.contains("requests    0\nfailures    0 of 0 actions\n\naction  "), "{text}");
    for absent in ["control", "thresholds", "gaps"] {
        assert!(!text.contains(absent), "{text}");
    }
}

#[test]
fn what_makes_figures_doubtful_is_told() {
    let generator = GeneratorResult {
        saturated: true,
        saturated_seconds: 5,
        seconds: 30,
        cpu_percent: 98,
        lag_p99_us: 12_300,
        lag_max_us: 40_000,
        throttled_ms: 1_500,
    };
    let warmup = WarmupResult { duration_ms: 500, requests: 7, iterations: 3, actions: 7, dropped: 0 };
    let reason = format!("setup failed: POST /login: {}", "x".repeat(200));
    let told = RunResult { generator: Some(generator), warmup: Some(warmup), ..sample() }.errored(&reason);
    let text = summary(&told);
    for part in [
        "\nreason      setup failed: POST /login: xxx",
        "\nwarm-up     500ms, 7 requests, 3 iterations, in no other figure\n",
        "\nwarning     the generator could not keep up in 5 of 30 s: the figures are suspect\n",
        "CPU 98%, workers late by 12.3ms at p99, stopped for 1.5s by its limit; take more runners\n",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    assert_eq!(told.outcome, RunOutcome::Failed, "a verdict stands");
    let well = RunResult { generator: Some(GeneratorResult { saturated: false, ..generator }), ..sample() };
    assert!(!summary(&well).contains("warning"));
}

#[test]
fn a_run_that_was_all_warm_up_says_so() {
    let warmed = |duration_ms, started| {
        let warmup = WarmupResult { duration_ms, ..WarmupResult::default() };
        let bots = BotCounts { started, alive: 0 };
        summary(&RunResult { duration_ms: 500, bots, warmup: Some(warmup), ..sample() })
    };
    let told = "\nwarning     all of the run was warm-up, so that nothing of it is in the figures and the thresholds\n            make the warmup shorter, or let the run go on for longer\n";
    assert!(warmed(500, 1).contains(told), "{}", warmed(500, 1));
    assert!(warmed(500, 1).lines().all(|line| line.chars().count() <= 110));
    for text in [warmed(499, 1), warmed(500, 0), summary(&RunResult { duration_ms: 0, ..sample() })] {
        assert!(!text.contains("all of the run was"), "{text}");
    }
}
