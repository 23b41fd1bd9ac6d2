use super::*;

fn threshold(expect: &str, action: Option<&str>, value: &str, passed: bool) -> ThresholdResult {
    ThresholdResult {
        expect: expect.into(),
        action: action.map(str::to_owned),
        group: None,
        scenario: None,
        stage: None,
        value: value.into(),
        passed,
    }
}

fn view() -> View {
    View {
        run: "checkout".into(),
        phase: Phase::Running,
        elapsed: Duration::from_millis(72_400),
        duration: Some(Duration::from_secs(300)),
        iterations: None,
        alive: 500,
        recent: (Counts { requests: 10_000, actions: 5_000, failures: 0 }, Duration::from_millis(5_010)),
        whole: Counts { requests: 90_000, actions: 40_000, failures: 48 },
        dropped: 0,
        cut_off: 0,
        p50: Some(12_345),
        p95: Some(45_600),
        thresholds: vec![
            threshold("p(95) < 500ms", None, "45.6ms", true),
            threshold("fail_rate < 1%", Some("Shop.buy"), "1.24%", false),
        ],
    }
}

fn lines(view: &View, columns: usize, rows: usize) -> Vec<String> {
    view.lines(Size { columns, rows }, false)
}

#[test]
fn a_wide_terminal_has_room_for_words() {
    assert_eq!(
        lines(&view(), 100, 24),
        [
            "checkout  ██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  24%  3m 47s left",
            "bots 500   actions 998.0/s   requests 1996.0/s   last 5s",
            "p50 12.3ms   p95 45.6ms   whole run",
            "errors 0.00% last 5s   0.12% whole run",
            "✓ p(95) < 500ms    45.6ms   all measured actions",
            "✗ fail_rate < 1%   1.24%    Shop.buy",
        ]
    );
}

#[test]
fn a_narrow_one_keeps_the_figures() {
    assert_eq!(
        lines(&view(), 40, 24),
        [
            "█████░░░░░░░░░░░░░░░░  24%  3m 47s left",
            "actions 998.0/s  requests 1996.0/s",
            "bots 500  p50 12.3ms  p95 45.6ms",
            "errors 0.00% last 5s, 0.12% whole",
            "✓ 45.6ms  p(95) < 500ms  all measured …",
            "✗ 1.24%   fail_rate < 1%  Shop.buy",
        ]
    );
}

#[test]
fn the_line_that_is_documented_is_one_of_them() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/measures.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let elapsed = Duration::from_secs(31);
    let shown = format!("\n\n    {}\n\n", View { elapsed, ..view() }.line());
    assert!(page.contains(&shown), "not in docs/measures.md: {shown:?}");
    let told = View { dropped: 93, cut_off: 151, ..view() }.line();
    for part in ["93 dropped", "151 cut off"] {
        assert!(told.contains(part) && page.contains(&format!("`{part}`")), "{part}: {told}");
    }
}

/// Whatever the size, the lines fit it, and colours change nothing but colours.
#[test]
fn lines_fit_every_terminal() {
    let mut evil = view();
    evil.run = "\u{1b}[2J名".repeat(50);
    evil.iterations = Some((u64::MAX - 1, u64::MAX));
    evil.dropped = u64::MAX;
    evil.recent.0 = Counts { requests: u64::MAX, actions: u64::MAX, failures: u64::MAX };
    evil.thresholds = (0..50)
        .map(|n| threshold(&"p(95) < 1ms".repeat(9), Some("\r\n\u{1b}[A"), "1.0ms", n % 2 == 0))
        .collect();
    for view in [view(), evil] {
        for columns in 1..200 {
            for rows in [1, 2, 3, 5, 9, 60] {
                let size = Size { columns, rows };
                let lines = view.lines(size, false);
                assert!((1..rows.max(2)).contains(&lines.len()), "{size:?}: {lines:#?}");
                let fits = |line: &String| {
                    line.chars().count() < columns.max(2) && !line.chars().any(char::is_control)
                };
                assert!(lines.iter().all(fits), "{size:?}: {lines:#?}");
                let coloured = view.lines(size, true).join("\n");
                let codes = ["\u{1b}[0m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m"];
                let bare = codes.iter().fold(coloured, |text, code| text.replace(code, ""));
                assert_eq!(bare, lines.join("\n"));
            }
        }
    }
}

#[test]
fn what_is_wrong_is_red_and_what_holds_is_green() {
    let coloured = view().lines(Size { columns: 100, rows: 24 }, true);
    assert!(coloured[3].starts_with("errors 0.00%\u{1b}[2m last 5s"), "{:?}", coloured[3]);
    assert!(coloured[3].contains("\u{1b}[31m0.12%\u{1b}[0m"), "{:?}", coloured[3]);
    assert!(coloured[4].starts_with("\u{1b}[32m✓ \u{1b}[0mp(95) < 500ms "), "{:?}", coloured[4]);
    assert!(coloured[5].starts_with("\u{1b}[31m✗ \u{1b}[0mfail_rate < 1%"), "{:?}", coloured[5]);
}

