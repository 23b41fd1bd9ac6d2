//! What tells rows apart: the name, and where there are several, the scenario and the group.
//!
//! A row's key in [`super::Totals::rows`] is its name alone when it has neither; otherwise the three
//! are joined by a character that no name holds.

use crate::bounded::cut;
use std::borrow::Cow;

/// Longest name of a row, in bytes; a longer one is cut.
pub const MAX_NAME_BYTES: usize = 4096;
/// Longest name of a scenario and longest group, in bytes; longer ones are cut.
const MAX_SCENARIO_BYTES: usize = 256;
const MAX_GROUP_BYTES: usize = 2048;
/// Longest key that can be read.
pub(super) const MAX_KEY_BYTES: usize = MAX_NAME_BYTES + MAX_SCENARIO_BYTES + MAX_GROUP_BYTES + 2;

/// Between the labels of a group.
pub const GROUP_SEPARATOR: &str = " / ";
/// Between the parts of a key: the unit separator of ASCII.
const PART: char = '\u{1f}';

/// The parts of a row's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowKey<'a> {
    /// The name.
    pub name: &'a str,
    /// The scenario; empty when there is but one.
    pub scenario: &'a str,
    /// The group: the labels of the nodes around; empty without labels.
    pub group: &'a str,
}

impl<'a> RowKey<'a> {
    /// The parts of a key.
    pub fn of(key: &'a str) -> Self {
        let mut parts = key.splitn(3, PART);
        let mut next = || parts.next().unwrap_or_default();
        Self { name: next(), scenario: next(), group: next() }
    }

    /// Whether it belongs to what is done once beside the load: no scenario of a user is in parentheses.
    pub fn is_apart(&self) -> bool {
        self.scenario.starts_with('(')
    }

    /// Whether the row lies in a group or in one inside of it.
    pub fn is_in(&self, group: &str) -> bool {
        let inside = self.group.strip_prefix(group);
        inside.is_some_and(|rest| rest.is_empty() || rest.starts_with(GROUP_SEPARATOR))
    }

    /// The key, its parts cut to what a receiver takes.
    pub(crate) fn key(self) -> Cow<'a, str> {
        let name = cut(self.name, MAX_NAME_BYTES);
        if self.scenario.is_empty() && self.group.is_empty() && !name.contains(PART) {
            return Cow::Borrowed(name);
        }
        let plain = |text: &str| text.replace(PART, " ");
        let (name, scenario) = (plain(name), plain(cut(self.scenario, MAX_SCENARIO_BYTES)));
        let group = plain(cut(self.group, MAX_GROUP_BYTES));
        if scenario.is_empty() && group.is_empty() {
            return Cow::Owned(name);
        }
        Cow::Owned(format!("{name}{PART}{scenario}{PART}{group}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_parts() {
        for (name, scenario, group, key) in [
            ("a", "", "", "a"),
            ("a", "s", "", "a\u{1f}s\u{1f}"),
            ("a", "", "g / h", "a\u{1f}\u{1f}g / h"),
            ("a", "s", "g", "a\u{1f}s\u{1f}g"),
        ] {
            let parts = RowKey { name, scenario, group };
            assert_eq!(parts.key(), key);
            assert_eq!(RowKey::of(key), parts);
        }
        let odd = RowKey { name: "a\u{1f}b", scenario: "", group: "g\u{1f}" };
        assert_eq!(RowKey::of(&odd.key()), RowKey { name: "a b", scenario: "", group: "g " });
        assert_eq!(RowKey { name: "a\u{1f}b", scenario: "", group: "" }.key(), "a b");
        let long = "µ".repeat(9_000);
        assert!(RowKey { name: &long, scenario: &long, group: &long }.key().len() <= MAX_KEY_BYTES);
    }

    #[test]
    fn a_group_holds_those_inside_of_it() {
        let row = RowKey { name: "a", scenario: "", group: "Shop / Pay" };
        for (group, holds) in
            [("Shop", true), ("Shop / Pay", true), ("Sho", false), ("Pay", false), ("Shop / Pay / x", false)]
        {
            assert_eq!(row.is_in(group), holds, "{group}");
        }
    }
}
