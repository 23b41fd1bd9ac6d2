//! What this machine allows a run: open files and ports. They are counted before it begins, so that what will be
//! lacking is told beforehand and not only as failures of class `local`.

use crate::engine::Share;
use botarmy_spec::Run;
use botarmy_spec::load::Model;
use botarmy_tree::action::Call;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside the connections: the runtime's, outputs, the coordinator.
const OTHER_FILES: u64 = 64;
/// Where Linux says which ports a connection may begin from.
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What will be lacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lacking {
    /// Files.
    #[error(
        "{bots} bots with a connection each, and only {allowed} open files are allowed: some requests will fail here; raise the limit (ulimit -Hn), or take more runners"
    )]
    Files {
        /// Bots of this runner at its height.
        bots: u64,
        /// The limit of open files.
        allowed: u64,
    },
    /// Ports.
    #[error(
        "{bots} bots with a connection each, and only {allowed} ports to begin from: requests to one address will fail here beyond that; widen net.ipv4.ip_local_port_range, or take more runners"
    )]
    Ports {
        /// Bots of this runner at its height.
        bots: u64,
        /// Ports for connections to one address.
        allowed: u64,
    },
}

/// Raises the limit of open files as far as that is allowed, and tells what a runner's share of a run will lack.
pub(crate) fn prepare(run: &Run, share: Share) -> Vec<Lacking> {
    let ports = std::fs::read_to_string(PORTS).ok().and_then(|range| count(&range));
    lacking(connections(run, share), raise_open_files(), ports)
}

/// The limit of open files as it is now; none without a limit.
fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if raised.is_ok() { maximum } else { current }
}

/// How many ports a range has, such as `32768 60999`.
fn count(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else { return None };
    Some(last.checked_sub(first)? + 1)
}

/// How many bots with connections this runner has at its height. Those that come by a rate are as many as the
/// target lets them become, which nobody knows beforehand.
fn connections(run: &Run, share: Share) -> u64 {
    let requests = |call: &Call| matches!(call, Call::Http(_));
    let closed = run.scenarios.iter().filter(|s| matches!(s.load.model, Model::Closed(_)));
    let connected = closed.filter(|s| s.plan.leaves().iter().any(|leaf| requests(&leaf.call)));
    connected.map(|s| u64::from(share.bots(s.load.peak()))).sum()
}

fn lacking(bots: u64, files: Option<u64>, ports: Option<u64>) -> Vec<Lacking> {
    let files = files.filter(|allowed| bots + OTHER_FILES > *allowed);
    let ports = ports.filter(|allowed| bots > *allowed);
    let files = files.map(|allowed| Lacking::Files { bots, allowed });
    files.into_iter().chain(ports.map(|allowed| Lacking::Ports { bots, allowed })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_spec::BotRunSpec;
    use botarmy_tree::{Actions, Path};
    use serde_json::json;

    #[test]
    fn what_will_be_lacking_is_counted() {
        let files = |bots, allowed| Lacking::Files { bots, allowed };
        let ports = |bots, allowed| Lacking::Ports { bots, allowed };
        for (bots, open, range, expected) in [
            (100, Some(164), Some(100), vec![]),
            (101, Some(164), Some(100), vec![files(101, 164), ports(101, 100)]),
            (1_000_000, None, None, vec![]),
        ] {
            assert_eq!(lacking(bots, open, range), expected, "{bots}");
        }
        for (range, expected) in
            [("32768\t60999\n", Some(28_232)), ("5 5", Some(1)), ("6 5", None), ("x", None), ("", None)]
        {
            assert_eq!(count(range), expected, "{range}");
        }
    }

    #[test]
    fn only_bots_that_make_requests_need_connections() {
        let get = json!({"http": {"get": "http://h/"}});
        let connections_of = |spec: serde_json::Value, share| {
            let spec: BotRunSpec = serde_json::from_value(spec).expect("a spec");
            let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run");
            connections(&run, share)
        };
        let trees = json!({"Get": get, "Log": {"log": "a"}});
        let scenarios = json!([
            {"name": "a", "tree": "Get", "stages": [{"duration": "1s", "bots": 300}, {"duration": "1s", "bots": 0}]},
            {"name": "b", "tree": "Log", "bots": 500},
            {"name": "c", "tree": "Get", "arrivalRate": 5, "duration": "1s"},
        ]);
        assert_eq!(connections_of(json!({"trees": trees, "scenarios": scenarios}), Share::WHOLE), 300);
        let half = Share { index: 0, of: 2 };
        assert_eq!(connections_of(json!({"trees": {"T": get}, "bots": 11}), half), 6);
    }
}
