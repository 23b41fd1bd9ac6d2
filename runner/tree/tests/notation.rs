//! The YAML notation: what it takes and how it complains.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

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
    let (_, plan) = read(
        r#"
T:
  sequence:
    - action: {name: Shop.buy, args: [42, "{{ what }}"]}
    - wait: [1, 10]
    - wait: 250ms
    - wait
    - http: {get: "{{ target }}/cart/{{ id }}"}
    - {http: {post: "http://x/"}, label: Pay now}
    - log: hello {{ bot.id }}
    - set: {a: 1}
    - succeed_rate: 0.5
    - error: Darn
    - subtree: {name: Sub}
    - {subtree: Sub, label: Named}
    - {if: {when: "id > 3", then: done}}
    - done
Sub: {always_succeed: {label: inner, wait: 0}}
Root: {subtree: T}
"#,
    )
    .expect("a tree");
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
            "done",
        ]
    );
    let measured: Vec<bool> = plan.leaves().iter().map(|l| l.measured).collect();
    assert_eq!(measured.iter().filter(|m| **m).count(), 3);
    assert_eq!(plan.leaves()[0].base, "Shop.buy");
    assert_eq!(trace::trace(&plan, 1, &[]).expect("a leaf").len(), 1);
}

#[test]
fn mistakes_have_their_place_and_their_cure() {
    told(&[
        ("{}", "trees", "no tree is given"),
        ("[]", "trees", "expected a mapping of names to trees, found a list"),
        ("T: 5", "trees.T", "a node is a mapping with one kind, found the number 5"),
        ("T: foo", "trees.T", "\"foo\" is not a built-in action without arguments"),
        ("T: {}", "trees.T", "a node needs its kind"),
        ("T: {label: x}", "trees.T", "a node needs its kind"),
        ("T: {sequnce: []}", "trees.T", "unknown node \"sequnce\", expected one of sequence, select"),
        ("T: {sequence: [done], select: [done]}", "trees.T", "one kind, found \"select\", \"sequence\""),
        ("T: {sequence: []}", "trees.T.sequence", "the list is empty"),
        ("T: {sequence: done}", "trees.T.sequence", "expected a list of nodes"),
        ("T: {sequence: [done, {negate: 3}]}", "trees.T.sequence[1].negate", "a node is a mapping"),
        ("T: {repeat_n: {times: 1, child: done}}", "trees.T.repeat_n.times", "from 2 to"),
        ("T: {repeat_n: {times: 2.5, child: done}}", "trees.T.repeat_n.times", "from 2 to"),
        ("T: {repeat_n: {child: done}}", "trees.T.repeat_n", "the field times is missing"),
        ("T: {repeat_n: {'false': 3, child: done}}", "trees.T.repeat_n", "a bare n is read as false"),
        ("T: {repeat_n: {times: 3, 'n': 3, child: done}}", "trees.T.repeat_n", "keep one"),
        ("T: {repeat_n: {times: 3}}", "trees.T.repeat_n", "the field child is missing"),
        (
            "T: {random_weighted: [{weight: 0, child: done}]}",
            "trees.T.random_weighted",
            "all weights are zero",
        ),
        (
            "T: {random_weighted: [{weight: -1, child: done}]}",
            "trees.T.random_weighted[0].weight",
            "whole number from 0",
        ),
        (
            "T: {random_weighted: [{child: done}]}",
            "trees.T.random_weighted[0]",
            "the field weight is missing",
        ),
        (
            "T: {random_weighted: [{weight: 1, child: done, x: 1}]}",
            "trees.T.random_weighted[0]",
            "unknown field \"x\"",
        ),
        ("T: {subtree: 5}", "trees.T.subtree", "expected the name of a tree"),
        ("T: {action: Shop.sell}", "trees.T.action", "the action \"Shop.sell\" does not exist"),
        ("T: {action: {name: Shop.buy, args: [1]}}", "trees.T.action", "takes 2 arguments, not 1"),
        ("T: {action: {nam: a}}", "trees.T.action", "unknown field \"nam\", expected one of name, args"),
        ("T: {action: [a]}", "trees.T.action", "an action is a name"),
        ("T: {wait: [1, 2, 3]}", "trees.T.wait", "wait takes 0 to 2 arguments"),
        ("T: {wait: -1}", "trees.T.wait", "negative"),
        ("T: {log: '{{ x'}", "trees.T.log", "is not closed"),
        (
            "T: {http: {get: 'http://x', expect: {stats: 1}}}",
            "trees.T.http.expect",
            "unknown field \"stats\"",
        ),
        ("T: {done: {}}", "trees.T.done", "done takes no arguments"),
        ("T: {label: 5, wait: 1}", "trees.T.label", "expected text"),
        ("'': done", "trees[\"\"]", "a name has 1 to"),
    ]);
}

