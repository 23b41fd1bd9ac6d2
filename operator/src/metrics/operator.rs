//! What is told of the operator itself.

use super::{Called, CheckedIn, Kept, Loop, Metrics, NotConnected, Reconciled, Reconciling, Waiting};
use botarmy_report::{Exposition, Metric, Number, RunOutcome, Unit};
use std::sync::atomic::Ordering::Relaxed;

const RECONCILES: Metric =
    Metric::counter("botarmy_operator_reconciles_total", "Reconciles, by kind and result.");
const RECONCILE_TIMES: Metric =
    Metric::histogram("botarmy_operator_reconcile_duration_seconds", "Times of reconciles.");
const BACKING_OFF: Metric = Metric::gauge(
    "botarmy_operator_runs_backing_off",
    "Runs whose last reconcile failed and that wait for another try.",
);
const SCHEDULES_BACKING_OFF: Metric = Metric::gauge(
    "botarmy_operator_schedules_backing_off",
    "Schedules whose last reconcile failed and that wait for another try.",
);
const WAITING: Metric =
    Metric::gauge("botarmy_operator_runs_waiting", "Runs that may not begin yet, by reason.");
const QUEUE_ERRORS: Metric = Metric::counter(
    "botarmy_operator_queue_errors_total",
    "Failures of the watches that tell what is to be reconciled.",
);
const CALLS: Metric =
    Metric::counter("botarmy_operator_api_calls_total", "Calls to the API server, by result.");
const CHECK_INS: Metric =
    Metric::counter("botarmy_operator_check_ins_total", "Check-ins of runners, by result.");
const CHECK_IN_TIMES: Metric = Metric::histogram(
    "botarmy_operator_check_in_duration_seconds",
    "Times in which check-ins were answered.",
);
const CHECK_IN_SIZES: Metric =
    Metric::histogram("botarmy_operator_check_in_bytes", "Sizes of the bodies of accepted check-ins.");
const CONNECTIONS: Metric =
    Metric::gauge("botarmy_operator_connections", "Connections of runners that are open.");
const NOT_CONNECTED: Metric = Metric::counter(
    "botarmy_operator_connections_refused_total",
    "Connections of runners that did not come about, by reason.",
);
const STATUSES: Metric =
    Metric::counter("botarmy_operator_status_writes_total", "Statuses of runs that were written.");
const EVENTS_LOST: Metric =
    Metric::counter("botarmy_operator_events_lost_total", "Events that could not be told.");
const KEPT: Metric =
    Metric::counter("botarmy_operator_checkpoint_writes_total", "Writes of checkpoints, by result.");
const KEEP_TIMES: Metric = Metric::histogram(
    "botarmy_operator_checkpoint_duration_seconds",
    "Times in which checkpoints were packed and written.",
);
const KEPT_SIZES: Metric = Metric::histogram(
    "botarmy_operator_checkpoint_bytes",
    "Sizes of the checkpoints that were written; a ConfigMap holds a mebibyte.",
);
const ENDED: Metric =
    Metric::counter("botarmy_operator_runs_finished_total", "Runs that have ended, by outcome.");
const LEADER: Metric =
    Metric::gauge("botarmy_operator_leader", "1 for the operator that leads, 0 for the others.");
const EPOCH: Metric =
    Metric::gauge("botarmy_operator_epoch", "The change of the leader that this operator knows of.");
const CERTIFICATE_ENDS: Metric = Metric::gauge(
    "botarmy_operator_certificate_expiration_timestamp_seconds",
    "When a certificate ends, in seconds since 1970.",
);
const CERTIFICATE_ERRORS: Metric = Metric::counter(
    "botarmy_operator_certificate_errors_total",
    "Looks at the Secret of the certificates that found it broken, or could not read or write it.",
);
const BUILD: Metric = Metric::gauge("botarmy_operator_build_info", "1, with the version as a label.");

