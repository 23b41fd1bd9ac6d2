//! Input that is wrong: it is told with its place, and nothing is started.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given};
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn input_that_is_wrong_starts_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for (content, args, part) in [
        ("trees: {T: {wiat: 1}}", &[][..], "trees.T: unknown node \"wiat\""),
        ("trees: {T: {action: Shop.buy}}", &[], "trees.T.action: the action \"Shop.buy\" does not exist"),
        ("trees: {T: {log: no}}", &[], "trees.T.log: YAML 1.1 and YAML 1.2"),
        ("", &[], "(top): the file holds nothing"),
        (GET, &["--tree", "Gone"], "tree: there is no tree named \"Gone\""),
        (GET, &["--bots", "0"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "-1"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "1000001"], "bots: "),
        (GET, &["--bots", "2147483647"], "bots: "),
        (GET, &["--duration", "0"], "duration: the time must be above zero"),
        (GET, &["--duration", "-1s"], "duration: \"-1s\" is negative"),
        (GET, &["--duration", "soon"], "duration: \"soon\" is not a duration"),
        ("trees: {T: done}\nthresholds: [{expect: p95 < 1}]", &[], "thresholds[0].expect: "),
    ] {
        let given = Given::new(content);
        let target = if args.contains(&"--target") { vec![] } else { vec!["--target", &url] };
        // Where a mistake is not found, the run ends by itself.
        let bound = if args.contains(&"--duration") { "1" } else { "2" };
        let ended = given.start(&[args, &target, &["--iterations", bound]].concat()).end().expect(1);
        assert_eq!(ended.stdout, "", "{content} {args:?}");
        let start = format!("{}: {part}", given.file);
        assert!(
            ended.stderr_lines().iter().any(|l| l.starts_with(&start)),
            "{content} {args:?}: {}",
            ended.stderr
        );
        assert!(!given.folder.path("out.json").exists(), "{content} {args:?}: an output was written");
    }
    for target in ["", "shop:80", "http://", "ftp://shop", "http://a b"] {
        let given = Given::new(GET);
        let ended = given.start(&["--target", target, "--iterations", "1"]).end().expect(1);
        assert!(ended.stderr.contains("target: "), "{target}: {}", ended.stderr);
        assert!(!given.folder.path("out.json").exists(), "{target}");
    }
    let connection = listener.accept();
    assert!(connection.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "something was started");
}
