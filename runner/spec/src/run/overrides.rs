//! What is said beside a spec, in its place.

use crate::types::{BotRunSpec, Time};

/// What the command line may say in the place of a file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The tree to run.
    pub tree: Option<String>,
    /// The address of what is tested.
    pub target: Option<String>,
    /// Bots alive at once.
    pub bots: Option<i32>,
    /// How long.
    pub duration: Option<String>,
    /// How many iterations.
    pub iterations: Option<i64>,
    /// The seed.
    pub seed: Option<i64>,
    /// A file with the rows, wherever the file says that they come from.
    pub data: Option<String>,
}

impl Overrides {
    /// Puts what is given in the place of the spec's own.
    pub fn apply(self, spec: &mut BotRunSpec) {
        let Self { tree, target, bots, duration, iterations, seed, data } = self;
        let scenarios = spec.scenarios.iter_mut().filter_map(|scenario| scenario.load.data.as_mut());
        for source in scenarios.chain(spec.load.data.as_mut()) {
            if let Some(file) = &data {
                (source.file, source.inline, source.config_map) = (Some(file.clone()), None, None);
            }
        }
        spec.tree = tree.or(spec.tree.take());
        spec.target = target.or(spec.target.take());
        spec.load.bots = bots.or(spec.load.bots);
        spec.load.duration = duration.map(Time::Text).or(spec.load.duration.take());
        spec.load.iterations = iterations.or(spec.load.iterations);
        spec.seed = seed.or(spec.seed);
    }
}
