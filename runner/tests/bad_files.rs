//! Files that cannot be read, are no text, hold no document, or too much of it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::refusal::{COMMANDS, findings, lines, refused};
use common::{Folder, runner, text};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

const HEAD: &str = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\n";

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = Folder::new();
    let missing = text(&folder.path("missing.yaml"));
    let directory = text(&folder.path(""));
    let below = folder.file("file.yaml", "trees: {T: done}") + "/below.yaml";
    let long = text(&folder.path(&"x".repeat(300)));
    for command in COMMANDS {
        for (file, reason) in [
            (missing.as_str(), "No such file"),
            (&directory, "Is a directory"),
            (&below, "Not a directory"),
            (&long, "File name too long"),
            ("/proc/self/mem", "Input/output error"),
        ] {
            let said = findings(command, file);
            let start = format!("(top): cannot be read: {reason}");
            assert!(said.len() == 1 && said[0].starts_with(&start), "{command} {file}: {said:#?}");
        }
    }
}

#[test]
fn files_without_end_are_read_only_so_far() {
    for command in COMMANDS {
        for file in ["/dev/zero", "/dev/full", "/dev/urandom"] {
            let said = findings(command, file);
            assert!(
                said.len() == 1 && said[0].starts_with("(top): is larger than 8388608 bytes"),
                "{said:#?}"
            );
        }
        let said = findings(command, "/dev/null");
        assert!(said.len() == 1 && said[0].starts_with("(top): the file holds nothing"), "{said:#?}");
    }
}

#[test]
fn files_of_somebody_else_are_told() {
    let folder = Folder::new();
    let file = folder.file("secret.yaml", "trees: {T: done}");
    let allow = |path: &str, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
    };
    allow(&file, 0o000);
    allow(&text(&folder.path("")), 0o755);
    let is_root = std::fs::metadata("/proc/self").expect("this process").uid() == 0;
    let copy = folder.path("runner");
    // By another process: a program that is open for writing in this one could not be started.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_runner")).arg(&copy).status().expect("cp");
    assert!(copied.success());
    for name in COMMANDS {
        let mut program = Command::new(&copy);
        program.args([name, &file]).env_remove("RUST_LOG");
        // Root may read everything, so it becomes somebody else.
        if is_root {
            program.uid(65534).gid(65534);
        }
        let said = lines(&common::ended(program).expect(1), &file);
        assert!(
            said.len() == 1 && said[0].starts_with("(top): cannot be read: Permission denied"),
            "{said:#?}"
        );
    }
}

#[test]
fn files_that_are_no_text_are_told() {
    refused("binary.yaml", b"trees: \xff\xfe\x00", &["(top): is not text in UTF-8"]);
    refused(
        "program",
        &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0x80, 0xff][..],
        &["(top): is not text in UTF-8"],
    );
    refused("nul.yaml", b"trees: {T: {log: \"a\0b\"}}", &["(top): not valid YAML: line 1"]);
    refused("nuls.yaml", vec![0; 10_000], &["(top): not valid YAML: line 1"]);
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "trees: {T: done}\n".encode_utf16().flat_map(to_bytes).collect()
    };
    refused("little.yaml", utf16(u16::to_le_bytes), &["(top): not valid YAML: line 1"]);
    refused("big.yaml", utf16(u16::to_be_bytes), &["(top): not valid YAML: line 1"]);
    refused(
        "marked.yaml",
        [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat(),
        &["(top): is not text in UTF-8"],
    );
    refused("latin.yaml", b"trees: {T: {log: \"\xe4\"}}", &["(top): is not text in UTF-8"]);
    let limit = 8 << 20;
    let sized = |size: usize| {
        let text = "trees: {T: done} #";
        format!("{text}{}", "x".repeat(size - text.len()))
    };
    let folder = Folder::new();
    runner(&["validate", &folder.file("largest.yaml", sized(limit))]).expect(0);
    refused("large.yaml", sized(limit + 1), &["(top): is larger than 8388608 bytes"]);
}

