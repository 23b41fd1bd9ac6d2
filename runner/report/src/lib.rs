//! What bots measure: histograms, counters, their exact merge, thresholds and the result. Pure.
//!
//! The way of a number: a worker's [`Recorder`] keeps a [`Series`] (a [`Histogram`] per
//! [`Outcome`]) for each row of the plan; a drain makes [`Totals`]; a [`Delta`] carries them to the
//! coordinator, which adds them up; [`Threshold`]s judge the sum, [`RunResult`] states it and
//! [`summary()`] shows it. Adding is exact at every step, so the figures of an army are those one
//! recorder would have had.

pub mod bounded;
mod delta;
mod details;
mod exit;
mod health;
mod histogram;
mod observed;
mod outcome;
pub mod quantity;
mod recorder;
mod render;
mod result;
mod series;
mod summary;
pub mod terminal;
mod threshold;
mod timeline;
mod totals;

pub use delta::{Delta, MAX_SLICES, Slice};
pub use details::{Details, Least, MAX_SAMPLE_BYTES, MAX_SAMPLES, MAX_STATUSES, Samples, Statuses};
pub use exit::Exit;
pub use health::{Health, LATE};
pub use histogram::{DEFAULT_HIGHEST_US, Histogram, MAX_NATIVE_BUCKETS, MergeError, Native, QUANTILE_ONE};
pub use observed::{Failure, FailureClass, Observed, Part};
pub use outcome::Outcome;
pub use recorder::Recorder;
pub use render::{
    Counters, Distribution, Exported, Exposition, Family, Format, Kind, Label, Metric, Number,
    PROMETHEUS_BUCKETS, PROMETHEUS_CONTENT_TYPE, Unit, Value, exported, exported_measured, expose_run,
    expose_sum, prometheus, render,
};
pub use result::{
    ActionResult, BotCounts, DetailResult, Dimension, Facts, FailureResult, Figures, Gap, GeneratorResult,
    OTHER_STATUSES, PartFigures, PartResults, PointResult, RunOutcome, RunResult, Sample, Section,
    SectionAction, SeriesResult, ThresholdResult, WarmupResult,
};
pub use series::Series;
pub use summary::summary;
pub use threshold::{Judgement, MAX_EXPECT_BYTES, ParseError, Threshold};
pub use timeline::{MAX_POINTS, Presence, Timeline};
pub use totals::{
    GROUP_SEPARATOR, ITERATION, LATENESS, MAX_NAME_BYTES, MAX_ROWS, MAX_STAGES, OTHER, OTHER_CONTROL, Row,
    RowInfo, RowKey, Selector, Totals,
};
