//! The recursive model: it runs a whole node from one moment to another, and knows by itself when that is over.

use crate::trees::{Node, hole};
use botarmy_tree::draw::Draw;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// Nanoseconds of the test's own clock.
pub(crate) type Time = u64;
/// A time, and the place among those things that happen at this time: no two have the same.
pub(crate) type Moment = (Time, u64);

pub(crate) const SECOND: Time = 1_000_000_000;
/// What still runs then is given up.
pub(crate) const HORIZON: Moment = (40 * SECOND, u64::MAX);
pub(crate) const SEED: u64 = 42;
pub(crate) const BOT: u64 = 7;
/// Most leaves that a model may enter: trees that take more say no more than smaller ones.
const MAX_ENTERED: usize = 20_000;

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// So differently that no two are over at once.
    Fine,
    /// Whole seconds, few of them, so that many are.
    Coarse,
}

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Due {
    Leaf(usize),
    Timer(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A leaf with what it sees of its arguments.
    Entered(usize, String),
    Answered(usize, bool),
    Cancelled(usize),
    /// A node has drawn: only the model tells.
    Drawn(u32),
}

pub(crate) type Log = Vec<(Moment, Event)>;
/// The arguments of the innermost subtree.
pub(crate) type Arguments = BTreeMap<String, String>;

fn drawn(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What a leaf does that is entered at a time: how long it takes and what comes of it.
pub(crate) fn fate(leaf: usize, entered: Time, grain: Grain) -> (Time, bool) {
    let drawn = drawn((leaf, entered));
    let takes = match grain {
        Grain::Fine => drawn % (3 * SECOND) + 1,
        Grain::Coarse => (drawn % 3 + 1) * SECOND,
    };
    (takes, (drawn >> 40).is_multiple_of(2))
}

/// When something is over that is over at this time: in random order among all that is.
pub(crate) fn moment(time: Time, due: Due) -> Moment {
    (time, drawn((time, due)))
}

/// What a text comes to at this time for one that sees these arguments. Beside them the bot keeps a `b`.
pub(crate) fn rendered(text: &str, arguments: &Arguments, now: Time) -> String {
    let of = |name: &str, own: &str| arguments.get(name).map_or_else(|| own.to_owned(), String::clone);
    text.replace(&hole("now"), &now.to_string())
        .replace(&hole("a"), &of("a", "-"))
        .replace(&hole("b"), &of("b", "own"))
}

/// What leaves say of what they see.
pub(crate) fn seen() -> String {
    format!("{}|{}", hole("a"), hole("b"))
}

pub(crate) struct Model {
    grain: Grain,
    /// How often each node has drawn.
    visits: BTreeMap<u32, u32>,
    entered: usize,
}

type End = Option<(Moment, bool)>;

impl Model {
    /// How the tree ends and all that happens until then; nothing if that is too much.
    pub(crate) fn of(tree: &Node, grain: Grain) -> Option<(End, Log)> {
        let mut model = Self { grain, visits: BTreeMap::new(), entered: 0 };
        let mut log = Log::new();
        let end = model.run(tree, &Arguments::new(), (0, 0), HORIZON, &mut log);
        log.retain(|(_, event)| !matches!(event, Event::Drawn(_)));
        (!model.is_too_much()).then_some((end, log))
    }

    fn is_too_much(&self) -> bool {
        self.entered >= MAX_ENTERED
    }

    /// Runs a node from `from`; what has not ended at `until` is cancelled then, and has no end.
    fn run(&mut self, node: &Node, sees: &Arguments, from: Moment, until: Moment, log: &mut Log) -> End {
        match node {
            Node::Leaf(leaf) => self.leaf(*leaf, sees, from, until, log),
            Node::Sequence(children) => self.one_by_one(children, true, sees, from, until, log),
            Node::Select(children) => self.one_by_one(children, false, sees, from, until, log),
            Node::Random(number, children) => {
                log.push((from, Event::Drawn(*number)));
                let child = self.draw(*number, children);
                self.run(child, sees, from, until, log)
            }
            Node::RepeatN(times, child) => {
                let mut now = from;
                for _ in 0..*times {
                    now = self.run(child, sees, now, until, log)?.0;
                }
                Some((now, true))
            }
            Node::RepeatUntil(wanted, child) => {
                let mut now = from;
                loop {
                    let (end, verdict) = self.run(child, sees, now, until, log)?;
                    if verdict == *wanted {
                        return Some((end, true));
                    }
                    now = end;
                }
            }
            Node::Negate(child) => self.run(child, sees, from, until, log).map(|(end, v)| (end, !v)),
            Node::Always(verdict, child) => {
                self.run(child, sees, from, until, log).map(|(end, _)| (end, *verdict))
            }
            Node::Retry { attempts, delay, child } => {
                let mut now = from;
                for attempt in 1.. {
                    let (end, verdict) = self.run(child, sees, now, until, log)?;
                    if verdict || attempt == *attempts {
                        return Some((end, verdict));
                    }
                    now = delay.map_or(end, |(timer, delay)| moment(end.0 + delay, Due::Timer(timer)));
                    if now > until {
                        break;
                    }
                }
                None
            }
            Node::Timeout(timer, after, child) => {
                let over = moment(from.0 + after, Due::Timer(*timer));
                let ended = self.run(child, sees, from, until.min(over), log);
                ended.or((over <= until && !self.is_too_much()).then_some((over, false)))
            }
            Node::If { when, then, otherwise } => {
                let (end, verdict) = self.leaf(*when, sees, from, until, log)?;
                match (verdict, otherwise) {
                    (true, _) => self.run(then, sees, end, until, log),
                    (false, Some(otherwise)) => self.run(otherwise, sees, end, until, log),
                    (false, None) => Some((end, true)),
                }
            }
            Node::Parallel { succeed_on, fail_on, children } => {
                self.at_once((*succeed_on, *fail_on), children, sees, from, until, log)
            }
            Node::Subtree(with, child) => {
                let given = with.iter().map(|(name, text)| (name.clone(), rendered(text, sees, from.0)));
                self.run(child, &given.collect(), from, until, log)
            }
        }
    }

    fn one_by_one(
        &mut self,
        children: &[Node],
        goes_on: bool,
        sees: &Arguments,
        from: Moment,
        until: Moment,
        log: &mut Log,
    ) -> End {
        let mut now = from;
        for child in children {
            let (end, verdict) = self.run(child, sees, now, until, log)?;
            now = end;
            if verdict != goes_on {
                return Some((now, verdict));
            }
        }
        Some((now, goes_on))
    }

    fn leaf(&mut self, leaf: usize, sees: &Arguments, from: Moment, until: Moment, log: &mut Log) -> End {
        self.entered += 1;
        let (takes, verdict) = fate(leaf, from.0, self.grain);
        log.push((from, Event::Entered(leaf, rendered(&seen(), sees, from.0))));
        let end = moment(from.0 + takes, Due::Leaf(leaf));
        if end > until || self.is_too_much() {
            log.push((until, Event::Cancelled(leaf)));
            return None;
        }
        log.push((end, Event::Answered(leaf, verdict)));
        Some((end, verdict))
    }

    fn draw<'n>(&mut self, number: u32, children: &'n [(u64, Node)]) -> &'n Node {
        let visit = self.visits.entry(number).or_default();
        let sum = children.iter().map(|(weight, _)| weight).sum();
        let mut left = Draw::new(SEED, BOT, number, *visit).below(sum);
        *visit += 1;
        for (weight, child) in children {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return child,
            }
        }
        panic!("more was drawn than there is")
    }

    /// Children that run at once. Each is followed as if it were alone, as far as it can matter; then all of it
    /// is cut off at the moment of the verdict.
    fn at_once(
        &mut self,
        quorums: (usize, usize),
        children: &[Node],
        sees: &Arguments,
        from: Moment,
        until: Moment,
        log: &mut Log,
    ) -> End {
        let (mut ends, mut logs, mut end, mut bound) = (Vec::new(), Log::new(), None, until);
        for child in children {
            ends.extend(self.run(child, sees, from, bound, &mut logs));
            ends.sort_unstable();
            // Those that are not known yet can only make it earlier.
            end = verdict(&ends, quorums, children.len());
            bound = end.map_or(until, |(end, _)| end);
        }
        if let Some((end, _)) = end {
            self.cut(&mut logs, end);
        }
        log.append(&mut logs);
        end
    }

    /// Takes away what happened after a moment, when all that ran was cancelled.
    fn cut(&mut self, log: &mut Log, end: Moment) {
        let mut running = BTreeSet::new();
        for (moment, event) in std::mem::take(log) {
            match &event {
                Event::Drawn(number) if moment > end => {
                    *self.visits.entry(*number).or_default() -= 1;
                    continue;
                }
                _ if moment > end => continue,
                Event::Entered(leaf, _) => _ = running.insert(*leaf),
                Event::Answered(leaf, _) | Event::Cancelled(leaf) => _ = running.remove(leaf),
                Event::Drawn(_) => {}
            }
            log.push((moment, event));
        }
        log.extend(running.into_iter().map(|leaf| (end, Event::Cancelled(leaf))));
    }
}

/// When children have decided that ended like this, in this order.
fn verdict(ends: &[(Moment, bool)], (succeed_on, fail_on): (usize, usize), children: usize) -> End {
    let (mut succeeded, mut failed) = (0, 0);
    for (end, verdict) in ends {
        *(if *verdict { &mut succeeded } else { &mut failed }) += 1;
        let lost = failed >= fail_on || children - failed < succeed_on;
        if *verdict && succeeded >= succeed_on || !*verdict && lost {
            return Some((*end, *verdict));
        }
    }
    None
}