#[test]
fn documents_that_cannot_be_run_say_why() {
    let run = format!("{HEAD}spec: {{trees: {{T: done}}}}\n");
    for (content, expected) in [
        ("", "(top): the file holds nothing"),
        (" \n\t\n", "(top): "),
        ("# a remark\n---\n...\n", "(top): the file holds nothing"),
        ("just text", "(top): expected a mapping at the top"),
        ("- a\n- b", "(top): expected a mapping at the top"),
        ("42", "(top): expected a mapping at the top"),
        ("null", "(top): the file holds nothing"),
        ("[]", "(top): expected a mapping at the top"),
        ("{", "(top): not valid"),
        ("a: [", "(top): not valid YAML: line "),
        ("a: b: c", "(top): not valid YAML: line 1"),
        ("a: *nowhere", "(top): not valid YAML: line 1"),
        ("a: &a [*a]", "(top): not valid YAML: line 1"),
        ("\"trees", "(top): not valid YAML: line "),
        ("a: 1\n---\nb: 2\n", "(top): of 2 documents none is a BotRun"),
        (&format!("{run}---\n{run}"), "(top): the file holds 2 BotRuns; keep one"),
        (&format!("{run}---\na: [\n"), "(top): not valid YAML: line "),
        ("trees: {T: done}\ntrees: {T: done}", "(top): the key \"trees\" is given twice"),
        (r#"{"trees": {"T": "done"}, "trees": {"T": "done"}}"#, "(top): the key \"trees\" is given twice"),
        (r#"{"trees": {"T": {"wait": 1, "wait": 2}}}"#, "trees.T: the key \"wait\" is given twice"),
        (r#"{"trees": {"T": "done"}} more"#, "(top): not valid JSON"),
        (r#"{"trees": {"T": "done"},}x"#, "(top): not valid JSON"),
        ("trees: {T: !!python/object done}", "trees.T: tags such as"),
        ("? [a]\n: 1\ntrees: {T: done}", "(top): a key must be text"),
        ("trees: {T: {wait: .inf}}", "trees.T.wait: .inf is not a number"),
        (
            r#"{"trees": {"T": "done"}, "tr\u0065es": {"T": "done"}}"#,
            "(top): the key \"trees\" is given twice",
        ),
        (
            r#"{"trees": {"T": {"http": {"get": "http://x", "get": "http://y"}}}}"#,
            "trees.T.http: the key \"get\" is given twice",
        ),
        ("{\"trees\": {\"T\": \"done\"}} // a remark", "(top): not valid JSON"),
        ("{\"trees\": {\"T\": \"done\"}}\n{\"trees\": {\"T\": \"done\"}}", "(top): not valid JSON"),
        (r#"{"trees": {"T": {"log": "\ud800"}}}"#, "(top): not valid JSON"),
        ("trees:\n\tT: done", "(top): not valid YAML: line 2"),
        ("trees: {T: \u{feff}done}", "(top): not valid YAML: line 1"),
        ("\u{feff}", "(top): the file holds nothing"),
        ("~: 1\ntrees: {T: done}", "(top): a key must be text"),
        ("trees: {T: {wait: 99999999999999999999}}", "trees.T.wait: 99999999999999999999 is not a number"),
    ] {
        refused("some.yaml", content, &[expected]);
    }
    refused(
        "kind.yaml",
        "kind: Pod\napiVersion: v1\nspec: {trees: {T: done}}",
        &["kind: the kind is \"Pod\"", "apiVersion: the apiVersion is \"v1\""],
    );
    for (head, expected) in [
        ("apiVersion: botarmy.dev/v1alpha1\nkind: botrun\n", "kind: the kind is \"botrun\""),
        ("apiVersion: botarmy.dev/v1alpha1\n", "(top): the field kind is missing; add kind: BotRun"),
        ("apiVersion: botarmy.dev/v1\nkind: BotRun\n", "apiVersion: the apiVersion is \"botarmy.dev/v1\""),
        ("kind: BotRun\n", "(top): the field apiVersion is missing"),
        (&format!("{HEAD}sepc: {{}}\n"), "(top): unknown field \"sepc\""),
    ] {
        refused("kind.yaml", format!("{head}spec: {{trees: {{T: done}}}}\n"), &[expected]);
    }
    refused("nospec.yaml", HEAD, &["(top): the field spec is missing"]);
    refused("name.yaml", run.replace("name: a", "name: A_b"), &["metadata.name: a name is lower-case"]);
}

#[test]
fn texts_that_are_made_to_hurt_end_soon() {
    let limit = 8 << 20;
    let many = |unit: &str| unit.repeat(limit / unit.len());
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        aliases.push_str(&["a", &i.to_string(), ": &a", &i.to_string(), " [", &items, "]\n"].concat());
    }
    let mut merges = String::from("m0: &m0 {x: 1}\n");
    for i in 1..40 {
        let (i, before) = (i.to_string(), (i - 1).to_string());
        merges.push_str(&["m", &i, ": &m", &i, " {a: *m", &before, ", b: *m", &before, "}\n"].concat());
    }
    let mut subtrees = String::from("trees:\n  T0: done\n");
    for i in 1..60 {
        let (i, before) = (i.to_string(), (i - 1).to_string());
        let call = ["{subtree: T", &before, "}"].concat();
        subtrees.push_str(&["  T", &i, ": {sequence: [", &call, ", ", &call, "]}\n"].concat());
    }
    subtrees.push_str("tree: T59\n");
    let negations =
        format!("{{\"trees\": {{\"T\": {}\"done\"{}}}}}", "{\"negate\": ".repeat(3000), "}".repeat(3000));
    for (what, content) in [
        ("open lists", many("[")),
        ("open mappings", many("{")),
        ("open mappings of JSON", many("{\"a\":")),
        ("lists of mappings of JSON", many("[{\"a\":")),
        ("items of items", many("- ")),
        ("keys of keys", many("? ")),
        ("values of values", many("a:\n")),
        ("anchors", many("&a ")),
        ("tags", many("!a ")),
        ("documents", many("---\n")),
        ("an open text", format!("a: \"{}", many("x"))),
        ("spaces", many(" ")),
        ("deep trees", format!("trees: {{T: {}done{}}}", "{negate: ".repeat(5000), "}".repeat(5000))),
        ("deep trees of JSON", negations),
        ("aliases of aliases", aliases),
        ("merges of merges", merges),
        ("subtrees of subtrees", subtrees),
    ] {
        let folder = Folder::new();
        let file = folder.file("bomb.yaml", &content);
        for command in COMMANDS {
            let length: usize = findings(command, &file).iter().map(String::len).sum();
            assert!(length < 10_000, "{what}: {length} bytes of errors");
        }
    }
}

#[test]
fn messages_stay_one_line_and_cannot_steer_a_terminal() {
    let folder = Folder::new();
    let content = "{\"trees\": {\"T\": {\"wi\\nat\\u001b[31m\": 1}}}";
    let file = folder.file("run.json", content);
    let strange = text(&folder.path("no\nsuch: (top): file\u{1b}[31m.yaml"));
    for command in COMMANDS {
        let said = findings(command, &file);
        assert!(said.len() == 1 && !said[0].contains('\u{1b}'), "{said:?}");
        let ended = runner(&[command, &strange]).expect(1);
        assert_eq!(ended.stderr_lines().len(), 1, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("no\\nsuch: (top): file\\u{1b}[31m.yaml: (top): cannot be read"),
            "{ended:?}"
        );
    }
}

#[test]
fn nobody_has_to_read_what_is_wrong() {
    let folder = Folder::new();
    let file =
        folder.file("wrong.yaml", format!("trees: {{T: {{sequence: [{}]}}}}", "{wiat: 1}, ".repeat(5000)));
    common::unread(&["validate", &file]).expect(1);
    common::unread(&["trace", &file, "--outcomes", ""]).expect(1);
    common::unread(&["run", &file]).expect(1);
}