#[test]
fn starts_that_were_dropped_are_told_and_that_percentiles_are_incomplete() {
    let dropped = View { dropped: 93, ..view() };
    for columns in [100, 50] {
        let shown = lines(&dropped, columns, 24);
        assert_eq!(shown[4], "93 dropped   percentiles are incomplete");
        assert!(shown[5].starts_with("✓ "), "{shown:#?}");
        assert!(!lines(&view(), columns, 24).iter().any(|line| line.contains("dropped")));
    }
    let coloured = dropped.lines(Size { columns: 100, rows: 24 }, true);
    assert!(coloured[4].starts_with("\u{1b}[31m93 dropped\u{1b}[0m"), "{:?}", coloured[4]);
    assert!(
        dropped.line().contains("  errors 0.12%  93 dropped  1 of 2 thresholds fail"),
        "{}",
        dropped.line()
    );
    assert!(!view().line().contains("dropped"));
}

#[test]
fn actions_that_were_cut_off_are_told_beside_them() {
    let cut_off = View { cut_off: 151, ..view() };
    assert_eq!(lines(&cut_off, 100, 24)[4], "151 cut off   percentiles are incomplete");
    assert!(cut_off.line().contains("  errors 0.12%  151 cut off  1 of 2"), "{:?}", cut_off.line());
    let both = View { dropped: 93, ..cut_off };
    assert_eq!(lines(&both, 100, 24)[4], "93 dropped   151 cut off   percentiles are incomplete");
    assert!(both.line().contains("  93 dropped  151 cut off  "), "{:?}", both.line());
}

#[test]
fn thresholds_that_fail_come_first_where_there_is_no_room_for_all() {
    let mut view = view();
    view.thresholds =
        (0..20).map(|n| threshold(&format!("count > {n}"), None, "7", n != 15 && n != 18)).collect();
    let shown = lines(&view, 100, 40).split_off(4);
    assert_eq!(shown.len(), MAX_THRESHOLDS);
    let starts = ["✗ count > 15 ", "✗ count > 18 ", "✓ count > 0 "];
    assert!(shown.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{shown:#?}");
    assert_eq!(shown[9], "… 11 more thresholds, 0 failing");
    let shown = lines(&view, 100, 7).split_off(4);
    assert!(shown[0].starts_with("✗ count > 15 "), "{shown:#?}");
    assert_eq!(shown[1..], ["… 19 more thresholds, 1 failing"]);
}

#[test]
fn the_end_is_told_as_far_as_it_is_known() {
    let view = view();
    let (no_end, some) = (View { duration: None, ..view.clone() }, Some((40, 100)));
    for (view, end) in [
        (view.clone(), " 24%  3m 47s left"),
        (no_end.clone(), "checkout  1m 12s gone"),
        (View { iterations: some, ..no_end }, " 40%  60 of 100 iterations left"),
        (View { iterations: some, ..view.clone() }, " 40%  3m 47s or 60 of 100 iterations left"),
        (View { phase: Phase::Ending, ..view.clone() }, " 24%  1m 12s gone, ending"),
        (View { elapsed: Duration::from_secs(400), ..view.clone() }, "100%  0s left"),
        (View { phase: Phase::WarmUp(Duration::from_secs(8)), ..view }, " 24%  3m 47s left, 8s of warm-up"),
    ] {
        let line = lines(&view, 90, 24).swap_remove(0);
        assert!(line.ends_with(end), "{line:?} does not end with {end:?}");
    }
}

#[test]
fn where_nothing_can_be_drawn_over_one_line_says_it() {
    let view = view();
    let figures = "   72s  500 bots  1996 requests/s  p50 12.3ms  p95 45.6ms  errors 0.12%";
    let (time, some) = (Duration::from_secs(8), Some((40, 100)));
    for (view, rest) in [
        (view.clone(), "  1 of 2 thresholds fail  3m 47s left"),
        (View { thresholds: Vec::new(), duration: None, ..view.clone() }, ""),
        (
            View { iterations: some, ..view.clone() },
            "  1 of 2 thresholds fail  3m 47s or 60 of 100 iterations left",
        ),
        (View { phase: Phase::Ending, ..view.clone() }, "  1 of 2 thresholds fail  ending"),
        (View { phase: Phase::WarmUp(time), ..view }, "  1 of 2 thresholds fail  3m 47s left  8s of warm-up"),
    ] {
        assert_eq!(view.line(), format!("{figures}{rest}"));
    }
}

#[test]
fn nothing_measured_is_no_number() {
    let mut view = view();
    (view.recent, view.whole) = ((Counts::default(), Duration::ZERO), Counts::default());
    (view.p50, view.p95) = (None, None);
    let shown = lines(&view, 100, 24);
    assert_eq!(shown[1], "bots 500   actions -   requests -   last 1s");
    assert_eq!(shown[2], "p50 -   p95 -   whole run");
    assert_eq!(shown[3], "errors - last 1s   - whole run");
    let line = "   72s  500 bots  0 requests/s  p50 -  p95 -  errors -  1 of 2 thresholds fail  3m 47s left";
    assert_eq!(view.line(), line);
}
