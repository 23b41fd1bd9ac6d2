//! Faults at random, drawn from a seed, for as long as one likes: see `make chaos`. Each round is a run of its own; while
//! its bots are at work a few things go wrong, and at its end it is held against the target's own count.

use crate::blind::hold_against_the_target;
use crate::cluster::{Namespace, reason};
use crate::machine::{Cordoned, Cut, Killed, Stopped, evict, kill_if_alive, leader, operators, runner_now};
use crate::outages::pass;
use crate::{army, until_requests};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How many runners a run has.
const RUNNERS: u8 = 3;
/// How long a run may take to its end, in seconds: the kubelet waits for up to five minutes before it starts an operator
/// again that was killed time and again, and meanwhile the runners stop by themselves.
const PATIENCE: u64 = 900;
/// How often one runner may be lost before its run is given up.
const LOSSES: u32 = 3;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    RunnerKilled,
    LeaderKilled,
    OperatorsKilled,
    RunnerAndLeaderKilled,
    ApiServerStopped,
    ApiServerKilled,
    EtcdStopped,
    ControllersStopped,
    KubeletStopped,
    RunnerCutOff,
    PodDeleted,
    PodEvicted,
    EvictedAndCordoned,
    Scaled,
    Suspended,
    JobSuspended,
    BrokenNeighbour,
    FailingNeighbour,
    Deleted,
}

impl Fault {
    const ALL: [Self; 19] = [
        Self::RunnerKilled,
        Self::LeaderKilled,
        Self::OperatorsKilled,
        Self::RunnerAndLeaderKilled,
        Self::ApiServerStopped,
        Self::ApiServerKilled,
        Self::EtcdStopped,
        Self::ControllersStopped,
        Self::KubeletStopped,
        Self::RunnerCutOff,
        Self::PodDeleted,
        Self::PodEvicted,
        Self::EvictedAndCordoned,
        Self::Scaled,
        Self::Suspended,
        Self::JobSuspended,
        Self::BrokenNeighbour,
        Self::FailingNeighbour,
        Self::Deleted,
    ];

    /// Whether the Job counts it as a loss of the runner.
    const fn loses_a_runner(self) -> bool {
        matches!(self, Self::RunnerKilled | Self::RunnerAndLeaderKilled | Self::PodDeleted)
    }
}

struct Dice(ChaCha8Rng);

impl Dice {
    /// A number of `from..=to`.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.next_u64() % (to - from + 1)
    }

    /// A number below `end`.
    fn one_of(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }

    fn seconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from * 1000, to * 1000))
    }
}

/// One run, and what was done to it.
struct Round {
    namespace: Namespace,
    load: Value,
    done: Vec<String>,
    losses: BTreeMap<u32, u32>,
    /// Requests of neighbours to the same target.
    others: u64,
}

impl Round {
    fn begin(number: u32, dice: &mut Dice) -> Self {
        let namespace = Namespace::new(&format!("chaos-{number}"));
        namespace.open_shop();
        let load = match dice.between(0, 2) {
            0 => json!({"bots": dice.between(3, 30), "iterations": dice.between(1500, 6000)}),
            1 => json!({"bots": dice.between(3, 30), "duration": format!("{}s", dice.between(20, 60))}),
            _ => {
                let rate = format!("{}/s", dice.between(20, 200));
                json!({"arrivalRate": rate, "duration": format!("{}s", dice.between(20, 60)), "pace": null})
            }
        };
        let mut fields = load.clone();
        fields["runners"] = json!({"count": RUNNERS});
        // Neighbours load the target beside it.
        fields["targetPolicy"] = json!("Shared");
        if load.get("arrivalRate").is_some() {
            fields["bots"] = Value::Null;
        }
        namespace.apply(&army("chaos", &fields));
        until_requests(&namespace, 50);
        Self { namespace, load, done: Vec::new(), losses: BTreeMap::new(), others: 0 }
    }

    fn is_over(&self) -> bool {
        self.namespace.get("botrun/chaos")["status"]["phase"] == "Finished"
    }

    /// The pod of a runner, as soon as there is one; none if the run is over before.
    fn pod(&self, index: u32) -> Option<String> {
        self.namespace.eventually("a runner, or the end", |n| match runner_now(n, "chaos", index) {
            None => self.is_over().then_some(None),
            there => Some(there),
        })
    }

    fn patch(&self, what: &str, patch: &Value) {
        // A run that has just ended has no Job any more: then nothing is patched.
        self.namespace.try_kubectl(&["patch", what, "--type=merge", "-p", &patch.to_string()], None);
    }

