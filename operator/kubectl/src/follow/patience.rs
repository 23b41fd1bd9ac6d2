//! How long a cluster that is out of reach is waited for. Pure.

use crate::cluster::Error;
use std::time::{Duration, Instant};

/// How long a cluster may be out of reach.
const LONGEST: Duration = Duration::from_secs(300);
/// Errors that lie further apart belong to two losses. Tries come far more often, so that in between it was reached,
/// and there was nothing to tell.
const APART: Duration = Duration::from_secs(120);

/// What is known of the way to a cluster.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    reached: bool,
    loss: Option<Loss>,
}

#[derive(Debug)]
struct Loss {
    begun: Instant,
    last: Instant,
    errors: u32,
}

impl Patience {
    /// The cluster has told something.
    pub(crate) fn heard(&mut self) {
        *self = Self { reached: true, loss: None };
    }

    /// It was not reached: what there is to say of it, or the error that ends the waiting. A watch that is cut off now
    /// and then is usual: nothing is said before the second error in a row.
    pub(crate) fn lost(&mut self, now: Instant, error: Error) -> Result<Option<String>, Error> {
        if !self.reached && error.lasts() {
            return Err(error);
        }
        let known = self.loss.take().filter(|loss| now.duration_since(loss.last) <= APART);
        let loss = match known {
            Some(loss) => Loss { last: now, errors: loss.errors.saturating_add(1), ..loss },
            None => Loss { begun: now, last: now, errors: 1 },
        };
        let (lasted, errors) = (now.duration_since(loss.begun), loss.errors);
        self.loss = Some(loss);
        match errors {
            _ if lasted >= LONGEST => Err(error),
            2 => Ok(Some(format!("{error}; trying again"))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Error {
        Error::Unreachable("refused".to_owned())
    }

    /// What is said at each error, so many seconds after the first; an error that ends it is `Err`.
    fn said(patience: &mut Patience, begun: Instant, seconds: &[u64]) -> Vec<Result<bool, ()>> {
        let at = |s: &u64| patience.lost(begun + Duration::from_secs(*s), unreachable());
        seconds.iter().map(at).map(|said| said.map(|text| text.is_some()).map_err(drop)).collect()
    }

    #[test]
    fn a_loss_is_told_once_and_borne_for_a_while() {
        let begun = Instant::now();
        let mut patience = Patience::default();
        assert_eq!(
            said(&mut patience, begun, &[0, 1, 3, 60, 150, 240, 300]),
            [Ok(false), Ok(true), Ok(false), Ok(false), Ok(false), Ok(false), Err(())]
        );
    }

    #[test]
    fn what_was_reached_in_between_is_no_loss() {
        let begun = Instant::now();
        let mut patience = Patience::default();
        // Further apart than tries are.
        assert_eq!(said(&mut patience, begun, &[0, 290, 580]), [Ok(false); 3]);
        patience.heard();
        assert_eq!(said(&mut patience, begun, &[581, 582]), [Ok(false), Ok(true)]);
    }

    #[test]
    fn what_will_not_pass_ends_it_at_the_beginning_only() {
        let now = Instant::now();
        let forbidden = || Error::Forbidden("no".to_owned());
        assert!(matches!(Patience::default().lost(now, forbidden()), Err(Error::Forbidden(_))));
        // An API server that starts forbids all until it knows its rules.
        let mut patience = Patience::default();
        patience.heard();
        assert!(matches!(patience.lost(now, forbidden()), Ok(None)));
    }
}
