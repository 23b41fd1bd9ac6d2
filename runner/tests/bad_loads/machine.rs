//! A machine that has too few files, ports or bytes left.

use crate::common::army::{Done, GET, Given};
use crate::common::{Ended, Folder, Running, Shop, command, ended, text, until};
use crate::watched::failures;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

const RUNNER: &str = env!("CARGO_BIN_EXE_runner");
/// A run that passes with nothing but itself.
const LOG: &str = "trees: {T: {log: a}}\niterations: 3\n";

/// A shell that does this with the arguments.
fn shell(script: &str, args: &[&str]) -> Command {
    let mut program = Command::new("/bin/sh");
    program.args(["-c", script, "sh"]).args(args);
    program.env("RUNNER", RUNNER).env_remove("RUST_LOG").env_remove("SSL_CERT_FILE");
    program
}

/// The program with at most so many files.
fn with_files(files: u32, args: &[&str]) -> Ended {
    ended(shell(&format!("ulimit -n {files} && exec \"$RUNNER\" \"$@\""), args))
}

/// A shell that does this in a namespace of its own, where it may do what else only root may. None where there
/// is none for us: that is said, and it is a failure where nothing may be skipped.
fn apart(namespace: &str, prepare: &str, script: &str, args: &[&str]) -> Option<Ended> {
    let is_root = std::fs::metadata("/proc/self").expect("this process").uid() == 0;
    let in_namespace = |script: &str| {
        let mut program = Command::new("unshare");
        program.args(if is_root { &[][..] } else { &["--map-root-user"] }).arg(namespace);
        program.args(["/bin/sh", "-c", script, "sh"]).args(args);
        program.env("RUNNER", RUNNER).env_remove("RUST_LOG").env_remove("SSL_CERT_FILE");
        program
    };
    let prepared = in_namespace(prepare).stdin(Stdio::null()).output();
    if prepared.as_ref().is_ok_and(|prepared| prepared.status.success()) {
        return Some(ended(in_namespace(&format!("{prepare} && {{ {script}; }}"))));
    }
    let reason = format!("unshare {namespace}: {prepare}: {prepared:?}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "nothing may be skipped: {reason}");
    // Not by a macro, whose words are shown only when the test fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    None
}

#[test]
fn too_few_files_to_begin_are_told() {
    let given = Given::new(LOG);
    let log = text(&given.folder.path("bots.log"));
    let more = ["--log-file", &log, "--demo-target", "--metrics-listen", "127.0.0.1:0"];
    let mut ends = [0, 0];
    for files in 5..40 {
        for more in [&[][..], &more] {
            let _ = std::fs::remove_file(&given.out);
            let ended = with_files(files, &given.args(more));
            let code = ended.code();
            assert!([0, 1].contains(&code), "{files} files: {ended:#?}");
            let told = ended.stderr.contains("Too many open files") && ended.stdout.is_empty();
            assert_eq!(told, code == 1, "{files} files: {ended:#?}");
            assert_eq!(given.folder.path("out.json").exists(), code == 0, "{files} files: {ended:#?}");
            ends[usize::from(code == 1)] += 1;
        }
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
    for files in 5..10 {
        for args in [&["target", "--listen", "127.0.0.1:0"][..], &["agent"]] {
            let ended = with_files(files, args).expect(1);
            assert!(ended.stderr.contains("Too many open files"), "{args:?}: {files} files: {ended:#?}");
        }
    }
}

/// A run whose setup and teardown need one request each.
fn prepared(shop: &Shop, fields: &str) -> Given {
    let get = "{http: {get: '{{ target }}/catalogue'}}";
    let parts = "setup: {tree: Once}\nteardown: {tree: Once}";
    let trees = format!("{{Once: {get}, Get: {get}, Log: {{log: a}}}}");
    Given::new(&format!("trees: {trees}\n{parts}\ntarget: {}\n{fields}\n", shop.url()))
}

#[test]
fn too_few_files_for_the_load_after_setup_are_told_and_cleaned_up_after() {
    let shop = Shop::open(&[]);
    // Each of them needs a timer on each worker: far more files than setup and teardown need.
    let population = |n: u32| format!("{{name: s{n}, tree: Log, arrivalRate: 1000, iterations: 1}}");
    let populations: Vec<String> = (0..20).map(population).collect();
    let given = prepared(&shop, &format!("scenarios: [{}]", populations.join(", ")));
    let mut found = 0;
    for files in (8..64).step_by(4) {
        let (before, _) = (shop.requests(), std::fs::remove_file(&given.out));
        let ended = with_files(files, &given.args(&[]));
        let (code, requests) = (ended.code(), shop.requests() - before);
        if code == 1 {
            assert_eq!(requests, 0, "{files} files: nothing was started: {ended:#?}");
            continue;
        }
        let done = given.done(ended);
        let reason = done.result["reason"].as_str().unwrap_or_default();
        if reason.starts_with("no bot could begin: ") {
            found += 1;
            assert!(reason.contains("a worker cannot be started: Too many open files"), "{reason}");
            assert_eq!((code, &done.result["outcome"]), (3, &json!("Errored")), "{files} files: {reason}");
            assert_eq!((requests, done.number("/requests")), (2, 2), "{files} files: {:#}", done.result);
            assert_eq!(done.number("/bots/started"), 0, "{files} files");
        }
    }
    assert!(found > 0, "no limit was between setup and load");
}

#[test]
fn too_few_files_for_teardown_leave_what_was_measured() {
    let shop = Shop::open(&[]);
    let given = prepared(&shop, "tree: Get\nbots: 2\npace: 10ms");
    // It is opened before all else, so that the result has a place.
    let made = Command::new("mkfifo").arg(&given.out).status().expect("mkfifo");
    assert!(made.success());
    let out = given.out.clone();
    let reader =
        std::thread::spawn(move || std::fs::read_to_string(out).expect("what comes out of the pipe"));
    let running = given.start(&[]);
    until("bots are at work", || shop.requests() > 20);
    running.limit_files(4);
    running.signal("INT");
    let ended = running.end().expect(3);
    let result: Value = serde_json::from_str(&reader.join().expect("a result")).expect("JSON");
    let reason = result["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("teardown could not begin: a worker cannot be started: "), "{reason}");
    assert!(reason.contains("Too many open files"), "{reason}");
    assert_eq!(
        (&result["outcome"], &result["bots"]["started"]),
        (&json!("Errored"), &json!(2)),
        "{ended:#?}"
    );
    // What setup has sent is counted too.
    assert_eq!(result["requests"], json!(shop.requests()), "{result:#}");
    assert_eq!(result["total"]["succeed"], json!(shop.requests() - 1), "{result:#}");
}

/// Each request failed here, not at the target, and there were some that did not.
fn some_failed_here(done: &Done, requests: u64, said: &str) {
    let told = failures(done, "GET /catalogue");
    let [(class, count, text)] = told.as_slice() else { panic!("{told:?}") };
    assert!(class == "local" && text.contains(said), "{told:?}");
    assert!(text.contains("raise the limit of open files and ports, or take more runners"), "{text}");
    assert_eq!(done.counts("GET /catalogue"), [requests - count, *count, 0, 0]);
    assert!(*count > 0 && *count < requests, "{told:?}");
    assert_eq!(done.number("/requests"), requests - count, "what did not leave is no request");
}

#[test]
fn too_few_files_for_the_bots_are_a_failure_of_ours() {
    let shop = Shop::open(&["--latency", "200ms"]);
    let given = Given::new(GET);
    let url = shop.url();
    let args = given.args(&["--target", &url, "--iterations", "300", "--bots", "100"]);
    let done = given.done(with_files(50, &args).expect(0));
    some_failed_here(&done, 300, "Too many open files");
    let told = "warning: 100 bots with a connection each, and only 50 open files are allowed";
    assert!(done.ended.stderr.contains(told), "{}", done.ended.stderr);
    assert_eq!(shop.requests(), done.number("/requests"));
}

#[test]
fn a_limit_that_may_be_raised_is_no_limit() {
    let shop = Shop::open(&["--latency", "200ms"]);
    let given = Given::new(GET);
    let url = shop.url();
    let args = given.args(&["--target", &url, "--iterations", "300", "--bots", "100"]);
    let done = given.done(ended(shell("ulimit -Sn 50 && exec \"$RUNNER\" \"$@\"", &args)).expect(0));
    assert_eq!(done.counts("GET /catalogue"), [300, 0, 0, 0], "{}", done.ended.stderr);
    assert!(!done.ended.stderr.contains("warning"), "{}", done.ended.stderr);
}

#[test]
fn too_few_ports_are_a_failure_of_ours() {
    // A connection is kept for as long as its bot lives.
    let tree = "trees: {T: {sequence: [{http: {get: '{{ target }}/catalogue'}}, {wait: 300ms}]}}\n";
    let given = Given::new(tree);
    let first = "ip link set lo up && echo 40000 40019 > /proc/sys/net/ipv4/ip_local_port_range";
    let args = given.args(&["--demo-target", "--iterations", "200", "--bots", "100"]);
    let Some(ended) = apart("--net", first, "exec \"$RUNNER\" \"$@\"", &args) else { return };
    let told = "warning: 100 bots with a connection each, and only 20 ports to begin from";
    assert!(ended.stderr.contains(told), "{ended:?}");
    some_failed_here(&given.done(ended.expect(0)), 200, "Cannot assign requested address");
}

#[test]
fn a_full_disk_is_told() {
    let folder = Folder::new();
    let file = folder.file("army.yaml", LOG);
    let failing = folder.file("failing.yaml", format!("{LOG}thresholds: [{{expect: count > 0}}]\n"));
    let [disk, good, left] = ["disk", "good.json", "left"].map(|name| text(&folder.path(name)));
    std::fs::create_dir(&disk).expect("a folder");
    let (out, log) = (format!("{disk}/out.json"), format!("{disk}/bots.log"));
    let fill = format!("{{ cat /dev/zero > {disk}/zeros 2> /dev/null || :; }}");
    let prepare = format!("mount -t tmpfs -o size=16k none {disk} && echo old > {out} && {fill}");
    // What is left is looked at before the disk is gone.
    let run = format!("\"$RUNNER\" \"$@\"; code=$?; {{ cat {out}; ls {disk} -A; }} > {left}; exit $code");
    let to_stdout = run.replacen(';', &format!(" > {disk}/stdout;"), 1);
    let result = format!("the result cannot be written to {out}: No space left on device");
    let dropped = " lines of the bot log were dropped: No space left on device".to_owned();
    let stdout = "stdout cannot be written to: No space left on device".to_owned();
    for (script, args, code, said, names) in [
        (&run, vec!["run", &file, "--out", &out], 4, &result, "out.json\nzeros\n"),
        (&run, vec!["run", &failing, "--out", &out], 99, &result, "out.json\nzeros\n"),
        (&run, vec!["run", &file, "--out", &out, "--out", &good], 4, &result, "out.json\nzeros\n"),
        (&run, vec!["run", &file, "--log-file", &log], 0, &dropped, "bots.log\nout.json\nzeros\n"),
        (&to_stdout, vec!["run", &file], 4, &stdout, "out.json\nstdout\nzeros\n"),
    ] {
        let Some(ended) = apart("--mount", &prepare, script, &args) else { return };
        let ended = ended.expect(code);
        assert!(ended.stderr.contains(said), "{args:?}: {ended:#?}");
        let left = std::fs::read_to_string(&left).expect("what is left");
        assert_eq!(
            left,
            format!("old\n{names}"),
            "{args:?}: what was there stays, and nothing half is there"
        );
    }
    assert!(std::fs::read_to_string(&good).expect("the other result").contains("\"outcome\""));
}

/// Runs the program to its end with stdout, and perhaps stderr, on a full device.
fn unheard(args: &[&str], also_stderr: bool) -> Ended {
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let mut program = command(args);
    program.stdout(full());
    if also_stderr {
        program.stderr(full());
    }
    Running::new(program.spawn().expect("the program starts")).end()
}

#[test]
fn what_cannot_be_said_is_no_success() {
    let given = Given::new(LOG);
    let done = given.run(&[]);
    assert_eq!(done.result["outcome"], json!("Passed"));
    std::fs::remove_file(&given.out).expect("the result");
    let kept = given.folder.file("kept.json", done.result.to_string());
    let failing = given.folder.file("failing.yaml", format!("{LOG}thresholds: [{{expect: count > 0}}]\n"));
    let setup = "trees: {T: {log: a}, S: {error: broken}}\ntree: T\nsetup: {tree: S}\n";
    let errored = given.folder.file("errored.yaml", setup);
    for (args, code) in [
        (&given.args(&[])[..], 4),
        (&["run", &failing], 99),
        (&["run", &errored], 3),
        (&["trace", &given.file, "--outcomes", "SS"], 4),
        (&["summary", &kept], 4),
        (&["summary", &kept, "--format", "html"], 4),
        (&["schema"], 4),
        (&["completions", "bash"], 4),
    ] {
        let told = unheard(args, false).expect(code);
        let said =
            "stdout cannot be written to: No space left on device (os error 28); let it go to another place";
        assert!(told.stderr.contains(said), "{args:?}: {told:#?}");
        unheard(args, true).expect(code);
    }
    assert_eq!(given.done(done.ended).result["outcome"], json!("Passed"), "the result is kept all the same");
    unheard(&["validate", &given.file], true).expect(0);
    unheard(&["validate", &given.folder.file("wrong.yaml", "trees: 1")], true).expect(1);
}
