//! The leader is killed while runs are in every phase there is, all at the same time: each goes on where it was.

use crate::army;
use crate::blind::hold_against_the_target;
use crate::cluster::{Namespace, condition, reason, root};
use crate::counts::{get, headers};
use crate::kills::kill_leader;
use serde_json::{Value, json};

/// What setup and teardown wait for before they end: a file that the test puts there.
const GO: &str = "files/go";

/// A run that is caught in one of its phases.
struct Caught {
    name: &'static str,
    fields: Value,
    /// Whether it is there. What leads it there is done by the way.
    is_there: fn(&Namespace, &str) -> bool,
    /// How many passes it comes to, if that is known.
    iterations: Option<u64>,
}

/// A request that must not be made twice, and then as many others as it takes until the test says so.
fn once(run: &str, page: &str) -> Value {
    let post = json!({"http": {
        "post": format!("{{{{ target }}}}/{page}"), "headers": headers(run), "expect": {"status": [200, 401]},
    }});
    let go = json!({"repeat_until_succeed": {"sequence": [{"wait": "200ms"}, get(run, GO)]}});
    json!({"sequence": [post, go]})
}

fn status_of(n: &Namespace, run: &str) -> Value {
    n.get(&format!("botrun/{run}"))
}

fn waits_for(n: &Namespace, run: &str, wanted: &str) -> bool {
    reason(&status_of(n, run), "Running") == Some(wanted)
}

fn has_job(n: &Namespace, job: &str) -> bool {
    n.try_kubectl(&["get", &format!("job/{job}")], None).status.success()
}

/// How many requests of a run the shop has seen.
fn requests(n: &Namespace, run: &str) -> u64 {
    let (stats, prefix) = (n.shop_stats(), format!("{run}/"));
    let senders = stats["senders"].as_object().into_iter().flatten();
    senders.filter(|(sender, _)| sender.starts_with(&prefix)).filter_map(|(_, count)| count.as_u64()).sum()
}

fn route(n: &Namespace, route: &str) -> u64 {
    n.shop_stats()["routes"][route].as_u64().unwrap_or_default()
}

fn patch(n: &Namespace, what: &str, patch: &Value) {
    n.kubectl(&["patch", what, "--type=merge", "-p", &patch.to_string()]);
}

/// Suspends it once it has done something; true when nothing of it goes on.
fn suspended(n: &Namespace, what: &str, run: &str) -> bool {
    if requests(n, run) < 10 {
        return false;
    }
    patch(n, what, &json!({"spec": {"suspend": true}}));
    let told = status_of(n, run);
    reason(&told, "Running") == Some("Suspended")
        && condition(&told, "Running").is_some_and(|(status, _)| status == "False")
}

/// Another name of the shop; or, with `nobody`, one that leads to nobody yet.
fn service(name: &str, leads_to: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
           "spec": {"selector": {"app": leads_to}, "ports": [{"port": 8080}]}})
}

