//! How bots come and go, checked.

use crate::profile::Profile;
use crate::rate;
use crate::run::{MAX_BOTS, Refill};
use crate::types::{LoadSpec, RateText, Spacing, StageSpec, ThinkTimeSpec, Time};
use botarmy_tree::{Findings, Path, duration};
use std::time::Duration;

/// How many bots of an arrival rate are alive at most, unless it is said.
pub const DEFAULT_MAX_BOTS: u32 = 10_000;

/// How the bots of a scenario come and go.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// What starts bots.
    pub model: Model,
    /// How long it goes on, from its start.
    pub duration: Option<Duration>,
    /// How many iterations there are over all bots.
    pub iterations: Option<u64>,
    /// The names of its stages, in order.
    pub stages: Vec<String>,
}

/// What starts bots.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// So many are alive at once.
    Closed(Closed),
    /// So many begin in a time, whatever becomes of the others.
    Open(Open),
}

/// So many bots are alive at once; each makes one pass after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// How many.
    pub bots: Profile,
    /// How fast bots that ended are replaced; none: at once.
    pub refill: Option<Refill>,
    /// How many passes each bot makes.
    pub iterations_per_bot: Option<u64>,
    /// What lies between two passes of a bot.
    pub between: Between,
}

/// What lies between two passes of a bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// The passes begin so far apart, if they can.
    Pace(Duration),
    /// A time drawn evenly from these two.
    Even(Duration, Duration),
    /// A time drawn exponentially.
    Exponential {
        /// The mean, before it is cut.
        mean: Duration,
        /// What it is cut to.
        max: Duration,
    },
}