const LOOK_INTERVAL: Metric = Metric::gauge(
    "botarmy_operator_look_interval_seconds",
    "The present time between two looks at a run at work; 0 for an operator that has not looked at any.",
);
const PAUSES: Metric = Metric::counter(
    "botarmy_operator_pauses_total",
    "Times that the operator stood still for more than five seconds, or its clock was set.",
);

const OUTCOMES: [RunOutcome; 4] =
    [RunOutcome::Passed, RunOutcome::Failed, RunOutcome::Aborted, RunOutcome::Errored];

/// Adds what the operator has counted.
pub(super) fn expose(to: &mut Exposition, metrics: &Metrics, pauses: u64) {
    let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    to.add(&BUILD, build, Number::Whole(1));
    for (metric, number) in [
        (&LEADER, &metrics.leads),
        (&EPOCH, &metrics.epoch),
        (&BACKING_OFF, &metrics.of(Reconciling::Run).backing_off),
        (&SCHEDULES_BACKING_OFF, &metrics.of(Reconciling::Schedule).backing_off),
        (&STATUSES, &metrics.statuses_written),
        (&EVENTS_LOST, &metrics.events_lost),
        (&CONNECTIONS, &metrics.connections),
        (&CERTIFICATE_ERRORS, &metrics.certificates_failed),
    ] {
        to.add_count(metric, &[], number.load(Relaxed));
    }
    to.add_count(&PAUSES, &[], pauses);
    to.add(&LOOK_INTERVAL, Vec::new(), Number::Millis(metrics.look_interval_ms.load(Relaxed)));
    let ends = [("authority", &metrics.authority_until), ("server", &metrics.server_until)];
    for (certificate, until) in ends.map(|(of, until)| (of, until.load(Relaxed))) {
        // None is there as long as the operator waits for it.
        if until > 0 {
            to.add(&CERTIFICATE_ENDS, vec![("certificate", certificate.to_owned())], Number::Whole(until));
        }
    }
    for (of, kind) in metrics.loops.iter().zip(Reconciling::NAMES) {
        expose_loop(to, of, kind);
    }
    expose_labelled(to, &WAITING, "reason", metrics.waiting.named(Waiting::NAMES));
    expose_labelled(to, &CALLS, "result", metrics.calls.named(Called::NAMES));
    expose_labelled(to, &CHECK_INS, "result", metrics.check_ins.named(CheckedIn::NAMES));
    expose_labelled(to, &NOT_CONNECTED, "reason", metrics.not_connected.named(NotConnected::NAMES));
    expose_labelled(to, &KEPT, "result", metrics.kept.named(Kept::NAMES));
    expose_labelled(to, &ENDED, "outcome", metrics.ended.named(OUTCOMES.map(RunOutcome::name)));
    for (metric, values, unit) in [
        (&CHECK_IN_TIMES, &metrics.check_in_times, Unit::Seconds),
        (&CHECK_IN_SIZES, &metrics.check_in_sizes, Unit::Bytes),
        (&KEEP_TIMES, &metrics.keep_times, Unit::Seconds),
        (&KEPT_SIZES, &metrics.kept_sizes, Unit::Bytes),
    ] {
        to.add_histogram(metric, Vec::new(), &values.copy(), unit);
    }
}

fn expose_loop(to: &mut Exposition, of: &Loop, kind: &str) {
    let label = || ("kind", kind.to_owned());
    for (result, count) in of.reconciles.named(Reconciled::NAMES) {
        to.add(&RECONCILES, vec![label(), ("result", result.to_owned())], Number::Whole(count));
    }
    to.add_count(&QUEUE_ERRORS, &[label()], of.queue_errors.load(Relaxed));
    to.add_histogram(&RECONCILE_TIMES, vec![label()], &of.times.copy(), Unit::Seconds);
}

fn expose_labelled(
    to: &mut Exposition,
    metric: &Metric,
    label: &'static str,
    counts: impl Iterator<Item = (&'static str, u64)>,
) {
    for (value, count) in counts {
        to.add(metric, vec![(label, value.to_owned())], Number::Whole(count));
    }
}
