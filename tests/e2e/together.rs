//! What bots of different pods do together, and the rows that they are given.

use super::cluster::{Namespace, condition, reason};
use serde_json::{Value, json};

fn run(name: &str, fields: &Value) -> String {
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {"runners": {"count": 2}, "tree": "T"},
    });
    for (key, value) in fields.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

fn row<'v>(ended: &'v Value, name: &str) -> &'v Value {
    super::row(&ended["status"]["result"], name)
}

#[test]
fn bots_of_two_pods_meet_count_and_wake_each_other() {
    let namespace = Namespace::new("together");
    let tree = json!({"sequence": [
        {"shared": {"add": "before", "save": "mine"}},
        {"if": {"when": "mine % 6 == 1", "then": {"shared": {"put": "the word", "value": {"by": "{{ mine }}"}}}}},
        {"barrier": {"name": "all", "parties": 6}},
        {"check": {"name": "all came", "when": "shared.before % 6 == 0"}},
        {"check": {"name": "what was put is there", "when": "shared['the word'].by == shared.before - 5"}},
        {"barrier": {"name": "looked", "parties": 6}},
        {"shared": {"update": "doubled", "value": "{{ (old or 0) + 2 }}"}},
        {"if": {"when": "mine % 6 == 1", "then": {"sequence": [
            {"shared": {"delete": "the word", "save": "word"}},
            {"check": {"name": "what was deleted is told", "when": "word.by == mine"}},
            {"signal": "go {{ (shared.before / 6) | int }}"},
        ]}}},
        {"await": "go {{ (shared.before / 6) | int }}"},
        {"check": {"name": "what was deleted is gone", "when": "shared['the word'] is not defined"}},
        {"barrier": {"name": "end", "parties": 6}},
    ]});
    let look = json!({"check": {"name": "sums", "when": "shared.before == 24 and shared.doubled == 48"}});
    let fields = json!({"trees": {"T": tree, "Look": look}, "bots": 6, "iterationsPerBot": 4, "teardown": {"tree": "Look"}});
    namespace.apply(&run("together", &fields));
    let ended = namespace.wait_complete("together");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    for (name, succeed) in [
        ("all came", 24),
        ("what was put is there", 24),
        ("what was deleted is told", 4),
        ("what was deleted is gone", 24),
        ("sums", 1),
        ("barrier(\"end\")", 24),
    ] {
        assert_eq!(row(&ended, name)["succeed"], succeed, "{name}: {ended:#}");
        assert_eq!(row(&ended, name)["fail"], 0, "{name}: {ended:#}");
    }
}

/// A run whose bots have nine rows, and whose teardown looks whether each was used once.
fn of_rows(data: &Value) -> Value {
    let sums: Vec<String> = (0..9).map(|n| format!("shared.u{n} == {n} + 1")).collect();
    json!({
        "trees": {
            "T": {"sequence": [{"shared": {"add": "{{ data.user }}", "by": "{{ data.number | int + 1 }}"}}, "done"]},
            "Look": {"check": {"name": "each once", "when": sums.join(" and ")}},
        },
        "bots": 4, "data": data, "teardown": {"tree": "Look"},
    })
}

/// Waits for the end of such a run.
fn uses_each_row_once(namespace: &Namespace, run: &str) {
    let ended = namespace.wait_complete(run);
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    assert_eq!(ended["status"]["result"]["bots"]["started"], 9);
    assert_eq!(row(&ended, "each once")["succeed"], 1, "{ended:#}");
}

/// What the runners say of rows with which they cannot begin.
fn refused(namespace: &Namespace, run: &str) -> String {
    let ended = namespace.wait_complete(run);
    assert_eq!(reason(&ended, "Failed"), Some("RunnerRefused"), "{ended:#}");
    assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
    condition(&ended, "Failed").expect("Failed").1.to_owned()
}

fn config_map(name: &str, file: &str, rows: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {file: rows}})
        .to_string()
}

#[test]
fn each_row_of_a_file_is_used_once_over_two_pods() {
    let namespace = Namespace::new("data-file");
    let rows: Vec<String> =
        (0..9).map(|n| json!({"user": format!("u{n}"), "number": n}).to_string()).collect();
    namespace.apply(&config_map("users", "users.jsonl", &rows.join("\n")));
    // A file beside the spec is there on a laptop only.
    for (name, file) in
        [("rows", "/rows/users.jsonl"), ("no-rows", "/rows/none.jsonl"), ("relative", "users.jsonl")]
    {
        let mut fields = of_rows(&json!({"file": file, "exhausted": "Stop"}));
        fields["template"] = json!({"spec": {
            "volumes": [{"name": "rows", "configMap": {"name": "users"}}],
            "containers": [{"name": "runner", "volumeMounts": [{"name": "rows", "mountPath": "/rows", "readOnly": true}]}],
        }});
        namespace.apply(&run(name, &fields));
    }
    uses_each_row_once(&namespace, "rows");
    let message = refused(&namespace, "no-rows");
    assert!(message.starts_with("spec.data.file: /rows/none.jsonl cannot be read: "), "{message}");
    let ended = namespace.wait_complete("relative");
    let (accepted, message) = condition(&ended, "Accepted").expect("Accepted");
    assert_eq!(accepted, "False");
    assert!(message.starts_with("spec.data.file: \"users.jsonl\" lies beside the run's file"), "{message}");
}

#[test]
fn each_row_of_a_config_map_is_used_once_over_two_pods() {
    let namespace = Namespace::new("data");
    let rows: Vec<String> = (0..9).map(|n| format!("u{n},{n}")).collect();
    namespace.apply(&config_map("users", "users.csv", &format!("user,number\n{}\n", rows.join("\n"))));
    namespace.apply(&config_map("bad", "users.csv", "user,number\na,1\nb\n"));
    for (name, map) in [("rows", "users"), ("bad-rows", "bad"), ("no-rows", "none")] {
        let data = json!({"configMap": {"name": map, "key": "users.csv"}, "exhausted": "Stop"});
        namespace.apply(&run(name, &of_rows(&data)));
    }
    uses_each_row_once(&namespace, "rows");
    let message = refused(&namespace, "bad-rows");
    let told = "line 3: 1 values, where the first line names 2 columns";
    assert!(message.starts_with("spec.data.configMap: ") && message.contains(told), "{message}");
    // A ConfigMap that is not there is the kubelet's to tell.
    namespace.eventually("the reason is told", |n| {
        let run = n.get("botrun/no-rows");
        matches!(reason(&run, "Running"), Some("FailedMount" | "ConfigError")).then_some(())
    });
}
