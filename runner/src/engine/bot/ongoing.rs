//! What goes on in a bot, to be found again by its name. Most bots do a few things at once, some do thousands.

use std::collections::BTreeMap;

/// So many are looked through one by one: that is quicker than an index, and takes no memory.
const FEW: usize = 16;

/// Things by their names, each of which is that of one thing at most.
#[derive(Debug)]
pub(super) struct Ongoing<K, V> {
    all: Vec<(K, V)>,
    /// Where each one is; empty until one of many is looked for.
    places: BTreeMap<K, usize>,
}

impl<K, V> Default for Ongoing<K, V> {
    fn default() -> Self {
        Self { all: Vec::new(), places: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V> Ongoing<K, V> {
    pub(super) fn push(&mut self, name: K, what: V) {
        if !self.places.is_empty() {
            self.places.insert(name, self.all.len());
        }
        self.all.push((name, what));
    }

    /// Takes out the one of this name. Few keep their order, many do not: to close the gap is too much work for them.
    pub(super) fn remove(&mut self, name: K) -> Option<V> {
        if self.places.is_empty() {
            if self.all.len() <= FEW {
                let place = self.all.iter().position(|(known, _)| *known == name)?;
                return Some(self.all.remove(place).1);
            }
            self.places = self.all.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
        }
        let place = self.places.remove(&name)?;
        let (_, what) = self.all.swap_remove(place);
        if let Some((moved, _)) = self.all.get(place) {
            self.places.insert(*moved, place);
        }
        Some(what)
    }

    /// Takes out all that are meant, which looks at each of them.
    pub(super) fn extract_if(&mut self, is_meant: impl Fn(K, &V) -> bool) -> impl Iterator<Item = (K, V)> {
        self.places.clear();
        self.all.extract_if(.., move |(name, what)| is_meant(*name, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::cmp::Ordering;

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// A name that counts how often it is compared.
    #[derive(Debug, Clone, Copy)]
    struct Name(usize);

    impl PartialEq for Name {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    impl Eq for Name {}

    impl PartialOrd for Name {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Name {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    /// The names of what is left, sorted.
    fn left(ongoing: &mut Ongoing<Name, usize>) -> Vec<usize> {
        let mut left: Vec<usize> = ongoing.extract_if(|_, _| true).map(|(_, what)| what).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn each_is_found_however_many_there_are() {
        for many in [1, 2, FEW, FEW + 1, 3 * FEW, 1_000] {
            let mut ongoing = Ongoing::default();
            (0..many).for_each(|n| ongoing.push(Name(n), n));
            // Every third ends, and begins anew under another name.
            for n in (0..many).step_by(3) {
                assert_eq!(ongoing.remove(Name(n)), Some(n), "of {many}");
                assert_eq!(ongoing.remove(Name(n)), None, "of {many}");
                ongoing.push(Name(many + n), many + n);
            }
            let odd = |n: usize| n % 2 == 1;
            let taken: Vec<usize> = ongoing.extract_if(|_, n| odd(*n)).map(|(_, n)| n).collect();
            assert!(taken.iter().all(|n| odd(*n)), "{taken:?}");
            let expected = (0..many).map(|n| if n % 3 == 0 { many + n } else { n });
            let mut expected: Vec<usize> = expected.filter(|n| !odd(*n)).collect();
            expected.sort_unstable();
            if let Some(n) = expected.pop() {
                assert_eq!(ongoing.remove(Name(n)), Some(n), "of {many}");
            }
            assert_eq!(left(&mut ongoing), expected, "of {many}");
            assert_eq!(ongoing.remove(Name(0)), None, "nothing is left");
        }
    }

    #[test]
    fn few_keep_their_order() {
        let mut ongoing = Ongoing::default();
        (0..FEW).for_each(|n| ongoing.push(Name(n), n));
        ongoing.remove(Name(0));
        let left: Vec<usize> = ongoing.extract_if(|_, _| true).map(|(_, n)| n).collect();
        assert_eq!(left, (1..FEW).collect::<Vec<_>>());
    }

    #[test]
    fn the_work_for_many_grows_as_their_number() {
        let many = 10_000;
        let orders: [fn(usize) -> usize; 3] = [|n| n, |n| 9_999 - n, |n| n * 7_919 % 10_000];
        for order in orders {
            COMPARED.set(0);
            let mut ongoing = Ongoing::default();
            (0..many).for_each(|n| ongoing.push(Name(n), n));
            (0..many).for_each(|n| {
                ongoing.remove(Name(order(n))).expect("it goes on");
                ongoing.push(Name(many + n), n);
            });
            (0..many).for_each(|n| {
                ongoing.remove(Name(many + order(n))).expect("it goes on");
            });
            // One look through all of them for each would be a hundred million.
            assert!(COMPARED.get() < 400 * many, "{} comparisons", COMPARED.get());
        }
    }
}
