//! The walk with a clock: what is told to it when it is due, and what a bot keeps for it.

use crate::model::{BOT, Due, Event, Grain, HORIZON, Log, Moment, SEED, fate, moment, seen};
use botarmy_tree::walk::Verdict;
use botarmy_tree::{
    Actions, Context, Effect, FrameId, Input, LeafId, Path, Plan, RunScope, Scope, Template, Walk, notation,
};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) fn plan(trees: &Value) -> Plan {
    let trees = notation::read(trees, &Path::top(), &Actions::built_in().opaque()).expect("trees");
    Plan::compile_entry(&trees, "T").expect("a plan").with_seed(SEED)
}

struct Clock<'p> {
    plan: &'p Plan,
    grain: Grain,
    now: Moment,
    due: BTreeMap<Moment, (Due, Input)>,
    /// All that ever ran.
    known: BTreeMap<Due, Input>,
    /// The arguments of each call since its last entry.
    frames: Vec<Option<Context>>,
    log: Log,
    ended: Option<bool>,
    /// In this step.
    entered: bool,
    given_up: Vec<(Due, Input)>,
    /// How many things were due at the same time as another.
    at_once: usize,
}

fn input(leaf: LeafId, verdict: bool) -> Input {
    Input::Leaf(leaf, if verdict { Verdict::Succeed } else { Verdict::Fail })
}

impl Clock<'_> {
    fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Bind(frame) => self.bind(frame),
            Effect::Enter(leaf) => {
                self.entered = true;
                let (takes, verdict) = fate(leaf.index(), self.now.0, self.grain);
                let sees =
                    self.sees(self.plan.leaf(leaf).frame, &Template::text(&seen()).expect("a template"));
                self.log.push((self.now, Event::Entered(leaf.index(), text(&sees))));
                self.wait(takes, Due::Leaf(leaf.index()), input(leaf, verdict));
            }
            Effect::Arm(timer) => {
                let takes = self.plan.timers()[timer.index()].duration.as_nanos();
                self.wait(takes.try_into().expect("short"), Due::Timer(timer.index()), Input::Timer(timer));
            }
            Effect::Cancel(leaf) | Effect::CutOff(leaf) => {
                self.log.push((self.now, Event::Cancelled(leaf.index())));
                self.give_up(Due::Leaf(leaf.index()), input(leaf, true));
            }
            Effect::Disarm(timer) => self.give_up(Due::Timer(timer.index()), Input::Timer(timer)),
            Effect::Ended(verdict) => self.ended = Some(verdict == Verdict::Succeed),
        }
    }

    fn wait(&mut self, takes: u64, due: Due, input: Input) {
        let at = moment(self.now.0 + takes, due);
        self.known.insert(due, input);
        self.at_once += usize::from(self.due.keys().any(|(time, _)| *time == at.0));
        assert!(self.due.insert(at, (due, input)).is_none(), "{due:?} runs twice");
    }

    fn give_up(&mut self, given_up: Due, input: Input) {
        assert!(!self.entered, "{given_up:?} is given up before anything else is entered");
        let before = self.due.len();
        self.due.retain(|_, (due, _)| *due != given_up);
        assert_eq!(self.due.len() + 1, before, "{given_up:?} does not run, or runs twice");
        self.given_up.push((given_up, input));
    }

    fn bind(&mut self, frame: FrameId) {
        let plan = self.plan;
        let record = &plan.frames()[frame.index()];
        let with = record.with.iter().map(|(name, value)| (name.clone(), self.sees(record.outer, value)));
        let with = with.collect();
        self.frames[frame.index()] = Some(with);
    }

    /// What a template comes to for one that sees these arguments.
    fn sees(&self, frame: Option<FrameId>, template: &Template) -> Value {
        let own: Context = [("now", self.now.0.to_string()), ("b", "own".to_owned())]
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into();
        let run = RunScope::default();
        let arguments = frame.map(|f| self.frames[f.index()].as_ref().expect("bound before it is entered"));
        template.render(Scope { arguments, ..Scope::new(&run, BOT, &own) }).expect("a value")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// What became of a walk.
pub(crate) struct Walked {
    pub(crate) end: Option<(Moment, bool)>,
    pub(crate) log: Log,
    pub(crate) at_once: usize,
}

pub(crate) fn walked(plan: &Plan, grain: Grain) -> Walked {
    let mut walk = Walk::new(plan, BOT);
    let frames = vec![None; plan.frames().len()];
    let mut clock = Clock {
        plan,
        grain,
        now: (0, 0),
        due: BTreeMap::new(),
        known: BTreeMap::new(),
        frames,
        log: Log::new(),
        ended: None,
        entered: false,
        given_up: Vec::new(),
        at_once: 0,
    };
    let mut next = Some(Input::Start);
    while let Some(input) = next {
        clock.entered = false;
        plan.step(&mut walk, input, &mut |effect| clock.take(effect)).expect("what runs");
        refuses_what_was_given_up(plan, &mut walk, &mut clock);
        if let Some(verdict) = clock.ended {
            assert!(clock.due.is_empty(), "nothing runs after the end");
            refuses_all(plan, &mut walk, &clock.known);
            return Walked { end: Some((clock.now, verdict)), log: clock.log, at_once: clock.at_once };
        }
        next = clock.due.first_entry().filter(|first| *first.key() <= HORIZON).map(|first| {
            clock.now = *first.key();
            let (due, input) = first.remove();
            if let (Due::Leaf(leaf), Input::Leaf(_, verdict)) = (due, input) {
                clock.log.push((clock.now, Event::Answered(leaf, verdict == Verdict::Succeed)));
            }
            input
        });
    }
    // What still runs at the horizon is cancelled, as the model does.
    plan.step(&mut walk, Input::Start, &mut |effect| {
        if let Effect::Cancel(leaf) = effect {
            clock.log.push((HORIZON, Event::Cancelled(leaf.index())));
        }
    })
    .expect("a start");
    Walked { end: None, log: clock.log, at_once: clock.at_once }
}

/// What comes of something that was given up at the same time comes too late.
fn refuses_what_was_given_up(plan: &Plan, walk: &mut Walk, clock: &mut Clock<'_>) {
    for (due, input) in std::mem::take(&mut clock.given_up) {
        if clock.due.values().all(|(other, _)| *other != due) {
            refuses(plan, walk, input);
        }
    }
}

/// After the end nothing that ever ran is waited for.
fn refuses_all(plan: &Plan, walk: &mut Walk, known: &BTreeMap<Due, Input>) {
    for input in known.values() {
        refuses(plan, walk, *input);
    }
}

/// It is told as stale, and nothing moves.
fn refuses(plan: &Plan, walk: &mut Walk, input: Input) {
    let before = walk.clone();
    let moved = plan.step(walk, input, &mut |effect| panic!("{input:?} leads to {effect:?}"));
    assert!(moved.is_err(), "{input:?} is taken");
    assert_eq!(*walk, before);
}
