//! Bodies that are kept until they are looked into, and how much all of them may take at once: each is bounded, but
//! there may be as many as bots.

use super::exchange::{Error, Lent};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What each may take without asking: usual answers never touch what all threads share.
const FREE: usize = 64 << 10;
/// What all of this process may take beyond that.
const MOST: usize = 128 << 20;

/// What is left of the room for bodies.
#[derive(Debug)]
pub(crate) struct Budget {
    whole: usize,
    left: AtomicUsize,
}

/// That of this process.
pub(super) static OF_PROCESS: Budget = Budget::of(MOST);

impl Budget {
    pub(super) const fn of(whole: usize) -> Self {
        Self { whole, left: AtomicUsize::new(whole) }
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| Error::TooMuchKept(self.whole))
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A body that is kept as it comes; its room is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    lent: Lent,
    budget: &'static Budget,
    taken: usize,
}

impl Kept {
    pub(super) fn new(lent: Lent, budget: &'static Budget) -> Self {
        Self { lent, budget, taken: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.lent.bytes
    }

    /// Adds what has come, if there is room for it: `most` is what this one may have.
    pub(super) fn add(&mut self, bytes: &[u8], most: usize) -> Result<(), Error> {
        let length = self.lent.bytes.len() + bytes.len();
        if length > most {
            return Err(Error::TooLarge(most));
        }
        if length > FREE + self.taken {
            self.take_room(length, most)?;
        }
        self.lent.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes room for so much and, as it will go on, for twice of what there is: then it is seldom asked for.
    fn take_room(&mut self, length: usize, most: usize) -> Result<(), Error> {
        let room = FREE + self.taken;
        let mut wanted = (2 * room).min(most).max(length);
        if self.budget.take(wanted - room).is_err() {
            // There may be room for what has come.
            wanted = length;
            self.budget.take(wanted - room)?;
        }
        self.taken = wanted - FREE;
        // Exactly that is what it takes from now on.
        self.lent.bytes.reserve_exact(wanted - self.lent.bytes.len());
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.budget.give_back(self.taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Buffers;
    use super::*;

    const LARGE: usize = 1 << 20;

    fn filled(budget: &'static Budget, size: usize) -> Result<Kept, Error> {
        let mut kept = Kept::new(Buffers::default().lend(), budget);
        for piece in vec![b'x'; size].chunks(10_000) {
            kept.add(piece, LARGE)?;
        }
        assert!(kept.bytes().len() == size && kept.lent.bytes.capacity() <= FREE + kept.taken.max(FREE));
        Ok(kept)
    }

    #[test]
    fn the_last_room_is_for_what_has_come_though_twice_of_it_has_none() {
        const SIZE: usize = 200_000;
        static SMALL: Budget = Budget::of(SIZE - FREE);
        let kept = filled(&SMALL, SIZE).expect("room");
        assert_eq!(SMALL.left.load(Ordering::Relaxed), 0);
        drop(kept);
        assert_eq!(SMALL.left.load(Ordering::Relaxed), SIZE - FREE);
        assert!(filled(&SMALL, SIZE + 10_000).is_err());
        assert_eq!(SMALL.left.load(Ordering::Relaxed), SIZE - FREE);
    }

    #[test]
    fn what_is_kept_at_once_has_a_bound_and_is_given_back() {
        static THREE: Budget = Budget::of(3 * LARGE);
        let left = || THREE.left.load(Ordering::Relaxed);
        let three: Vec<Kept> = (0..3).map(|_| filled(&THREE, LARGE).expect("room")).collect();
        assert_eq!(left(), 3 * FREE);
        let refused = filled(&THREE, LARGE).expect_err("there is no room").to_string();
        assert!(
            refused.starts_with("answers of more than 3 MiB are kept at once on this runner"),
            "{refused}"
        );
        // Usual ones have room all the same.
        drop(filled(&THREE, FREE).expect("room"));
        assert_eq!(left(), 3 * FREE, "what was refused keeps nothing");
        drop(three);
        assert_eq!(left(), 3 * LARGE);
        assert!(matches!(filled(&THREE, LARGE + 1), Err(Error::TooLarge(LARGE))));
        assert_eq!(left(), 3 * LARGE);
    }

    #[test]
    fn a_usual_answer_touches_nothing_that_is_shared() {
        static NONE: Budget = Budget::of(0);
        drop(filled(&NONE, FREE).expect("room"));
        assert!(matches!(filled(&NONE, FREE + 1), Err(Error::TooMuchKept(0))));
    }
}
