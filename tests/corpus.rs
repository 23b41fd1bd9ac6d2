//! The corpus of broken runs, without a cluster: a laptop refuses what the cluster does, and the operator's checks and
//! the API server's rules say what the corpus says they say.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
#[path = "corpus/cases.rs"]
mod cases;

use botarmy_operator::controller::{canonical, check_spec};
use botarmy_spec::file::{self, File, MAX_RUN_NAME, Reading};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Finding, Path};
use cases::{Body, By, Case};
use serde_json::Value;
use std::collections::BTreeSet;

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// What `runner validate` says of a file with this text.
fn laptop(text: Vec<u8>) -> Vec<String> {
    let Ok(text) = String::from_utf8(text) else { return vec!["(top): is not text in UTF-8".into()] };
    let Reading { file, mut findings } = match file::read(&text) {
        Ok(reading) => reading,
        Err(findings) => return lines(&findings),
    };
    if let File::Run { name, spec, path } = file {
        let name = name.unwrap_or_else(|| "run".into());
        findings.later(Run::check(&spec, &name, &path, &Actions::built_in()).err().unwrap_or_default());
    }
    lines(&findings.into_vec())
}

/// What the operator says of a spec that the API server has taken.
fn operator(spec: &Value, name: &str) -> Result<Vec<String>, serde_json::Error> {
    let spec: BotRunSpec = serde_json::from_value(spec.clone())?;
    let refused = check_spec(&canonical(&spec), name, &Path::top().field("spec")).err();
    Ok(lines(&refused.unwrap_or_default()))
}

/// Each of these is in one of those.
fn are_said(wanted: &[String], told: &[String]) -> bool {
    wanted.iter().all(|part| told.iter().any(|line| line.contains(part.as_str())))
}

fn none_is_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_and_its_names_can_be_objects() {
    let cases = cases::all();
    let schedules = cases.iter().filter(|case| case.is_schedule()).count();
    assert!(schedules >= 20 && cases.len() - schedules >= 220, "{schedules} of {}", cases.len());
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(names.insert(case.object()), "{} is there twice", case.shown());
        let unknown =
            case.by == By::Apiserver && case.says.iter().all(|say| say.starts_with("unknown field"));
        assert!(!case.strict_only || unknown, "{} has another fault", case.shown());
        assert!(file::is_run_name(&case.name) && case.name.len() < MAX_RUN_NAME, "{}", case.shown());
        assert!(!case.says.is_empty() && case.says.iter().all(|say| !say.is_empty()), "{}", case.shown());
    }
}

/// The same file means the same on a laptop and on a cluster: also when it means nothing.
#[test]
fn a_laptop_refuses_what_a_cluster_does() {
    let mut wrong = Vec::new();
    for case in cases::all().iter().filter(|case| !case.is_schedule() && !case.cluster_only) {
        let told = laptop(case.text());
        let fits = match &case.laptop {
            Some(nothing) if nothing.is_empty() => told.is_empty(),
            Some(wanted) => are_said(wanted, &told),
            // The words of the schema are the API server's own.
            None if case.by == By::Apiserver => !told.is_empty(),
            None => are_said(&case.says, &told),
        };
        if !fits {
            let told: Vec<&String> = told.iter().take(20).collect();
            wrong.push(format!(
                "{}\n  {:?} is not {told:#?}",
                case.shown(),
                case.laptop.as_ref().unwrap_or(&case.says)
            ));
        }
    }
    none_is_wrong(&wrong);
}

#[test]
fn the_operator_says_what_is_wrong() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for case in cases::all().iter().filter(|case| case.by == By::Operator && !case.cluster_only) {
        let Body::Manifest(object) = &case.body else { continue };
        if case.is_schedule() {
            continue;
        }
        // What stands for the rest of a long message is the condition's.
        let says: Vec<String> = case.says.iter().filter(|say| !say.starts_with('…')).cloned().collect();
        match operator(&object["spec"], &case.name) {
            Ok(told) if are_said(&says, &told) => seen += 1,
            Ok(told) => wrong.push(format!("{}\n  {says:?} is not {told:#?}", case.shown())),
            Err(error) => wrong.push(format!("{}\n  cannot be read: {error}", case.shown())),
        }
    }
    none_is_wrong(&wrong);
    assert!(seen > 200, "{seen} cases");
}

/// A definition's schema, and the messages of its rules about a new object.
fn rules(number: usize) -> (Value, BTreeSet<String>) {
    let definitions = botarmy_crds::definitions().expect("the definitions");
    let crd = serde_json::to_value(&definitions[number].crd).expect("JSON");
    let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let messages = messages(&schema);
    (schema, messages)
}

fn messages(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Object(fields) => {
            let rules = fields.get("x-kubernetes-validations").and_then(Value::as_array);
            let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
            let own = rules.into_iter().flatten().filter(|rule| !text(rule, "rule").contains("oldSelf"));
            let own = own.map(|rule| text(rule, "message"));
            own.chain(fields.values().flat_map(messages)).collect()
        }
        Value::Array(items) => items.iter().flat_map(messages).collect(),
        _ => BTreeSet::new(),
    }
}

/// The object that a case holds, if it can be read.
fn object(case: &Case) -> Option<Value> {
    serde_json::from_slice(&case.text()).ok()
}

#[test]
fn each_rule_of_the_api_server_refuses_a_case_in_its_own_words() {
    let [(runs, of_runs), (schedules, of_schedules)] = [rules(0), rules(1)];
    // The rules about what runs are made from are those of runs.
    let own: BTreeSet<String> = of_schedules.difference(&of_runs).cloned().collect();
    for (schema, messages, is_schedule) in [(runs, of_runs, false), (schedules, own, true)] {
        assert!(messages.len() > 2, "{messages:?}");
        let compiled = kube_cel::compile_schema(&schema);
        let validator = kube_cel::Validator::new();
        let mut open = messages.clone();
        let cases = cases::all();
        let refused =
            cases.iter().filter(|case| case.by == By::Apiserver && case.is_schedule() == is_schedule);
        for (case, object) in refused.filter_map(|case| Some((case, object(case)?))) {
            let Err(told) = validator.validate_compiled(&compiled, &object, None) else { continue };
            for message in told.iter().map(|error| &error.message).filter(|m| messages.contains(*m)) {
                if case.says.iter().any(|say| message.contains(say.as_str())) {
                    open.remove(message);
                }
            }
        }
        assert!(open.is_empty(), "no case has these rules' words: {open:#?}");
    }
}