/// A shop that answers in an hour: requests are in flight until they are given up.
fn open_slow_shop(namespace: &Namespace) {
    let target = std::fs::read_to_string(root().join("examples/target.yaml")).expect("the example");
    let slow = target
        .replace("name: target", "name: slow")
        .replace("app: target", "app: slow")
        .replace(r#""0.0.0.0:8080"]"#, r#""0.0.0.0:8080", --latency, 1h]"#);
    namespace.apply(&slow);
    namespace.kubectl(&["rollout", "status", "deployment/slow", "--timeout=120s"]);
}

/// Waits until bots find the shop by its name. After an outage of the API server the cluster's DNS hears of a new Service only
/// when its watch is there again, and what these runs do once must not fail for that.
fn wait_for_names(namespace: &Namespace) {
    let mut tries = 0;
    namespace.eventually("the cluster's DNS knows the shop", |n| {
        tries += 1;
        let (run, passes) = (format!("asks-{tries}"), json!([{"expect": "fail_rate < 1%"}]));
        n.apply(&army(&run, &json!({"iterations": 2, "runners": {"count": 1}, "thresholds": passes})));
        (n.wait_complete(&run)["status"]["outcome"] == "Passed").then_some(())
    });
}

/// Before their bots begin, and while they are at work. Two of them share a name of the shop, of which the second one
/// waits for the first.
fn before_and_at_work() -> Vec<Caught> {
    let alone =
        |fields: Value| with(json!({"target": "http://side:8080", "targetPolicy": "Exclusive"}), &fields);
    vec![
        Caught {
            name: "at-work",
            fields: alone(json!({})),
            is_there: |n, run| requests(n, run) > 50,
            iterations: None,
        },
        Caught {
            name: "queued",
            fields: alone(json!({"iterations": 20})),
            is_there: |n, run| waits_for(n, run, "Queued") && !has_job(n, run),
            iterations: Some(20),
        },
        Caught {
            name: "held",
            fields: json!({"suspend": true, "iterations": 20, "runners": {"count": 1}}),
            is_there: |n, run| waits_for(n, run, "Suspended") && !has_job(n, run),
            iterations: Some(20),
        },
    ]
}

/// In what is done once.
fn in_setup_and_teardown() -> Vec<Caught> {
    let fields = |run: &str, page: &str, part: &str| {
        let trees = json!({"T": get(run, "catalogue"), "Once": once(run, page)});
        json!({"trees": trees, "tree": "T", part: {"tree": "Once", "timeout": "5m"}, "iterations": 20})
    };
    vec![
        Caught {
            name: "setting-up",
            fields: fields("setting-up", "login", "setup"),
            is_there: |n, run| waits_for(n, run, "SettingUp") && route(n, "POST /login") == 1,
            iterations: Some(20),
        },
        Caught {
            name: "tearing-down",
            fields: fields("tearing-down", "checkout", "teardown"),
            is_there: |n, _| route(n, "POST /checkout") == 1,
            iterations: Some(20),
        },
    ]
}

/// In mid-run, by the run itself and by its Job.
fn suspended_at_work() -> Vec<Caught> {
    let fields = json!({"iterations": 400, "runners": {"count": 1}});
    vec![
        Caught {
            name: "suspended",
            fields: fields.clone(),
            is_there: |n, run| suspended(n, "botrun/suspended", run),
            iterations: Some(400),
        },
        Caught {
            name: "job-suspended",
            fields,
            is_there: |n, run| {
                let pods = ["get", "pods", "-l", "botarmy.dev/run=job-suspended", "-o", "name"];
                suspended(n, "job/job-suspended", run) && n.kubectl(&pods).trim().is_empty()
            },
            iterations: Some(400),
        },
    ]
}

/// Over, with a result that nobody takes yet.
fn exporting() -> Caught {
    let export = json!([{"http": {"url": "http://later:8080/files/result"}}]);
    Caught {
        name: "exporting",
        fields: json!({"iterations": 20, "runners": {"count": 1}, "export": export}),
        is_there: |n, run| {
            let told = status_of(n, run);
            let told = condition(&told, "Exported");
            told.is_some_and(|(status, message)| status == "Unknown" && message.contains("is at work"))
        },
        iterations: Some(20),
    }
}

/// These are there for a short while only, so that they come last.
fn short_ones() -> Vec<Caught> {
    vec![
        Caught {
            name: "draining",
            fields: json!({"target": "http://slow:8080", "gracePeriod": "25s", "runners": {"count": 1}}),
            is_there: |n, _| {
                let at_work = n.stats_of("slow")["requests"] == 4;
                if at_work {
                    patch(n, "botrun/draining", &json!({"spec": {"stop": true}}));
                }
                at_work
            },
            iterations: None,
        },
        Caught {
            name: "starting",
            fields: json!({"iterations": 40}),
            is_there: has_job,
            iterations: Some(40),
        },
    ]
}

fn with(mut fields: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().expect("fields") {
        fields[key] = value.clone();
    }
    fields
}

/// Applies them, and waits until all are where they shall be.
fn catch(namespace: &Namespace, all: &[Caught]) {
    for caught in all {
        let fields = with(json!({"targetPolicy": "Shared"}), &caught.fields);
        namespace.apply(&army(caught.name, &fields));
    }
    let mut missing: Vec<&Caught> = all.iter().collect();
    namespace.eventually("all runs are caught", |n| {
        missing.retain(|caught| !(caught.is_there)(n, caught.name));
        missing.is_empty().then_some(())
    });
}

/// Lets all of them go on.
fn let_go(namespace: &Namespace) {
    let go = format!("/api/v1/namespaces/{}/services/target:8080/proxy/{GO}", namespace.name());
    let put = namespace.try_kubectl(&["replace", "--raw", &go, "-f", "-"], Some("{}"));
    let said = String::from_utf8_lossy(&put.stderr).into_owned();
    assert!(route(namespace, "PUT /files/{name}") >= 1, "{said}");
    for what in ["botrun/held", "botrun/suspended", "job/job-suspended"] {
        patch(namespace, what, &json!({"spec": {"suspend": false}}));
    }
    patch(namespace, "botrun/at-work", &json!({"spec": {"stop": true}}));
    patch(namespace, "service/later", &json!({"spec": {"selector": {"app": "target"}}}));
}

fn ended(namespace: &Namespace, caught: &Caught) -> Value {
    let ended = namespace.wait_complete(caught.name);
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{}: {ended:#}", caught.name);
    if let Some(iterations) = caught.iterations {
        assert_eq!(status["result"]["iterations"], iterations, "{}: {ended:#}", caught.name);
    }
    assert_eq!(
        (&status["runners"]["lost"], &status["result"]["gaps"]),
        (&json!(0), &json!([])),
        "{}: {ended:#}",
        caught.name
    );
    if caught.name == "draining" {
        assert_eq!(status["result"]["requests"], namespace.stats_of("slow")["requests"], "{ended:#}");
    } else {
        hold_against_the_target(namespace, caught.name);
    }
    ended
}

/// The result was taken there by one pod, and told once.
fn was_exported_once(namespace: &Namespace) {
    namespace.eventually("the result is there", |n| {
        let run = n.get("botrun/exporting");
        (condition(&run, "Exported")?.0 == "True").then_some(())
    });
    let pods = namespace.kubectl(&["get", "pods", "-l", "botarmy.dev/export=exporting", "-o", "name"]);
    assert_eq!(pods.lines().count(), 1, "{pods}");
    assert_eq!(route(namespace, "PUT /files/{name}"), 2, "the test's own, and the result");
}

#[test]
fn the_leader_is_killed_in_each_phase() {
    let namespace = Namespace::new("leader");
    namespace.open_shop();
    open_slow_shop(&namespace);
    for service in [service("side", "target"), service("later", "nobody")] {
        namespace.apply(&service.to_string());
    }
    wait_for_names(&namespace);
    let mut all = before_and_at_work();
    all.extend(in_setup_and_teardown().into_iter().chain(suspended_at_work()).chain([exporting()]));
    catch(&namespace, &all);
    let short = short_ones();
    for one in &short {
        catch(&namespace, std::slice::from_ref(one));
    }
    all.extend(short);
    let began = status_of(&namespace, "at-work")["status"]["startTime"].clone();
    kill_leader(&namespace);
    for caught in all.iter().filter(|caught| !["exporting", "starting"].contains(&caught.name)) {
        let told = status_of(&namespace, caught.name);
        assert_eq!(told["status"]["outcome"], Value::Null, "{} was caught: {told:#}", caught.name);
    }
    let_go(&namespace);
    // And once more, while the last measures of a run are handed over.
    let ending = Caught {
        name: "handing-over",
        fields: json!({"iterations": 100}),
        is_there: |n, run| requests(n, run) >= 100,
        iterations: Some(100),
    };
    catch(&namespace, std::slice::from_ref(&ending));
    kill_leader(&namespace);
    ended(&namespace, &ending);
    for caught in &all {
        let ended = ended(&namespace, caught);
        if caught.name == "at-work" {
            assert_eq!(ended["status"]["startTime"], began, "{ended:#}");
        }
    }
    was_exported_once(&namespace);
    // What must not be done twice was not.
    for once in ["POST /login", "POST /checkout"] {
        assert_eq!(route(&namespace, once), 1, "{once}");
    }
}
