//! Files with rows that are bad, or none at all.

use crate::common::refusal::{COMMANDS, findings};
use crate::common::{Folder, runner};

const USE: &str = "trees: {T: {log: '{{ data.a }}'}}\niterations: 1\n";

/// A file of this name with this content is refused with these words, and no others.
fn refused(name: &str, content: impl AsRef<[u8]>, said: &[&str]) {
    let folder = Folder::new();
    let rows = folder.file(name, content);
    let file = folder.file("army.yaml", format!("{USE}data: {{file: {name}}}\n"));
    for command in COMMANDS {
        let told = findings(command, &file);
        for part in said {
            // Either with the name of the file of rows, or about the tree that cannot use them.
            let of_rows = format!("data.file: {rows}: {part}");
            let of_file = format!("data.file: {rows} {part}");
            let fits = |f: &String| f.starts_with(&of_rows) || f.starts_with(&of_file) || f.starts_with(part);
            assert!(told.iter().any(fits), "{command} {name}: {part} is not in {told:#?}");
        }
        assert_eq!(told.len(), said.len(), "{command} {name}: {told:#?}");
    }
}

#[test]
fn rows_of_csv_that_are_bad_are_told() {
    let none = "there is no row; write one on each line, in CSV below a line with the names of the columns";
    let width =
        |line: u32, values: u32| format!("line {line}: {values} values, where the first line names 2");
    refused("a.csv", "", &[none]);
    refused("a.csv", "\n\n\r\n\n", &[none]);
    refused("a.csv", "a,b\n", &[none]);
    refused("a.csv", "\u{feff}", &[none]);
    refused("a.csv", "a,,c\n1,2,3\n", &["column 2 has no name in the first line; give it one"]);
    refused("a.csv", "a,b,a\n1,2,3\n", &["two columns are called \"a\" in the first line; rename one"]);
    refused("a.csv", "a,b\n1\n1,2\n1,2,3", &[&width(2, 1), &width(4, 3)]);
    // Lines are those of an editor: empty ones and those inside of quotes count.
    refused("a.csv", "a,b\n1,2\n\n\n3\n\"x\n\ny\",2\n\r\n4\n", &[&width(5, 1), &width(10, 1)]);
    refused("a.csv", "a,b\n\"1,2\n3,4\n", &["line 2: a quote is not closed; close it"]);
    let inside =
        |line: u32| format!("line {line}: a quote is neither the first nor the last of a value; quote all");
    refused("a.csv", "a,b\n\"x\"y,2\n1,2\n5\" x 3\",4\n", &[&inside(2), &inside(4)]);
    refused(
        "a.csv",
        format!("a\n{}\nb\n", "x".repeat(70_000)),
        &["line 2: the row has more than 65536 bytes"],
    );
    refused(
        "a.csv",
        format!("a\n\"{}\"\n", "x\n".repeat(40_000)),
        &["line 2: the row has more than 65536 bytes"],
    );
    let wide = (0..1001).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    refused("a.csv", wide, &["there are 1001 columns; at most 1000 are allowed"]);
    refused("a.csv", b"a\n\xff\xfe\n", &["is not text in UTF-8; save it in that encoding"]);
    let utf16: Vec<u8> = "\u{feff}a\nb\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused("a.csv", utf16, &["is not text in UTF-8; save it in that encoding"]);
    refused("a.csv", "a\tb\n1\t2\n", &["trees.T: the rows have no column \"a\"; they have a\\tb"]);
    refused("a.csv", "a;b\n1;2\n", &["trees.T: the rows have no column \"a\"; they have a;b"]);
    // Of many bad rows ten are told, and how many there are.
    let many: Vec<String> = (2..=11).map(|line| width(line, 1)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["and 989 more rows like these"]).collect();
    refused("a.csv", format!("a,b\n{}1,2\n", "1\n".repeat(999)), &many);
    refused(
        "a.csv",
        format!("a\n{}", "b\n".repeat(10_000_001)),
        &["there are more than 10000000 rows; split them"],
    );
}

#[test]
fn rows_of_json_that_are_bad_are_told() {
    let none = "there is no row; write one on each line";
    refused("a.jsonl", "", &[none]);
    refused("a.ndjson", "\n \n\n", &[none]);
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(50_000 / 2), "]".repeat(50_000 / 2));
    for (line, cause) in [
        ("[1]", "invalid type: sequence"),
        ("1", "invalid type: integer"),
        ("null", "invalid type: null"),
        ("a,b", "expected value"),
        ("{\"a\": 1} {\"a\": 2}", "trailing characters"),
        ("{\"a\": 1},", "trailing characters"),
        ("{\"a\":", "EOF while parsing"),
        ("{'a': 1}", "key must be a string"),
        ("{\"a\": 1e999}", "number out of range"),
        ("{\"a\": \"\\ud800\"}", "unexpected end of hex escape"),
        ("{\"a\": NaN}", "expected value"),
        (&deep, "recursion limit exceeded"),
    ] {
        let said = format!("line 2: not a mapping in JSON: {cause}");
        refused("a.jsonl", format!("{{\"a\": 1}}\n{line}\n{{\"a\": 2}}\n"), &[&said]);
    }
    refused(
        "a.jsonl",
        format!("{{\"a\": \"{}\"}}", "x".repeat(70_000)),
        &["line 1: the row has more than 65536"],
    );
    for number in
        ["18446744073709551616", "-9223372036854775809", "[{\"b\": 123456789012345678901234567890}]"]
    {
        let said = "line 2: the number ";
        refused("a.jsonl", format!("{{\"a\": 18446744073709551615}}\n{{\"a\": {number}}}\n"), &[said]);
    }
    refused("a.jsonl", "{\"b\": 1}\n", &["trees.T: the rows have no column \"a\"; they have b"]);
}

#[test]
fn rows_that_are_odd_and_right_are_taken() {
    let folder = Folder::new();
    for (name, content) in [
        ("marked.csv", "\u{feff}a,b\n1,2\n"),
        ("returns.csv", "a,b\r\n1,2\r\n"),
        ("old.csv", "a,b\r1,2\r"),
        ("blank.csv", "\n\na,b\n\n1,2\n\n"),
        ("open.csv", "a,b\n1,2"),
        ("quoted.csv", "a,b\n\"1,\n2\",\"\"\"3\"\"\"\n"),
        ("nothing.csv", "a,b\n,\n"),
        ("blank.jsonl", "\n{\"a\": 1}\n\n"),
        ("open.jsonl", "{\"a\": [1, {\"b\": null}]}"),
    ] {
        folder.file(name, content);
        let file = folder.file("army.yaml", format!("{USE}data: {{file: {name}}}\n"));
        runner(&["run", &file]).expect(0);
    }
}
