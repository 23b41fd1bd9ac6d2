//! Names as people give them.

/// What kubectl prints before the name of a run, and people copy.
const KINDS: [&str; 5] = ["botrun", "botruns", "br", "botrun.botarmy.dev", "botruns.botarmy.dev"];
/// Longest name of an object.
const MAX_NAME: usize = 253;

/// Why something is no name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("this names something else than a BotRun; give the name of a run")]
    Kind,
    #[error(
        "a name is lower-case letters, digits, hyphens and dots, at most {MAX_NAME} of them, with a letter or digit at both ends"
    )]
    Name,
}

/// The name of a run: `NAME`, or as kubectl prints it, such as `botrun/NAME`.
pub(crate) fn of_run(text: &str) -> Result<String, Error> {
    match text.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) => plain(name),
        Some(_) => Err(Error::Kind),
        None => plain(text),
    }
}

/// A name that can be part of an address of the API server, and of a selector.
pub(crate) fn plain(text: &str) -> Result<String, Error> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let sound = text.len() <= MAX_NAME
        && text.chars().all(is_inner)
        && text.starts_with(is_end)
        && text.ends_with(is_end);
    if sound { Ok(text.to_owned()) } else { Err(Error::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_as_kubectl_names_it() {
        for text in ["a-1", "botrun/a-1", "botruns/a-1", "br/a-1", "botrun.botarmy.dev/a-1"] {
            assert_eq!(of_run(text).unwrap(), "a-1", "{text}");
        }
        for text in ["pod/a", "a/b/c", "/a"] {
            assert!(matches!(of_run(text), Err(Error::Kind)), "{text}");
        }
    }

    #[test]
    fn what_would_lead_elsewhere_is_no_name() {
        for text in
            ["", "-", "a-", ".", "..", "a..", "../a", "a?b", "a,b=c", "A", "a b", "ä", &"a".repeat(254)]
        {
            assert!(matches!(plain(text), Err(Error::Name)), "{text}");
        }
        assert_eq!(plain("botarmy-system").unwrap(), "botarmy-system");
        assert!(matches!(of_run("botrun/"), Err(Error::Name)));
    }
}