    /// Does it; whether it was done.
    fn strike(&mut self, fault: Fault, dice: &mut Dice) -> bool {
        let index = dice.one_of(u32::from(RUNNERS));
        let losses = self.losses.entry(index).or_default();
        if fault.loses_a_runner() && *losses >= LOSSES {
            return false;
        }
        *losses += u32::from(fault.loses_a_runner());
        if self.is_over() {
            return false;
        }
        let until = dice.seconds(3, 30);
        let done = match fault {
            Fault::RunnerKilled
            | Fault::LeaderKilled
            | Fault::OperatorsKilled
            | Fault::RunnerAndLeaderKilled => match self.kill(fault, index) {
                Some(done) => done,
                // Killed a moment ago, it may not be back yet.
                None => return false,
            },
            Fault::ApiServerStopped => stand_still("kube-apiserver", until),
            Fault::ApiServerKilled => {
                let killed = Killed::part("kube-apiserver");
                pass(until);
                drop(killed);
                format!("kube-apiserver killed, and started after {} s", until.as_secs())
            }
            Fault::EtcdStopped => stand_still("etcd", until),
            Fault::ControllersStopped => stand_still("kube-controller-manager", until),
            Fault::KubeletStopped => stand_still("kubelet", until),
            Fault::RunnerCutOff => {
                let until = until * 2;
                let Some(pod) = self.pod(index) else { return false };
                let _cut = Cut::off(&self.namespace, &pod);
                pass(until);
                format!("runner {index} cut off for {} s", until.as_secs())
            }
            Fault::PodDeleted => {
                let Some(pod) = self.pod(index) else { return false };
                self.namespace.kubectl(&["delete", "pod", &pod, "--wait=false"]);
                format!("pod {index} deleted")
            }
            Fault::PodEvicted => {
                let Some(pod) = self.pod(index) else { return false };
                evict(&self.namespace, &pod);
                format!("pod {index} evicted")
            }
            Fault::EvictedAndCordoned => {
                let Some(pod) = self.pod(index) else { return false };
                let _cordoned = Cordoned::node();
                evict(&self.namespace, &pod);
                pass(until);
                format!("pod {index} evicted, and the node cordoned for {} s", until.as_secs())
            }
            Fault::Scaled if self.load.get("arrivalRate").is_some() => return false,
            Fault::Scaled => {
                let bots = dice.between(3, 60);
                self.patch("botrun/chaos", &json!({"spec": {"bots": bots}}));
                format!("{bots} bots")
            }
            Fault::Suspended => self.suspended("botrun/chaos", until),
            Fault::JobSuspended => self.suspended("job/chaos", until),
            Fault::BrokenNeighbour => self.broken_neighbour(dice),
            Fault::FailingNeighbour => self.failing_neighbour(),
            Fault::Deleted => return false,
        };
        self.done.push(done);
        true
    }

    /// Kills who is alive of those that this fault is about; none if nobody is.
    fn kill(&self, fault: Fault, index: u32) -> Option<String> {
        let runner = || kill_if_alive(self.namespace.name(), &self.pod(index)?);
        let leader = || kill_if_alive("botarmy", &leader());
        Some(match fault {
            Fault::RunnerKilled => runner().map(|_| format!("runner {index} killed"))?,
            Fault::LeaderKilled => leader().map(|_| "leader killed".to_owned())?,
            Fault::OperatorsKilled => {
                let killed = operators().iter().filter_map(|name| kill_if_alive("botarmy", name)).count();
                format!("{killed} operators killed at once")
            }
            _ => {
                let killed = [(runner().is_some(), "runner"), (leader().is_some(), "leader")];
                let killed: Vec<&str> =
                    killed.into_iter().filter_map(|(was, who)| was.then_some(who)).collect();
                format!("killed at once: {}", killed.join(", "))
            }
        })
    }

    fn suspended(&self, what: &str, time: Duration) -> String {
        self.patch(what, &json!({"spec": {"suspend": true}}));
        pass(time);
        self.patch(what, &json!({"spec": {"suspend": false}}));
        format!("{} suspended for {} s", what.split('/').next().unwrap_or_default(), time.as_secs())
    }