/// So many bots begin in a time, each for one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// How many a second.
    pub rate: Profile,
    /// How they lie in time.
    pub spacing: Spacing,
    /// How many are alive at most.
    pub max_bots: u32,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a run starts with at least one bot; write bots: 1 or more")]
    NoBots,
    #[error("at most {MAX_BOTS} bots are allowed, not {0}")]
    TooManyBots(u32),
    #[error("{0}")]
    Duration(#[from] duration::Error),
    #[error("{0}")]
    Rate(#[from] rate::Error),
    #[error("the time must be above zero")]
    NoTime,
    #[error("the rate must be above zero")]
    NoRate,
    #[error("{0} and {1} exclude each other; keep one")]
    Both(&'static str, &'static str),
    #[error("{0} is for an arrivalRate; leave it out, or give an arrivalRate")]
    OnlyOpen(&'static str),
    #[error("{0} is for a fixed number of bots; leave it out, or replace the stages by bots")]
    OnlyFixed(&'static str),
    #[error("a stage goes to a number of bots or to an arrivalRate; give one of them")]
    StageKind,
    #[error("two stages are called {0:?}; a stage without a name is called by its number, from 1")]
    SameStage(String),
    #[error("the stages go to numbers of bots and to arrivalRates; keep to one kind")]
    MixedStages,
    #[error("the stages never start a bot; give one of them a number above 0 and a time, or bots after it")]
    NothingHappens,
    #[error("the stages take {0:?}, longer than the duration of {1:?}; make them fit")]
    StagesTooLong(Duration, Duration),
    #[error("give from and to for an even range, or mean (and max) for exponential times")]
    ThinkTime,
    #[error("from is longer than to; exchange them")]
    Backwards,
}

/// Notes what is wrong with a load that lies at `path`, and makes the best of the rest.
pub(crate) fn check(spec: &LoadSpec, path: &Path, findings: &mut Findings) -> Load {
    let mut check = Check { path, findings };
    let arrives = spec.stages.iter().filter(|s| s.arrival_rate.is_some()).count();
    let is_open = spec.arrival_rate.is_some() || arrives > 0;
    check.stages(spec, arrives);
    let model = if is_open { Model::Open(check.open(spec)) } else { Model::Closed(check.closed(spec)) };
    let duration = check.duration(spec, &model);
    Load {
        duration,
        iterations: spec.iterations.and_then(|n| u64::try_from(n).ok()),
        stages: stage_names(&spec.stages),
        model,
    }
}

fn stage_names(stages: &[StageSpec]) -> Vec<String> {
    (1..).zip(stages).map(|(n, stage)| stage.name.clone().unwrap_or_else(|| format!("{n}"))).collect()
}

struct Check<'a> {
    path: &'a Path,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn note(&mut self, field: &str, error: &Error) {
        self.findings.note(&self.path.field(field), error);
    }

    fn exclude(&mut self, pairs: &[(bool, &'static str, bool, &'static str)]) {
        for (first, first_name, second, second_name) in pairs {
            if *first && *second {
                self.note(second_name, &Error::Both(first_name, second_name));
            }
        }
    }

    fn stages(&mut self, spec: &LoadSpec, arrives: usize) {
        let place = self.path.field("stages");
        for (i, stage) in spec.stages.iter().enumerate() {
            if stage.bots.is_some() == stage.arrival_rate.is_some() {
                self.findings.note(&place.index(i), &Error::StageKind);
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for (i, name) in stage_names(&spec.stages).into_iter().enumerate() {
            if !names.insert(name.clone()) {
                self.findings.note(&place.index(i).field("name"), &Error::SameStage(name));
            }
        }
        if arrives > 0 && spec.stages.iter().any(|s| s.bots.is_some()) {
            self.findings.note(&place, &Error::MixedStages);
        }
        let has_stages = !spec.stages.is_empty();
        self.exclude(&[
            (spec.bots.is_some(), "bots", has_stages, "stages"),
            (spec.arrival_rate.is_some(), "arrivalRate", has_stages, "stages"),
            (spec.bots.is_some(), "bots", spec.arrival_rate.is_some(), "arrivalRate"),
        ]);
    }

    fn open(&mut self, spec: &LoadSpec) -> Open {
        for (given, field) in [
            (spec.refill.is_some(), "refill"),
            (spec.pace.is_some(), "pace"),
            (spec.think_time.is_some(), "thinkTime"),
            (spec.iterations_per_bot.is_some(), "iterationsPerBot"),
        ] {
            self.exclude(&[(true, "arrivalRate", given, field)]);
        }
        let rate = match &spec.arrival_rate {
            Some(rate) => {
                let place = self.path.field("arrivalRate");
                let rate = self.rate_at(&place, rate);
                if rate == Some(0.0) {
                    self.findings.note(&place, &Error::NoRate);
                }
                Profile::constant(rate.unwrap_or(1.0))
            }
            None => self.ramps(spec, |check, place, stage| {
                let rate = stage.arrival_rate.as_ref()?;
                check.rate_at(&place.field("arrivalRate"), rate)
            }),
        };
        let max_bots = self.number("maxBots", spec.max_bots).unwrap_or(DEFAULT_MAX_BOTS);
        Open { rate, spacing: spec.spacing.unwrap_or_default(), max_bots }
    }

    fn closed(&mut self, spec: &LoadSpec) -> Closed {
        for (given, field) in [(spec.max_bots.is_some(), "maxBots"), (spec.spacing.is_some(), "spacing")] {
            if given {
                self.note(field, &Error::OnlyOpen(field));
            }
        }
        let has_stages = !spec.stages.is_empty();
        if has_stages && spec.iterations_per_bot.is_some() {
            self.note("iterationsPerBot", &Error::OnlyFixed("iterationsPerBot"));
        }
        let bots = if has_stages {
            self.ramps(spec, |_, _, stage| stage.bots.map(f64::from))
        } else {
            Profile::constant(f64::from(self.bots(spec)))
        };
        Closed {
            bots,
            refill: self.refill(spec),
            iterations_per_bot: spec.iterations_per_bot.and_then(|n| u64::try_from(n).ok()),
            between: self.between(spec),
        }
    }

    fn bots(&mut self, spec: &LoadSpec) -> u32 {
        match self.number("bots", Some(spec.bots.unwrap_or(1))) {
            None | Some(0) => self.note("bots", &Error::NoBots),
            Some(bots) => return bots,
        }
        1
    }

    /// A number of bots; the schema bounds it too, but the command line does not pass through it.
    fn number(&mut self, field: &str, number: Option<i32>) -> Option<u32> {
        let number = u32::try_from(number?).ok()?;
        if number > MAX_BOTS {
            self.note(field, &Error::TooManyBots(number));
            return Some(MAX_BOTS);
        }
        Some(number)
    }

    fn ramps(
        &mut self,
        spec: &LoadSpec,
        value: impl Fn(&mut Self, &Path, &StageSpec) -> Option<f64>,
    ) -> Profile {
        let mut points = Vec::new();
        for (i, stage) in spec.stages.iter().enumerate() {
            let place = self.path.field("stages").index(i);
            let duration = duration::from_value(&stage.duration.to_value()).map_err(Error::from);
            let duration = self.findings.ok(&place.field("duration"), duration);
            let value = value(self, &place, stage);
            points.push((duration.unwrap_or_default(), value.unwrap_or(1.0)));
        }
        let profile = Profile::ramps(points);
        let held = spec.duration.is_some() && profile.at(profile.end()) > 0.0;
        let happens = profile.sum_until(profile.end()) > 0.0 || held;
        if !happens {
            self.note("stages", &Error::NothingHappens);
        }
        profile
    }

    fn rate_at(&mut self, place: &Path, rate: &RateText) -> Option<f64> {
        self.findings.ok(place, rate::from_value(&rate.to_value()).map_err(Error::from))
    }

    fn refill(&mut self, spec: &LoadSpec) -> Option<Refill> {
        let refill = spec.refill.as_ref()?;
        let every = self.time_at(&self.path.field("refill").field("every"), &refill.every)?;
        Some(Refill { max: u32::try_from(refill.max).unwrap_or(1), every })
    }

    fn between(&mut self, spec: &LoadSpec) -> Between {
        self.exclude(&[(spec.pace.is_some(), "pace", spec.think_time.is_some(), "thinkTime")]);
        if let Some(pace) = &spec.pace {
            let pace = self.time_at(&self.path.field("pace"), pace);
            return pace.map_or(Between::Nothing, Between::Pace);
        }
        let think = spec.think_time.as_ref().and_then(|think| self.think_time(think));
        think.unwrap_or(Between::Nothing)
    }

    fn think_time(&mut self, think: &ThinkTimeSpec) -> Option<Between> {
        let place = self.path.field("thinkTime");
        match (&think.from, &think.to, &think.mean, &think.max) {
            (Some(from), Some(to), None, None) => {
                let from = duration::from_value(&from.to_value()).map_err(Error::from);
                let from = self.findings.ok(&place.field("from"), from)?;
                let to = self.time_at(&place.field("to"), to)?;
                if from > to {
                    self.findings.note(&place, &Error::Backwards);
                }
                Some(Between::Even(from, to.max(from)))
            }
            (None, None, Some(mean), max) => {
                let mean = self.time_at(&place.field("mean"), mean)?;
                let max = max.as_ref().and_then(|max| self.time_at(&place.field("max"), max));
                Some(Between::Exponential { mean, max: max.unwrap_or(mean.saturating_mul(10)) })
            }
            _ => {
                self.findings.note(&place, &Error::ThinkTime);
                None
            }
        }
    }

    fn duration(&mut self, spec: &LoadSpec, model: &Model) -> Option<Duration> {
        let given = spec.duration.as_ref().and_then(|d| self.time_at(&self.path.field("duration"), d));
        let profile = match model {
            Model::Closed(closed) => &closed.bots,
            Model::Open(open) => &open.rate,
        };
        if profile.is_constant() {
            return given;
        }
        if let Some(given) = given.filter(|given| *given < profile.end()) {
            self.note("stages", &Error::StagesTooLong(profile.end(), given));
        }
        given.or_else(|| Some(profile.end()))
    }

    /// A time above zero.
    fn time_at(&mut self, place: &Path, time: &Time) -> Option<Duration> {
        match duration::from_value(&time.to_value()) {
            Ok(Duration::ZERO) => self.findings.note(place, &Error::NoTime),
            Ok(duration) => return Some(duration),
            Err(error) => self.findings.note(place, &Error::Duration(error)),
        }
        None
    }
}

impl Load {
    /// For how many bots there must be a row at once: those of an arrival rate come as rows are free.
    pub(crate) fn least_rows(&self) -> Option<u32> {
        match &self.model {
            Model::Closed(closed) => Some(whole(closed.bots.peak())),
            Model::Open(_) => None,
        }
    }

    /// What goes through its stages: bots, or a rate.
    pub fn profile(&self) -> &Profile {
        match &self.model {
            Model::Closed(closed) => &closed.bots,
            Model::Open(open) => &open.rate,
        }
    }

    /// The most bots that it has alive at once.
    pub fn peak(&self) -> u32 {
        match &self.model {
            Model::Closed(closed) => whole(closed.bots.peak()),
            Model::Open(open) => open.max_bots,
        }
    }
}

/// A number of bots from a profile's value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is bounded")]
pub fn whole(value: f64) -> u32 {
    value.round() as u32
}
