//! The pods of a run, as far as their logs go. Pure.

use botarmy_crds::{RUN_UID_LABEL, RUNNER_CONTAINER};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// The label of Kubernetes with the index of a runner.
const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// How far the container with the bots is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun, and has no log.
    Waiting,
    Running,
    Ended,
}

/// The stage of a pod.
pub(super) fn stage(pod: &Pod) -> Stage {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let runner = statuses.into_iter().flatten().find(|container| container.name == RUNNER_CONTAINER);
    match runner.and_then(|container| container.state.as_ref()) {
        Some(state) if state.running.is_some() => Stage::Running,
        Some(state) if state.terminated.is_some() => Stage::Ended,
        Some(_) | None => Stage::Waiting,
    }
}

/// What selects the pods of a run, or those of one of its runners.
pub(super) fn selector(uid: &str, runner: Option<u32>) -> String {
    let run = format!("{RUN_UID_LABEL}={uid}");
    runner.map_or_else(|| run.clone(), |index| format!("{run},{INDEX_LABEL}={index}"))
}

/// The pods by runner, and of each runner the oldest first.
pub(super) fn sorted(mut pods: Vec<Pod>) -> Vec<Pod> {
    let index = |pod: &Pod| pod.labels().get(INDEX_LABEL).and_then(|index| index.parse::<u32>().ok());
    pods.sort_by_key(|pod| (index(pod), pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    pods
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, index: &str, second: u32, states: &Value) -> Pod {
        let pod = json!({
            "metadata": {
                "name": name, "labels": {INDEX_LABEL: index}, "creationTimestamp": format!("2030-01-01T00:00:{second:02}Z"),
            },
            "status": {"containerStatuses": states},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(name: &str, state: &Value) -> Value {
        json!({"name": name, "ready": false, "restartCount": 0, "image": "i", "imageID": "", "state": state})
    }

    #[test]
    fn a_log_begins_with_its_container() {
        let running = json!({"running": {"startedAt": "2030-01-01T00:00:00Z"}});
        let ended = json!({"terminated": {"exitCode": 1}});
        let waiting = json!({"waiting": {"reason": "ErrImagePull"}});
        for (states, wanted) in [
            (json!([]), Stage::Waiting),
            (json!([container("runner", &waiting), container("side", &running)]), Stage::Waiting),
            (json!([container("side", &waiting), container("runner", &running)]), Stage::Running),
            (json!([container("runner", &ended)]), Stage::Ended),
        ] {
            assert_eq!(stage(&pod("a", "0", 0, &states)), wanted, "{states}");
        }
        assert_eq!(stage(&Pod::default()), Stage::Waiting);
    }

    #[test]
    fn runners_stand_in_their_order_and_replacements_behind_the_lost() {
        let none = json!([]);
        let pods = vec![
            pod("a-10-b", "10", 0, &none),
            pod("a-0-new", "0", 9, &none),
            pod("a-2-a", "2", 1, &none),
            pod("a-0-old", "0", 1, &none),
        ];
        let names: Vec<String> = sorted(pods).iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["a-0-old", "a-0-new", "a-2-a", "a-10-b"]);
    }

    #[test]
    fn one_runner_can_be_chosen() {
        assert_eq!(selector("u", None), "botarmy.dev/run-uid=u");
        assert_eq!(
            selector("u", Some(3)),
            "botarmy.dev/run-uid=u,batch.kubernetes.io/job-completion-index=3"
        );
    }
}
