//! The counters of a histogram, in as little memory as what they count allows.
//!
//! The first values are kept as they come, two bytes each; only when there are many do counters stand
//! in pages, allocated when first used and as wide as their greatest count needs. So a recorder that is
//! drained each second needs memory for what happened in that second, however far it is spread.

/// Values that are kept as they come.
const FEW: usize = 1024;
/// Counters allocated together.
const PAGE: usize = 128;

#[derive(Debug, Clone)]
enum Page {
    Narrow(Box<[u16; PAGE]>),
    Wide(Box<[u64; PAGE]>),
}

/// Counts by slot. Two are equal when they count the same, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// Slots in the order of their coming; empty once there are pages.
    few: Vec<u16>,
    pages: Vec<Option<Page>>,
}

impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Counters {}

impl Counters {
    /// Counts `n` more in a slot; a count stops at its greatest value.
    #[inline]
    pub(super) fn add(&mut self, slot: usize, n: u64) {
        if n == 1
            && self.pages.is_empty()
            && self.few.len() < FEW
            && let Ok(slot) = u16::try_from(slot)
        {
            self.few.push(slot);
        } else {
            self.add_many(slot, n);
        }
    }

    #[inline]
    fn add_many(&mut self, slot: usize, n: u64) {
        if n == 0 {
            return;
        }
        for few in std::mem::take(&mut self.few) {
            self.add_to_page(usize::from(few), 1);
        }
        self.add_to_page(slot, n);
    }

    #[inline]
    fn add_to_page(&mut self, slot: usize, n: u64) {
        let (number, place) = (slot / PAGE, slot % PAGE);
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Page::Narrow(Box::new([0; PAGE])));
        if let Page::Narrow(counts) = page {
            let sum = u64::from(counts[place]).saturating_add(n);
            match u16::try_from(sum) {
                Ok(sum) => {
                    counts[place] = sum;
                    return;
                }
                Err(_) => *page = Page::Wide(Box::new(counts.map(u64::from))),
            }
        }
        if let Page::Wide(counts) = page {
            counts[place] = counts[place].saturating_add(n);
        }
    }

    /// Adds everything that is counted in `other`.
    pub(super) fn absorb(&mut self, other: &Self) {
        for slot in &other.few {
            self.add(usize::from(*slot), 1);
        }
        for (number, page) in other.pages.iter().enumerate() {
            for (place, count) in page.iter().flat_map(Page::used) {
                self.add_many(number * PAGE + place, count);
            }
        }
    }

    /// What they take beside themselves, in bytes.
    pub(super) fn weight(&self) -> usize {
        let page = |page: &Page| match page {
            Page::Narrow(counts) => size_of_val(&**counts),
            Page::Wide(counts) => size_of_val(&**counts),
        };
        let pages: usize = self.pages.iter().flatten().map(page).sum();
        pages + self.pages.capacity() * size_of::<Option<Page>>() + self.few.capacity() * size_of::<u16>()
    }

    /// The counts above zero with their slots, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        let mut sorted = self.few.clone();
        sorted.sort_unstable();
        let few: Vec<(usize, u64)> =
            sorted.chunk_by(|a, b| a == b).map(|same| (usize::from(same[0]), same.len() as u64)).collect();
        let pages = self.pages.iter().enumerate();
        let pages = pages.flat_map(|(number, page)| {
            let used = page.iter().flat_map(Page::used);
            used.map(move |(place, count)| (number * PAGE + place, count))
        });
        few.into_iter().chain(pages)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Page {
    /// The counts above zero with their places.
    fn used(&self) -> Vec<(usize, u64)> {
        fn used<N: Copy + Into<u64>>(counts: &[N; PAGE]) -> Vec<(usize, u64)> {
            counts.iter().map(|n| (*n).into()).enumerate().filter(|(_, n)| *n > 0).collect()
        }
        match self {
            Self::Narrow(counts) => used(counts),
            Self::Wide(counts) => used(counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_same_however_they_are_kept() {
        let (mut few, mut many) = (Counters::default(), Counters::default());
        for slot in [7, 56_319, 7, 0] {
            few.add(slot, 1);
        }
        many.add(7, 2);
        many.add(0, 1);
        many.add(56_319, 1);
        assert!(few.pages.is_empty() && many.few.is_empty());
        assert_eq!(few, many);
        assert_eq!(few.iter().collect::<Vec<_>>(), [(0, 1), (7, 2), (56_319, 1)]);
        let mut sum = few.clone();
        sum.absorb(&many);
        many.absorb(&few);
        assert_eq!(sum, many);
        assert_eq!(sum.iter().map(|(_, n)| n).sum::<u64>(), 8);
    }

    #[test]
    fn counts_go_on_beyond_what_is_kept_as_it_comes_and_beyond_a_narrow_page() {
        let mut counters = Counters::default();
        (0..FEW + 5).for_each(|n| counters.add(n % 3, 1));
        assert!(counters.few.is_empty());
        counters.add(1, 65_535);
        counters.add(2, u64::MAX);
        let third = (FEW as u64 + 5) / 3;
        assert_eq!(counters.iter().collect::<Vec<_>>(), [(0, third), (1, third + 65_535), (2, u64::MAX)]);
        assert!(!counters.is_empty() && Counters::default().is_empty());
    }
}
