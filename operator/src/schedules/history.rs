//! Which ended runs of a schedule are deleted. Pure.

use super::runs::ScheduledRun;
use botarmy_crds::BotRunScheduleSpec;

/// The ended runs beyond what is kept, those that ended first before the others. One whose result is still being taken to
/// elsewhere is kept until then.
pub(super) fn surplus<'r>(spec: &BotRunScheduleSpec, runs: &'r [ScheduledRun]) -> Vec<&'r ScheduledRun> {
    let limits = [(true, spec.successful_runs_history_limit), (false, spec.failed_runs_history_limit)];
    let mut surplus = Vec::new();
    for (passed, limit) in limits {
        let ended = runs.iter().filter_map(|run| Some((run.end?, run)));
        let mut ended: Vec<_> = ended.filter(|(end, run)| end.passed == passed && !run.is_leaving).collect();
        ended.sort_by(|(a, x), (b, y)| (a.at, &x.name).cmp(&(b.at, &y.name)));
        let beyond = ended.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        let beyond = ended.into_iter().take(beyond).map(|(_, run)| run);
        surplus.extend(beyond.filter(|run| !run.is_exporting));
    }
    surplus
}

#[cfg(test)]
mod tests {
    use super::super::runs::End;
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn the_oldest_go_and_each_outcome_has_its_own_limit() {
        let run = |name: &str, end: Option<(i64, bool)>| ScheduledRun {
            name: name.into(),
            uid: name.into(),
            at: None,
            end: end.map(|(second, passed)| End { at: Timestamp::from_second(second).unwrap(), passed }),
            is_exporting: name.starts_with("exporting"),
            is_leaving: name.starts_with("leaving"),
        };
        let runs = [
            run("late", Some((30, true))),
            run("early", Some((10, true))),
            run("active", None),
            run("middle", Some((20, true))),
            run("leaving", Some((5, true))),
            run("exporting", Some((0, false))),
            run("bad", Some((1, false))),
            run("worse", Some((2, false))),
        ];
        for (passed, failed, wanted) in [
            (3, 3, vec![]),
            (2, 2, vec!["early"]),
            (1, 1, vec!["early", "middle", "bad"]),
            (0, 0, vec!["early", "middle", "late", "bad", "worse"]),
            (100, 0, vec!["bad", "worse"]),
        ] {
            let spec = json!({
                "schedule": "@hourly", "template": {"spec": {"trees": {}}},
                "successfulRunsHistoryLimit": passed, "failedRunsHistoryLimit": failed,
            });
            let spec: BotRunScheduleSpec = serde_json::from_value(spec).unwrap();
            let names: Vec<&str> = surplus(&spec, &runs).iter().map(|run| run.name.as_str()).collect();
            assert_eq!(names, wanted, "{passed} and {failed}");
        }
    }
}
