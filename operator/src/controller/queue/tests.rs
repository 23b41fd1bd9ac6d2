use super::*;
use botarmy_spec::TargetPolicy;

fn place(namespace: &str, leaves: bool) -> Place {
    Place {
        uid: "uid".to_owned(),
        namespace: namespace.to_owned(),
        name: "secret-plans".to_owned(),
        target: Some("t:80".to_owned()),
        policy: TargetPolicy::Exclusive,
        created: None,
        at_work: true,
        leaves,
    }
}

#[test]
fn who_waits_is_told_what_for_and_nothing_of_other_namespaces() {
    let loads = "loads the same target; targetPolicy: Shared in both lets them load it together";
    let leaves = "is over or was deleted, and its pods may load the same target until they have ended";
    let (own, foreign) = ("the BotRun shop/secret-plans", "a run of another namespace");
    for (wait, waiting, message) in [
        (Wait::Target(&place("shop", false)), Waiting::Target, format!("{own} {loads}")),
        (Wait::Target(&place("other", false)), Waiting::Target, format!("{foreign} {loads}")),
        (Wait::Target(&place("shop", true)), Waiting::Pods, format!("{own} {leaves}")),
        (Wait::Target(&place("other", true)), Waiting::Pods, format!("{foreign} {leaves}")),
        (
            Wait::Namespace(2),
            Waiting::Namespace,
            "2 runs may be at work in this namespace, and as many are".to_owned(),
        ),
        (
            Wait::Namespace(0),
            Waiting::Namespace,
            "no run may begin in this namespace, whose limit maxRuns is 0; ask whoever has installed the operator"
                .to_owned(),
        ),
    ] {
        let (told, cause) = told(&wait, "shop");
        assert_eq!((told, cause.reason, cause.message), (waiting, Reason::Queued, message), "{wait:?}");
    }
}
