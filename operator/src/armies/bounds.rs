//! What is kept of what a runner says, within bounds: it is written down, and told to others. Whatever an honest runner
//! says is far below them. Pure.

use botarmy_protocol::{Mistake, Performed, Refusal};
use serde_json::{Map, Value};

/// Longest time that a check-in is taken to need, in milliseconds: it is refused when it takes longer to come in.
pub(super) const MAX_ROUND_TRIP_MS: u64 = 10_000;
/// Longest name of certificates, in bytes.
pub(super) const MAX_TRUST_NAME: usize = 128;
/// Longest digest of sources, in bytes.
pub(super) const MAX_DIGEST: usize = 128;
/// Scenarios whose passes are counted; a run has 20 at most.
pub(super) const MAX_SCENARIOS: usize = 20;
/// Most mistakes of a runner that cannot do its part, and the longest place and message of one, in bytes.
const MAX_MISTAKES: usize = 100;
const MAX_PLACE: usize = 1 << 10;
const MAX_MESSAGE: usize = 4 << 10;
/// Most that the values of setup may take, in bytes of JSON: as many as a bot has room for, with their punctuation.
const MAX_CONTEXT: usize = 2 << 20;

/// A text that is cut to so many bytes, between two characters.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Why a runner cannot do its part.
pub(super) fn refusal(said: &Refusal) -> Refusal {
    let mistake =
        |m: &Mistake| Mistake { place: cut(&m.place, MAX_PLACE), message: cut(&m.message, MAX_MESSAGE) };
    let mistakes = said.mistakes.iter().take(MAX_MISTAKES).map(mistake).collect();
    Refusal { invalid: said.invalid, mistakes }
}

/// Why setup or teardown failed, if it did, and the values that it left.
pub(super) fn performed(told: &Performed) -> (Option<String>, Map<String, Value>) {
    let failure = told.failure.as_ref().map(|failure| cut(failure, MAX_MESSAGE));
    let length = serde_json::to_vec(&told.context).map_or(usize::MAX, |json| json.len());
    if length > MAX_CONTEXT {
        let why =
            format!("its values take {length} bytes, more than {MAX_CONTEXT}; keep fewer or smaller ones");
        return (failure.or(Some(why)), Map::new());
    }
    (failure, told.context.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_spec::Part;

    #[test]
    fn mistakes_are_cut_and_few() {
        let long = Mistake { place: "µ".repeat(MAX_PLACE), message: "µ".repeat(MAX_MESSAGE) };
        let kept = refusal(&Refusal { invalid: true, mistakes: vec![long; MAX_MISTAKES + 1] });
        assert_eq!((kept.invalid, kept.mistakes.len()), (true, MAX_MISTAKES));
        assert_eq!((kept.mistakes[0].place.len(), kept.mistakes[0].message.len()), (MAX_PLACE, MAX_MESSAGE));
    }

    #[test]
    fn a_setup_that_leaves_too_much_has_failed() {
        let told = |bytes: usize, failure: Option<&str>| {
            let context = Map::from_iter([("a".to_owned(), "x".repeat(bytes).into())]);
            performed(&Performed { part: Part::Setup, failure: failure.map(str::to_owned), context })
        };
        assert_eq!(told(MAX_CONTEXT - 8, None).0, None);
        let (failure, context) = told(MAX_CONTEXT, None);
        assert!(failure.unwrap().contains("keep fewer") && context.is_empty());
        assert_eq!(told(MAX_CONTEXT, Some("no")).0.as_deref(), Some("no"));
    }
}
