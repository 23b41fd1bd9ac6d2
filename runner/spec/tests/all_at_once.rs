//! A file with mistakes of every stage (scalars, shape, trees, subtrees, settings) tells all of them
//! at once, and each of them once.

use botarmy_spec::Run;
use botarmy_spec::file::{self, File, Reading};
use botarmy_tree::Actions;

fn mistakes(text: &str) -> Vec<String> {
    let Reading { file, mut findings } = match file::read(text) {
        Ok(reading) => reading,
        Err(findings) => return findings.iter().map(ToString::to_string).collect(),
    };
    if let File::Run { name, spec, path } = file {
        let name = name.unwrap_or_default();
        findings.later(Run::check(&spec, &name, &path, &Actions::built_in()).err().unwrap_or_default());
    }
    findings.into_vec().iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_of_every_stage_are_told_together() {
    let found = mistakes(
        r"
apiVersion: botarmy.dev/v1
kind: BotRun
metadata: {name: Wrong_Name}
spec:
  bost: 3
  bots: 0
  duration: yes
  iterations: 1.5
  refill: {max: 1}
  runners: {count: 0}
  target: shop
  tree: Nowhere
  env: [{name: 1A}]
  thresholds: [{expect: p95 is good, action: a}]
  trees:
    A:
      sequence:
        - action: {name: Shop.buy}
        - subtree: Missing
        - wait: no
        - repeat_n: {times: on, child: {sequnce: []}}
        - random_weighted: [{weight: off, child: {subtree: Other}}]
    B: {subtree: C}
    C: {negate: {subtree: B}}
",
    );
    for part in [
        "apiVersion: the apiVersion is",
        "metadata.name: a name is",
        "spec: unknown field \"bost\"",
        "spec.bots: a run starts with at least one bot",
        "spec.duration: YAML 1.1 and YAML 1.2 read",
        "spec.iterations: expected a whole number",
        "spec.refill: the field every is missing",
        "spec.runners.count: must be at least 1",
        "spec.target: \"shop\" is not an address",
        "spec.tree: there is no tree named \"Nowhere\"",
        "spec.env[0].name: the name \"1A\"",
        "spec.thresholds[0].expect: ",
        "spec.trees.A.sequence[0].action: the action \"Shop.buy\" does not exist",
        "spec.trees.A.sequence[1].subtree: there is no tree named \"Missing\"",
        "spec.trees.A.sequence[2].wait: YAML 1.1",
        "spec.trees.A.sequence[3].repeat_n.times: YAML 1.1",
        "spec.trees.A.sequence[3].repeat_n.child: unknown node \"sequnce\"",
        "spec.trees.A.sequence[4].random_weighted[0].weight: YAML 1.1",
        "spec.trees.A.sequence[4].random_weighted[0].child.subtree: there is no tree named \"Other\"",
        "spec.trees.C.negate.subtree: the trees call one another in a circle",
    ] {
        let times = found.iter().filter(|f| f.starts_with(part)).count();
        assert_eq!(times, 1, "{part} is told {times} times in {found:#?}");
    }
    assert_eq!(found.len(), 20, "{found:#?}");
}

#[test]
fn a_mistake_has_no_echo() {
    for (text, only) in [
        ("trees: 5", "trees: expected a mapping"),
        ("bots: 2", "(top): the field trees is missing"),
        ("trees: {T: {on: 1}}", "trees.T.on: YAML 1.1"),
        ("trees: {T: {1.50: 1}}", "trees.T: the key"),
        ("trees: {T: !x {wait: 1}}", "trees.T: tags"),
        ("trees: {A: done, B: done}\ntree: no", "tree: YAML 1.1"),
        ("trees: {A: done}\nthresholds: [{expect: 5}]", "thresholds[0].expect: expected text"),
        ("trees: {A: {sequnce: []}}\nthresholds: [{expect: count > 1, action: x}]", "trees.A: unknown node"),
        ("trees: {A: {http: {get: no}}}", "trees.A.http.get: YAML 1.1"),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].starts_with(only), "{text}: {found:#?}");
    }
}

#[test]
fn a_flood_of_mistakes_is_told_in_part() {
    let found = mistakes(&format!("trees: {{T: {{sequence: [{}]}}}}", "no,".repeat(5_000)));
    assert_eq!(found.len(), 1_001);
    assert_eq!(found[1_000], "(top): more than 1000 mistakes; mend these to see the others");
}
