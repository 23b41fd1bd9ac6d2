//! Whether a schedule can be followed, or all that is wrong with it. Pure: the clock is an argument.

use super::cron::{self, Cron};
use crate::controller::{canonical, check_spec};
use botarmy_crds::BotRunSchedule;
use botarmy_tree::{Finding, Findings, Path};
use jiff::Timestamp;
use kube::ResourceExt;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "this is no key that Kubernetes takes; write a name of at most 63 letters, digits, -, _ and ., or PREFIX/NAME with a domain as the prefix"
    )]
    Key,
}

/// The times of a schedule that makes sense.
pub(super) fn accept(schedule: &BotRunSchedule, now: Timestamp) -> Result<Cron, Vec<Finding>> {
    let (spec, path) = (&schedule.spec, Path::top().field("spec"));
    let mut findings = Findings::default();
    let zone = findings.ok(&path.field("timeZone"), cron::check_zone(&spec.time_zone));
    // The times are read all the same, so that all mistakes are told at once.
    let zone = if zone.is_some() { spec.time_zone.as_str() } else { "UTC" };
    let place = path.field("schedule");
    let cron = findings.ok(&place, Cron::read(&spec.schedule, zone));
    if cron.as_ref().is_some_and(|cron| cron.after(now).is_none()) {
        findings.note(&place, &cron::Error::Never);
    }
    let template = path.field("template");
    if let Some(metadata) = &spec.template.metadata {
        for (field, map) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
            for key in map.keys().filter(|key| !is_key(key)) {
                findings.note(&template.field("metadata").field(field).key(key), &Error::Key);
            }
        }
    }
    let run = check_spec(&canonical(&spec.template.spec), &schedule.name_any(), &template.field("spec"));
    findings.later(run.err().unwrap_or_default());
    match cron {
        Some(cron) if findings.is_empty() => Ok(cron),
        _ => Err(findings.into_vec()),
    }
}

/// Whether the API server takes this as a key of labels and annotations.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_domain = |prefix: &str| {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        prefix.len() <= 253 && prefix.split('.').all(|label| has_ends(label) && label.chars().all(lower))
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 63 && has_ends(name) && name.chars().all(plain) && prefix.is_none_or(is_domain)
}

/// Whether a text begins and ends with a letter or a digit.
fn has_ends(text: &str) -> bool {
    let fits = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    fits(text.chars().next()) && fits(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::yaml;
    use serde_json::{Value, json};

    fn schedule(spec: &Value) -> BotRunSchedule {
        serde_json::from_value(json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
            "metadata": {"name": "nightly", "namespace": "shop", "uid": "u"}, "spec": spec,
        }))
        .unwrap()
    }

    fn judged(spec: &Value) -> Vec<String> {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let findings = accept(&schedule(spec), now).err().unwrap_or_default();
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let good = json!({
            "schedule": "30 2 * * 1-5", "timeZone": "Europe/Berlin",
            "template": {
                "metadata": {"labels": {"team": "shop", "example.com/kind.of": "nightly"}},
                "spec": {"trees": {"T": {"wait": 1}}, "duration": "5m"},
            },
        });
        assert_eq!(judged(&good), Vec::<String>::new());
        let with = |pointer: &str, value: Value| {
            let mut spec = good.clone();
            *spec.pointer_mut(pointer).unwrap() = value;
            spec
        };
        let run = |run: Value| with("/template/spec", run);
        let mut both = with("/timeZone", json!("Mars/Olympus"));
        both["schedule"] = json!("61 * * * *");
        for (spec, parts) in [
            (with("/schedule", json!("* * * *")), vec!["spec.schedule: 4 fields, where five"]),
            (with("/schedule", json!("0 0 30 2 *")), vec!["spec.schedule: it is not due within"]),
            (
                with("/timeZone", json!("Europe/Berlim")),
                vec!["spec.timeZone: there is no time zone \"Europe/Berlim\""],
            ),
            (both, vec!["spec.timeZone: there is no", "spec.schedule: the minute \"61\""]),
            (
                with("/template/metadata/labels", json!({"a b": "c"})),
                vec!["spec.template.metadata.labels[\"a b\"]: this is no key"],
            ),
            (
                run(json!({"trees": {"T": {"wait": -1}}})),
                vec!["spec.template.spec.trees.T.wait: -1 is negative"],
            ),
            (
                run(json!({"trees": {"T": "done"}, "tree": "U", "target": "shop:80"})),
                vec!["spec.template.spec.target: ", "spec.template.spec.tree: there is no tree named \"U\""],
            ),
            (
                run(json!({"trees": {"T": {"http": {"get": "{{ target }}/a"}}}})),
                vec!["spec.template.spec.target: "],
            ),
            (
                run(json!({"trees": {"T": "done"}, "template": {"spec": {"restartPolicy": "Always"}}})),
                vec!["spec.template.spec.template.spec.restartPolicy: the operator sets this field"],
            ),
            (
                run(json!({"trees": {"T": "done"}, "data": {"file": "rows.csv"}})),
                vec!["spec.template.spec.data.file: \"rows.csv\" lies beside"],
            ),
        ] {
            let told = judged(&spec);
            assert_eq!(told.len(), parts.len(), "{told:#?}");
            for part in parts {
                assert!(told.iter().any(|line| line.starts_with(part)), "{part} is not in {told:#?}");
            }
        }
    }

    #[test]
    fn keys_are_judged_as_by_the_api_server() {
        let long = "a".repeat(63);
        for key in ["a", "A.b_c-d", "example.com/a", "x-1.example/a.B", &long] {
            assert!(is_key(key), "{key}");
        }
        for key in
            ["", "-a", "a-", "a b", "/a", "a/", "Example.com/a", "a..b/c", "a/b/c", "ä", &format!("{long}a")]
        {
            assert!(!is_key(key), "{key}");
        }
    }

    /// What the documentation shows is accepted.
    #[test]
    fn the_schedules_of_the_documentation_are_accepted() {
        let page = include_str!("../../../docs/schedules.md");
        let blocks = page.split("```yaml schedule\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut seen = 0;
        for block in blocks {
            let documents = yaml::read(block).unwrap();
            let [document] = documents.as_slice() else { panic!("one document: {block}") };
            assert!(document.findings.is_empty(), "{block}");
            assert_eq!(judged(&document.value["spec"]), Vec::<String>::new(), "{block}");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
