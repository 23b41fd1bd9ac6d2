//! Reading with bounds: what comes over the network decides neither how long a list nor how long
//! a name becomes.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// A list of at most `MAX` items; the first beyond ends the reading.
pub fn list<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(List::<T, MAX>(PhantomData))
}

/// A list of which the first `MAX` items are kept: where the sender is worth being heard all the same.
pub fn first<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(First::<T, MAX>(PhantomData))
}

/// A mapping of at most `ENTRIES` entries under names of at most `NAME` bytes, each name once.
pub fn map<'de, D, T, const ENTRIES: usize, const NAME: usize>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_map(Map::<T, ENTRIES, NAME>(PhantomData))
}

/// A mapping of at most `ENTRIES` entries under numbers, each below `ENTRIES`.
pub(crate) fn map_by_number<'de, D, T, const ENTRIES: usize>(from: D) -> Result<BTreeMap<u16, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let named = map::<D, T, ENTRIES, 5>(from)?;
    let number = |name: String| name.parse().ok().filter(|n| usize::from(*n) < ENTRIES).ok_or(name);
    let entries = named.into_iter().map(|(name, value)| Ok((number(name)?, value)));
    entries.collect::<Result<_, String>>().map_err(|name| {
        D::Error::custom(format_args!("{name:?} is no number below {ENTRIES}; entries have numbers here"))
    })
}

/// Text of at most `MAX` bytes.
pub(crate) fn text<'de, D, const MAX: usize>(from: D) -> Result<String, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(from)?;
    check_length::<D::Error>(&text, MAX)?;
    Ok(text)
}

/// `text` up to so many bytes, ending with a whole character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn check_length<E: Error>(text: &str, max: usize) -> Result<(), E> {
    if text.len() > max {
        return Err(E::custom(format_args!("a name of {} bytes; at most {max} are allowed", text.len())));
    }
    Ok(())
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        // Grown as items arrive: a size announced by the sender reserves nothing.
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

struct First<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for First<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, of which {MAX} items are kept")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while list.len() < MAX {
            match items.next_element()? {
                Some(item) => list.push(item),
                None => return Ok(list),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

struct Map<T, const ENTRIES: usize, const NAME: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const ENTRIES: usize, const NAME: usize> Visitor<'de>
    for Map<T, ENTRIES, NAME>
{
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping of at most {ENTRIES} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = entries.next_key::<String>()? {
            if map.len() == ENTRIES {
                return Err(A::Error::invalid_length(ENTRIES + 1, &self));
            }
            check_length::<A::Error>(&name, NAME)?;
            let value = entries.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice in a mapping; each may occur once"));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer, StrDeserializer};

    fn read_list(length: u64) -> Result<Vec<u64>, ValueError> {
        list::<_, u64, 3>(SeqDeserializer::new(0..length))
    }

    fn read_map(names: &[&'static str]) -> Result<BTreeMap<String, u64>, ValueError> {
        let entries = names.iter().map(|name| (*name, 1_u64));
        map::<_, u64, 2, 4>(MapDeserializer::new(entries))
    }

    #[test]
    fn lists_end_at_their_bound() {
        assert_eq!(read_list(3), Ok(vec![0, 1, 2]));
        assert!(read_list(4).is_err());
    }

    #[test]
    fn of_a_list_that_is_cut_the_first_are_kept_and_what_follows_it_is_read() {
        let mut json = serde_json::Deserializer::from_str("[1,2,3,[{}],5] 7");
        assert_eq!(first::<_, u64, 3>(&mut json).unwrap(), [1, 2, 3]);
        assert_eq!(u64::deserialize(&mut json).unwrap(), 7);
        assert_eq!(first::<_, u64, 3>(SeqDeserializer::<_, ValueError>::new(0..2_u64)), Ok(vec![0, 1]));
    }

    #[test]
    fn maps_bound_entries_and_names() {
        assert_eq!(read_map(&["a", "four"]).unwrap().len(), 2);
        assert!(read_map(&["a", "b", "c"]).is_err());
        assert!(read_map(&["fiver"]).unwrap_err().to_string().contains("5 bytes"));
        assert!(read_map(&["a", "a"]).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn text_is_bounded_in_bytes() {
        assert_eq!(text::<_, 4>(StrDeserializer::<ValueError>::new("µµ")).unwrap(), "µµ");
        assert!(text::<_, 3>(StrDeserializer::<ValueError>::new("µµ")).is_err());
    }
}
