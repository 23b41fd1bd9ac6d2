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

fn row(ended: &Value, name: &str) -> Value {
    let actions = ended["status"]["result"]["actions"].as_array().expect("actions");
    actions.iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name}: {ended:#}")).clone()
}

#[test]
fn bots_of_two_pods_meet_count_and_wake_each_other() {
    let namespace = Namespace::new("together");
    let tree = json!({"sequence": [
        {"shared": {"add": "before", "save": "mine"}},
        {"barrier": {"name": "all", "parties": 6}},
        {"check": {"name": "all came", "when": "shared.before % 6 == 0"}},
        {"barrier": {"name": "looked", "parties": 6}},
        {"shared": {"update": "doubled", "value": "{{ (old or 0) + 2 }}"}},
        {"if": {"when": "mine % 6 == 1", "then": {"signal": "go {{ (shared.before / 6) | int }}"}}},
        {"await": "go {{ (shared.before / 6) | int }}"},
        {"barrier": {"name": "end", "parties": 6}},
    ]});
    let look = json!({"check": {"name": "sums", "when": "shared.before == 24 and shared.doubled == 48"}});
    let fields = json!({"trees": {"T": tree, "Look": look}, "bots": 6, "iterationsPerBot": 4, "teardown": {"tree": "Look"}});
    namespace.apply(&run("together", &fields));
    let ended = namespace.wait_complete("together");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    for (name, succeed) in [("all came", 24), ("sums", 1), ("barrier(\"end\")", 24)] {
        assert_eq!(row(&ended, name)["succeed"], succeed, "{name}: {ended:#}");
        assert_eq!(row(&ended, name)["fail"], 0, "{name}: {ended:#}");
    }
}

#[test]
fn each_row_of_a_config_map_is_used_once_over_two_pods() {
    let namespace = Namespace::new("data");
    let rows: Vec<String> = (0..9).map(|n| format!("u{n},{n}")).collect();
    let map = |name: &str, rows: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"users.csv": rows}}).to_string()
    };
    namespace.apply(&map("users", &format!("user,number\n{}\n", rows.join("\n"))));
    namespace.apply(&map("bad", "user,number\na,1\nb\n"));
    let sums: Vec<String> = (0..9).map(|n| format!("shared.u{n} == {n} + 1")).collect();
    let data = |name: &str| json!({"configMap": {"name": name, "key": "users.csv"}, "exhausted": "Stop"});
    let fields = |name: &str| {
        json!({
            "trees": {
                "T": {"sequence": [{"shared": {"add": "{{ data.user }}", "by": "{{ data.number | int + 1 }}"}}, "done"]},
                "Look": {"check": {"name": "each once", "when": sums.join(" and ")}},
            },
            "bots": 4, "data": data(name), "teardown": {"tree": "Look"},
        })
    };
    namespace.apply(&run("rows", &fields("users")));
    namespace.apply(&run("bad-rows", &fields("bad")));
    namespace.apply(&run("no-rows", &fields("none")));
    let ended = namespace.wait_complete("rows");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    assert_eq!(ended["status"]["result"]["bots"]["started"], 9);
    assert_eq!(row(&ended, "each once")["succeed"], 1, "{ended:#}");
    let ended = namespace.wait_complete("bad-rows");
    assert_eq!(reason(&ended, "Failed"), Some("RunnerRefused"), "{ended:#}");
    let (_, message) = condition(&ended, "Failed").expect("Failed");
    let told = "line 3: 1 values, where the first line names 2 columns";
    assert!(message.starts_with("spec.data.configMap: ") && message.contains(told), "{message}");
    // A ConfigMap that is not there is the kubelet's to tell.
    namespace.eventually("the reason is told", |n| {
        let run = n.get("botrun/no-rows");
        matches!(reason(&run, "Running"), Some("FailedMount" | "ConfigError")).then_some(())
    });
}

#[test]
fn a_file_beside_the_spec_is_refused_where_there_is_none() {
    let namespace = Namespace::new("data-file");
    let fields =
        json!({"trees": {"T": {"log": "{{ data.user }}"}}, "bots": 2, "data": {"file": "users.csv"}});
    namespace.apply(&run("relative", &fields));
    let ended = namespace.wait_complete("relative");
    let (accepted, message) = condition(&ended, "Accepted").expect("Accepted");
    assert_eq!(accepted, "False");
    assert!(message.starts_with("spec.data.file: \"users.csv\" lies beside the run's file"), "{message}");
}
