//! How the API server is watched, and watches are begun again.

use kube::ResourceExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, DefaultBackoff};
use std::time::Duration;

/// The longest time between a watch that broke and the next one: what was wanted of a run while the API server was away, such as
/// its end, is heard of within seconds of its return.
const LONGEST: Duration = Duration::from_secs(5);

/// How long the API server keeps a watch open, in seconds; it is begun again where it was. One whose other end has vanished
/// without a word, with its machine, say, is given up five seconds later: without this a run's `stop` were not seen for
/// minutes, and nothing could be written of it, being older than what is there.
const OPEN_SECONDS: u32 = 30;

/// How many of our own objects are read at a time when all are listed. Each may come to much in memory while it is read
/// (`costly`), and all of a page are read at once.
const PAGE: u32 = 5;

/// What each watch begins with.
pub(crate) fn config() -> Config {
    Config::default().timeout(OPEN_SECONDS)
}

/// Where kubectl keeps what was applied last, whole.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes out of an object that is kept what it says a second time: what was applied last, and which of its fields are whose.
/// When each manager has written stays.
pub(crate) fn without_copies<K: ResourceExt>(object: &mut K) {
    object.annotations_mut().remove(LAST_APPLIED);
    object.managed_fields_mut().iter_mut().for_each(|written| written.fields_v1 = None);
}

/// What a watch of runs or schedules begins with: their specs are their users'.
pub(crate) fn config_of_ours() -> Config {
    config().page_size(PAGE)
}

/// The times of the library between watches that break one after another, with a bound. Theirs is half a minute, since its
/// users may be thousands on one API server; operators are two.
#[derive(Default)]
pub(crate) struct Again(DefaultBackoff);

impl Iterator for Again {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|time| time.min(LONGEST))
    }
}

impl Backoff for Again {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// What a controller adds to that of its own, which is nothing: it would stop all of its watches for as long, whenever one of
/// them breaks, and each of them waits for itself already.
#[derive(Debug, Default)]
pub(crate) struct AtOnce;

impl Iterator for AtOnce {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for AtOnce {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_tried_again_within_seconds_however_long_the_api_server_is_away() {
        let times: Vec<Duration> = Again::default().take(20).collect();
        assert_eq!(times.len(), 20, "it is never given up");
        assert!(times.is_sorted() && times[19] == LONGEST && times[0] < LONGEST / 2, "{times:?}");
    }
}