#[test]
fn mistakes_in_what_the_original_does_not_have() {
    told(&[
        ("T: {parallel: {}}", "trees.T.parallel", "the field children is missing"),
        ("T: {parallel: [done]}", "trees.T.parallel", "expected a mapping such as {succeed_on"),
        ("T: {parallel: {children: []}}", "trees.T.parallel.children", "the list is empty"),
        (
            "T: {parallel: {succeed_on: 2, children: [done]}}",
            "trees.T.parallel.succeed_on",
            "expected all, any or a whole number from 1 to 1",
        ),
        ("T: {parallel: {fail_on: none, children: [done]}}", "trees.T.parallel.fail_on", "expected all, any"),
        ("T: {parallel: {fail_on: 0, children: [done]}}", "trees.T.parallel.fail_on", "expected all, any"),
        ("T: {parallel: {fial_on: 1, children: [done]}}", "trees.T.parallel", "unknown field \"fial_on\""),
        ("T: {if: {when: a}}", "trees.T.if", "the field then is missing"),
        ("T: {if: {then: done}}", "trees.T.if", "the field when is missing"),
        ("T: {if: {when: 'a >', then: done}}", "trees.T.if.when", "\"a >\" is not an expression"),
        ("T: {if: {when: '{{ a }}', then: done}}", "trees.T.if.when", "write it without them, such as \"a\""),
        ("T: {if: {when: 5, then: done}}", "trees.T.if.when", "a condition is an expression"),
        ("T: {if: {when: '', then: done}}", "trees.T.if.when", "nothing stands between"),
        ("T: {if: {when: a, then: done, otherwise: done}}", "trees.T.if", "expected one of when, then, else"),
        ("T: {if: {when: a, then: foo, else: bar}}", "trees.T.if.else", "\"bar\" is not a built-in"),
        ("T: {timeout: {child: done}}", "trees.T.timeout", "the field after is missing"),
        ("T: {timeout: {after: 0, child: done}}", "trees.T.timeout.after", "must be above zero"),
        ("T: {timeout: {after: soon, child: done}}", "trees.T.timeout.after", "\"soon\""),
        ("T: {timeout: {after: 5}}", "trees.T.timeout", "the field child is missing"),
        ("T: {retry: {child: done}}", "trees.T.retry", "the field attempts is missing"),
        ("T: {retry: {attempts: 0, child: done}}", "trees.T.retry.attempts", "from 1 to"),
        ("T: {retry: {attempts: 2, delay: -1, child: done}}", "trees.T.retry.delay", "negative"),
        ("T: {subtree: {name: T2, with: [1]}}\nT2: done", "trees.T.subtree.with", "a mapping of arguments"),
        ("T: {subtree: {name: T2, with: {bot: 1}}}\nT2: done", "trees.T.subtree.with.bot", "cannot be set"),
        ("T: {subtree: {name: T2, with: {a: '{{ x'}}}\nT2: done", "trees.T.subtree.with.a", "is not closed"),
    ]);
}

/// Each text has a mistake at its path, whose words have this part.
fn told(mistakes: &[(&str, &str, &str)]) {
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