    /// A run beside it that cannot start: it says why, and the other one does not suffer.
    fn broken_neighbour(&self, dice: &mut Dice) -> String {
        let container = |fields: Value| {
            let mut container = fields;
            container["name"] = "runner".into();
            json!({"spec": {"containers": [container]}})
        };
        let (wanted, template) = match dice.between(0, 2) {
            0 => ("ImagePull", container(json!({"image": "localhost/absent:1", "imagePullPolicy": "Never"}))),
            1 => ("Unschedulable", json!({"spec": {"nodeSelector": {"pool": "absent"}}})),
            _ => {
                let secret =
                    json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}});
                ("ConfigError", container(json!({"env": [secret]})))
            }
        };
        let fields =
            json!({"template": template, "targetPolicy": "Shared", "bots": 1, "runners": {"count": 1}});
        let name = format!("broken-{}", self.done.len());
        self.namespace.apply(&army(&name, &fields));
        let run = format!("botrun/{name}");
        self.namespace.eventually_within(PATIENCE, &format!("{name} says {wanted}"), |n| {
            (reason(&n.get(&run), "Running")? == wanted).then_some(())
        });
        self.namespace.kubectl(&["delete", &run, "--wait=false"]);
        format!("beside it a run that cannot start ({wanted})")
    }

    /// A run beside it that ends as soon as its threshold fails.
    fn failing_neighbour(&mut self) -> String {
        let name = format!("failing-{}", self.done.len());
        let threshold = json!({"expect": "count < 10", "abortOnFail": true});
        let fields = json!({"targetPolicy": "Shared", "duration": "5m", "thresholds": [threshold]});
        self.namespace.apply(&army(&name, &fields));
        let ended = self.namespace.wait_complete_within(PATIENCE, &name);
        assert_eq!(ended["status"]["outcome"], "Aborted", "{ended:#}");
        hold_against_the_target(&self.namespace, &name);
        self.others += ended["status"]["result"]["requests"].as_u64().expect("a number");
        "beside it a run whose threshold fails".into()
    }

    /// Deletes it in mid-run, and waits until nothing of it is left.
    fn delete(&mut self) -> String {
        self.namespace.kubectl(&["delete", "botrun/chaos", "--wait=false"]);
        self.namespace.eventually("nothing is left", |n| {
            let left = n.kubectl(&["get", "botruns,jobs,configmaps,pods", "-o", "name"]);
            let of_it = |line: &str| line.contains("/chaos");
            (!left.lines().any(of_it)).then_some(())
        });
        self.done.push("deleted".into());
        "nothing left behind | | |".into()
    }

    /// Waits for its end, holds it against the target, and tells it as the end of a line of the table.
    fn end(&self) -> String {
        let ended = self.namespace.wait_complete_within(PATIENCE, "chaos");
        let status = &ended["status"];
        assert_eq!(status["outcome"], "Passed", "{ended:#}");
        if let Some(iterations) = self.load.get("iterations") {
            let done = status["result"]["iterations"].as_u64();
            assert!(done >= iterations.as_u64(), "{done:?} of {iterations}: never less than asked for");
        }
        hold_against_the_target(&self.namespace, "chaos");
        let counted = &status["result"]["requests"];
        let seen = self.namespace.shop_stats()["requests"].as_u64().expect("a number") - self.others;
        let gaps = status["result"]["gaps"].as_array().map_or(0, Vec::len);
        format!("{} | {counted} of {seen} | {gaps} |", status["outcome"].as_str().unwrap_or_default())
    }
}

fn stand_still(part: &str, time: Duration) -> String {
    let _stopped = Stopped::part(part);
    pass(time);
    format!("{part} stopped for {} s", time.as_secs())
}

/// One run with its faults, as a line of the table.
fn round(number: u32, dice: &mut Dice) -> String {
    let mut round = Round::begin(number, dice);
    let faults = dice.between(1, 4);
    let mut is_deleted = false;
    for _ in 0..faults {
        pass(dice.seconds(0, 6));
        let most = u32::try_from(Fault::ALL.len()).expect("a few");
        let drawn = Fault::ALL[usize::try_from(dice.one_of(most)).expect("small")];
        if drawn == Fault::Deleted {
            is_deleted = true;
            break;
        }
        round.strike(drawn, dice);
    }
    let end = if is_deleted { round.delete() } else { round.end() };
    let load: Vec<String> = round
        .load
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| format!("{key} {}", value.to_string().trim_matches('"')))
        .collect();
    format!("| {number} | {} | {} | {end}", load.join(", "), round.done.join("; "))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

#[test]
fn faults_at_random() {
    let (seed, minutes) = (number("BOTARMY_CHAOS_SEED", 1), number("BOTARMY_CHAOS_MINUTES", 20));
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    println!("seed {seed}, {minutes} minutes\n");
    println!("| run | load | what was done to it | outcome | requests: counted of seen | gaps |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let (mut rounds, mut failed) = (0, Vec::new());
    while Instant::now() < until {
        rounds += 1;
        match catch_unwind(AssertUnwindSafe(|| round(rounds, &mut dice))) {
            Ok(line) => println!("{line}"),
            Err(_) => failed.push(rounds),
        }
    }
    println!("\n{rounds} runs, {} of them wrong", failed.len());
    assert!(failed.is_empty(), "runs {failed:?} did not end as they should; what they said is above");
}
