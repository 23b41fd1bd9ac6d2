//! Counters by the value of a label. The values are known beforehand, so that each is told from the beginning, with
//! zero, and none can come from outside.

use axum::http::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counts<N> {
    /// Counts of a gauge: so many of each value, by its place.
    pub(super) fn set(&self, counts: [u64; N]) {
        self.0.iter().zip(counts).for_each(|(known, count)| known.store(count, Relaxed));
    }

    /// Counts one more of a value, by its place.
    pub(super) fn add(&self, place: usize) {
        if let Some(count) = self.0.get(place) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The names of the values with their counts.
    pub(super) fn named(&self, names: [&'static str; N]) -> impl Iterator<Item = (&'static str, u64)> {
        names.into_iter().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }
}

/// Makes a label: an enum of its values, each with the word that stands for it.
macro_rules! label {
    ($(#[$about:meta])* $label:ident { $($(#[$of_value:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $label {
            $($(#[$of_value])* $value,)+
        }

        impl $label {
            /// The words, in the order of the values.
            pub(super) const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];
        }
    };
}

label! {
    /// What is reconciled.
    Reconciling {
        /// Runs.
        Run = "BotRun",
        /// Schedules.
        Schedule = "BotRunSchedule",
    }
}

label! {
    /// Why a run waits that may not begin yet.
    Waiting {
        /// Another run loads its target, or waits for it.
        Target = "target",
        /// The pods of another run may load its target still, which is over or was deleted.
        Pods = "pods",
        /// As many runs are at work in its namespace as may be.
        Namespace = "namespace",
        /// Its suspend is true.
        Suspended = "suspended",
    }
}

label! {
    /// How a reconcile ended.
    Reconciled {
        /// It came to its end.
        Ok = "ok",
        /// The API server refused a call, or cannot be reached.
        Api = "api",
        /// The API server did not answer in time.
        Timeout = "timeout",
        /// A checkpoint cannot be read.
        Checkpoint = "checkpoint",
        /// An object is not whole, or cannot be built.
        Object = "object",
    }
}

label! {
    /// How a call to the API server ended.
    Called {
        /// Well.
        Ok = "ok",
        /// 401.
        Unauthorized = "unauthorized",
        /// 403.
        Forbidden = "forbidden",
        /// 404: often just what one wanted to know.
        NotFound = "not_found",
        /// 409: somebody was faster.
        Conflict = "conflict",
        /// 400 and 422.
        Invalid = "invalid",
        /// 429.
        Throttled = "throttled",
        /// 500 and above.
        ServerError = "server_error",
        /// Another status.
        Other = "other",
        /// There was no answer: no connection, say, or a broken one.
        Unreachable = "unreachable",
        /// It was waited for no longer.
        GivenUp = "given_up",
    }
}

impl Called {
    /// What a status stands for.
    pub fn of_status(status: u16) -> Self {
        match status {
            100..400 => Self::Ok,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            400 | 422 => Self::Invalid,
            429 => Self::Throttled,
            500.. => Self::ServerError,
            _ => Self::Other,
        }
    }
}

label! {
    /// How a check-in ended.
    CheckedIn {
        /// It was answered with orders.
        Accepted = "accepted",
        /// It had no token, or one that is not valid here.
        Token = "token",
        /// Its pod is not the runner it says it is.
        NotThatRunner = "not_that_runner",
        /// The API server could not be asked whose token it is.
        Api = "api",
        /// The run is not known, yet or any more.
        UnknownRun = "unknown_run",
        /// It speaks another version.
        Protocol = "protocol",
        /// The run has no runner of this index.
        Index = "index",
        /// A delta came before another one that is not there.
        Missing = "missing",
        /// Its measures cannot be added.
        Measures = "measures",
        /// Its body is too large.
        TooLarge = "too_large",
        /// Its body is no check-in.
        Malformed = "malformed",
        /// It took too long to come in.
        Late = "late",
        /// Another operator leads.
        NotLeading = "not_leading",
        /// By the run's policy nobody takes the place of a lost runner.
        Gone = "gone",
        /// Anything else.
        Other = "other",
    }
}

impl CheckedIn {
    /// What the status of an answer stands for that says nothing else.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            200..300 => Self::Accepted,
            400 | 411 | 415 | 422 => Self::Malformed,
            408 => Self::Late,
            413 => Self::TooLarge,
            _ => Self::Other,
        }
    }
}

label! {
    /// Why a runner's connection did not come about.
    NotConnected {
        /// The system had none to give, out of open files, say.
        Accept = "accept",
        /// There are too many, of all callers or of this one.
        TooMany = "too_many",
        /// The caller does not speak TLS, or does not trust us.
        Handshake = "handshake",
        /// The handshake took too long.
        Timeout = "timeout",
    }
}

label! {
    /// What became of a checkpoint.
    Kept {
        /// It was written.
        Ok = "ok",
        /// The API server refused it, or cannot be reached.
        Api = "api",
        /// The API server did not answer in time.
        Timeout = "timeout",
        /// It cannot be packed.
        Pack = "pack",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_counted_under_its_name() {
        let counts = Counts::<{ Kept::NAMES.len() }>::default();
        for kept in [Kept::Pack, Kept::Ok, Kept::Pack] {
            counts.add(kept as usize);
        }
        counts.add(99);
        let named: Vec<_> = counts.named(Kept::NAMES).collect();
        assert_eq!(named, [("ok", 1), ("api", 0), ("timeout", 0), ("pack", 2)]);
    }

    #[test]
    fn statuses_have_their_names() {
        for (status, called) in [
            (101, Called::Ok),
            (201, Called::Ok),
            (400, Called::Invalid),
            (401, Called::Unauthorized),
            (403, Called::Forbidden),
            (404, Called::NotFound),
            (409, Called::Conflict),
            (410, Called::Other),
            (422, Called::Invalid),
            (429, Called::Throttled),
            (500, Called::ServerError),
            (504, Called::ServerError),
        ] {
            assert_eq!(Called::of_status(status), called, "{status}");
        }
        for (status, result) in [
            (StatusCode::OK, CheckedIn::Accepted),
            (StatusCode::BAD_REQUEST, CheckedIn::Malformed),
            (StatusCode::PAYLOAD_TOO_LARGE, CheckedIn::TooLarge),
            (StatusCode::UNPROCESSABLE_ENTITY, CheckedIn::Malformed),
            (StatusCode::INTERNAL_SERVER_ERROR, CheckedIn::Other),
        ] {
            assert_eq!(CheckedIn::of_status(status), result, "{status}");
        }
    }
}
