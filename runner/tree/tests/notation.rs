//! The YAML notation: what it takes and how it complains.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod mistakes;

use botarmy_tree::{Actions, Finding, Path, Plan, compile, notation, trace, yaml};

fn read(text: &str) -> Result<(notation::Trees, Plan), Vec<String>> {
    let shown = |findings: Vec<Finding>| findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let document = yaml::read(text).expect("YAML").remove(0);
    assert!(document.findings.is_empty(), "{:?}", document.findings);
    let trees = notation::read(
        &document.value,
        &Path::top().field("trees"),
        &Actions::built_in().with("Shop.buy", 2),
    )
    .map_err(shown)?;
    let entry = compile::entry(trees.keys(), None).expect("an entry").to_owned();
    let plan = Plan::compile_entry(&trees, &entry).map_err(shown)?;
    Ok((trees, plan))
}

fn refused(text: &str) -> Vec<String> {
    read(text).map(|(trees, _)| trees).expect_err(text)
}

#[test]
fn rows_are_named_as_written() {
    let (_, plan) = read(include_str!("data/every_form.yaml")).expect("a tree");
    let names: Vec<&str> = plan.leaves().iter().map(|l| l.name.as_str()).collect();
    assert_eq!(
        names,
        [
            r#"Shop.buy(42, "{{ what }}")"#,
            "wait(1, 10)",
            r#"wait("250ms")"#,
            "wait",
            "GET /cart/{{ id }}",
            "Pay now",
            r#"log("hello {{ bot.id }}")"#,
            r#"set({"a":1})"#,
            "succeed_rate(0.5)",
            r#"error("Darn")"#,
            "inner",
            "inner",
            "if(\"id > 3\")",
            "done",
            r#"shared.put("stock")"#,
            r#"shared.add("sold-{{ bot.id }}")"#,
            r#"shared.update("stock")"#,
            r#"shared.push("queue")"#,
            r#"shared.pop("queue")"#,
            r#"shared.delete("queue")"#,
            r#"signal("open")"#,
            r#"await("open")"#,
            r#"await("open")"#,
            r#"barrier("start")"#,
            "done",
        ]
    );
    let measured: Vec<bool> = plan.leaves().iter().map(|l| l.measured).collect();
    assert_eq!(measured.iter().filter(|m| **m).count(), 3);
    assert_eq!(plan.leaves()[0].base, "Shop.buy");
    assert_eq!(trace::trace(&plan, 1, &[]).expect("a leaf").len(), 1);
}

#[test]
fn a_label_names_the_row_and_leaves_the_action_what_it_is() {
    let text = r#"
T:
  sequence:
    - {action: {name: Shop.buy, args: [1, 2]}, label: dear}
    - {http: {get: "{{ target }}/a"}, label: both}
    - {http: {get: "{{ target }}/b"}, label: both}
    - {http: {get: "{{ target }}/a"}}
    - {sequence: [{http: {get: "{{ target }}/a"}, label: both}], label: elsewhere}
"#;
    let (_, plan) = read(text).expect("a tree");
    let rows: Vec<_> = plan.leaves().iter().map(|l| [&*l.name, &*l.base, l.short_name()]).collect();
    assert_eq!(
        rows,
        [
            ["dear", "Shop.buy", "dear"],
            // Of one row it cannot be told what is whose.
            ["both", "both", "both"],
            ["both", "both", "both"],
            ["GET /a", "GET /a", "GET /a"],
            ["both", "GET /a", "both"],
        ]
    );
}

#[test]
fn mistakes_have_their_place_and_their_cure() {
    told(mistakes::OF_THE_ORIGINAL);
}

#[test]
fn mistakes_in_what_the_original_does_not_have() {
    told(mistakes::OF_WHAT_WAS_ADDED);
}

/// Each text has a mistake at its path, whose words have this part.
fn told(mistakes: &[mistakes::Mistake]) {
    for (text, path, part) in mistakes {
        let findings = refused(text);
        let found = findings
            .iter()
            .any(|f| f.strip_prefix(path).is_some_and(|m| m.starts_with(": ") && m.contains(part)));
        assert!(found, "{text}: {path}: {part} is not in {findings:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let findings = refused("T: {sequence: [foo, {wait: x}, {select: [bar, {negate: baz}]}]}\nU: 5");
    assert_eq!(findings.len(), 5, "{findings:#?}");
}

#[test]
fn trees_are_looked_at_together() {
    let findings = refused(
        "root: {sequence: [{subtree: B}, {subtree: Nope}]}\nB: {subtree: C}\nC: {negate: {subtree: B}}",
    );
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].starts_with(
        "trees.C.negate.subtree: the trees call one another in a circle (\"B\" → \"C\" → \"B\")"
    ));
    assert!(findings[1].starts_with("trees.root.sequence[1].subtree: there is no tree named \"Nope\"; the document has \"B\", \"C\", \"root\""));
}

#[test]
fn expansion_is_bounded() {
    let mut text = String::from("root: {subtree: t0}\nt20: done\n");
    for i in 0..20 {
        text += &format!("t{i}: {{sequence: [{{subtree: t{n}}}, {{subtree: t{n}}}]}}\n", n = i + 1);
    }
    let findings = refused(&text);
    assert!(findings.len() == 1 && findings[0].contains("more than 100000 nodes"), "{findings:?}");
    let mut text = String::from("root: {subtree: t0}\nt300: done\n");
    for i in 0..300 {
        let line = format!("t{i}: {{negate: {{subtree: t{}}}}}\n", i + 1);
        text.push_str(&line);
    }
    assert!(refused(&text)[0].contains("nested deeper than 200 levels"));
}
