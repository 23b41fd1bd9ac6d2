//! Pipes in the place of files: they are read and written, and nobody at the other end is not waited for
//! without end.

use crate::common::{Folder, ended, start, text};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

const ROWS: &str = "trees: {T: {log: '{{ data.a }}'}}\niterations: 2\n";

fn pipe(folder: &Folder, name: &str) -> String {
    let path = text(&folder.path(name));
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

#[test]
fn nobody_at_the_other_end_is_told_in_the_end() {
    let folder = Folder::new();
    let [file, rows, out, mute, deaf] =
        ["file", "rows", "out", "mute", "deaf"].map(|name| pipe(&folder, name));
    let use_rows = folder.file("rows.yaml", format!("{ROWS}data: {{file: rows}}\n"));
    // Its result is longer than what a pipe holds.
    let leaf = |n| format!("{{log: a, label: '{n} {}'}}", "x".repeat(240));
    let leaves: Vec<String> = (0..250).map(leaf).collect();
    let tree = format!("trees: {{T: {{sequence: [{}]}}}}\niterations: 1\n", leaves.join(", "));
    let sound = folder.file("sound.yaml", tree);
    // Somebody has opened these, to write and to read, and does neither.
    let open = |name: &String| OpenOptions::new().read(true).write(true).open(name).expect("both ends");
    let _both = [&mute, &deaf].map(open);
    let nothing =
        "cannot be read: nothing has come from it for 30s, as if nobody wrote to it; check the name";
    let unread = "nobody has read from it for 30s; name another file with --out";
    let cases = [
        (vec!["validate", &file], 1, format!("{file}: (top): {nothing}")),
        (vec!["run", &file], 1, format!("{file}: (top): {nothing}")),
        (vec!["run", &mute], 1, format!("{mute}: (top): {nothing}")),
        (vec!["run", &use_rows], 1, format!("{use_rows}: data.file: {rows} {nothing}")),
        (vec!["run", &sound, "--out", &out], 1, format!("cannot be written to {out}: {unread}")),
        (vec!["run", &sound, "--out", &deaf], 4, format!("cannot be written to {deaf}: {unread}")),
    ];
    let start =
        |(args, code, said): (Vec<&str>, i32, String)| (start(&args), format!("{args:?}"), code, said);
    let waiting: Vec<_> = cases.into_iter().map(start).collect();
    for (running, args, code, said) in waiting {
        let ended = running.end().expect(code);
        assert!(ended.stderr.contains(&said), "{args}: {ended:#?}");
        // Either it is told before anything is started, or what came of it is told all the same.
        assert_eq!(ended.stdout.contains("outcome     Passed"), code == 4, "{args}: {ended:#?}");
    }
}

#[test]
fn what_comes_out_of_a_program_is_a_file_too() {
    let folder = Folder::new();
    let file = folder.file("army.yaml", format!("{ROWS}data: {{file: none.csv}}\n"));
    let rows = folder.file("rows.csv", "a\n1\n2\n");
    let out = text(&folder.path("out.json"));
    // Large enough not to fit into a pipe at once.
    let large =
        folder.file("large.yaml", format!("trees: {{T: done}}\niterations: 1\n#{}", "x".repeat(1 << 20)));
    for (script, code) in [
        ("\"$RUNNER\" run <(cat \"$1\") --data \"$2\"", 0),
        ("\"$RUNNER\" run <(sleep 0.2; cat \"$1\") --data <(echo a; sleep 0.2; echo 1)", 0),
        ("cat \"$1\" | \"$RUNNER\" run /dev/stdin --data <(cat \"$2\")", 0),
        ("\"$RUNNER\" run /dev/stdin --data \"$2\" < \"$1\"", 0),
        ("cat \"$2\" | \"$RUNNER\" run \"$1\" --data /dev/stdin", 0),
        ("\"$RUNNER\" run <(cat \"$3\")", 0),
        ("\"$RUNNER\" validate <(cat \"$3\")", 0),
        ("\"$RUNNER\" run \"$3\" --out >(cat > \"$4\"); code=$?; wait; exit $code", 0),
        ("\"$RUNNER\" run \"$3\" --out /dev/stdout | cat > /dev/null; exit ${PIPESTATUS[0]}", 0),
        ("\"$RUNNER\" run <(:)", 1),
        ("\"$RUNNER\" run <(exit 1)", 1),
        ("\"$RUNNER\" run \"$1\" --data <(:)", 1),
        ("\"$RUNNER\" run <(cat /dev/zero)", 1),
    ] {
        let mut program = Command::new("bash");
        program.args(["-c", script, "bash", &file, &rows, &large, &out]);
        program.env("RUNNER", env!("CARGO_BIN_EXE_runner")).env_remove("RUST_LOG");
        ended(program).expect(code);
    }
    let result: Value = serde_json::from_slice(&std::fs::read(&out).expect("a result")).expect("JSON");
    assert_eq!(result["outcome"], "Passed");
}

#[test]
fn a_pipe_is_read_however_slowly_it_is_written() {
    let folder = Folder::new();
    let name = pipe(&folder, "army.yaml");
    let running = start(&["run", &name]);
    let mut writer = OpenOptions::new().write(true).open(&name).expect("a reader");
    for piece in ["trees: ", "{T: ", "done}\n", "iterations: 1\n"] {
        writer.write_all(piece.as_bytes()).expect("a reader");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    drop(writer);
    running.end().expect(0);
}
