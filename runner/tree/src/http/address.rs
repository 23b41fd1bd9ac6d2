//! An address as it is written, with what stands between braces in it.

use super::Error;
use crate::finding::quoted;
use crate::template::closing_braces;
use std::borrow::Cow;
use std::ops::Range;

/// The name and the password before the host of an address that is rendered, and the address without them.
pub fn apart(address: &str) -> (Option<&str>, Cow<'_, str>) {
    let found = user_among(address, address.char_indices());
    (found.clone().map(|user| &address[user]), without(address, found))
}

/// The address as it is written without a name and a password before the host, which are for the target alone.
pub(super) fn without_user(written: &str) -> Cow<'_, str> {
    without(written, user_among(written, outside_of_braces(written)))
}

fn without(address: &str, user: Option<Range<usize>>) -> Cow<'_, str> {
    match user {
        Some(user) => Cow::Owned(format!("{}{}", &address[..user.start], &address[user.end + 1..])),
        None => Cow::Borrowed(address),
    }
}

/// An address that is wrong, without what may be a password: that it is wrong may come of how this is written.
pub fn hidden(address: &str) -> String {
    let begin = address.find("://").map_or(0, |scheme| scheme + 3);
    match address[begin..].rfind('@') {
        Some(at) => format!("{}***{}", &address[..begin], &address[begin + at..]),
        None => address.to_owned(),
    }
}

/// Where a name and a password stand before the host, without the `@` behind them (RFC 3986, 3.2.1): among these
/// characters of an address, of which each has its place.
fn user_among(address: &str, chars: impl Iterator<Item = (usize, char)>) -> Option<Range<usize>> {
    let (mut start, mut at) = (0, None);
    for (place, c) in chars {
        let follows_scheme =
            || at.is_none() && address[..place].ends_with(':') && address[place..].starts_with("//");
        match c {
            '@' => at = Some(place),
            '/' if start == 0 && follows_scheme() => start = place + 2,
            '/' if place < start => {}
            '/' | '?' | '#' => break,
            _ => {}
        }
    }
    at.map(|at| start..at)
}

/// The characters that are no part of a template, up to braces that have no end.
fn outside_of_braces(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        while let Some(inner) = text[next..].strip_prefix("{{") {
            next += 2 + closing_braces(inner)? + 2;
        }
        let (place, c) = (next, text[next..].chars().next()?);
        next += c.len_utf8();
        Some((place, c))
    })
}

/// What is wrong with an address outside of its braces, as far as it can be seen before it is rendered.
pub(super) fn wrong(text: &str) -> Option<Error> {
    let (mut plain, mut rest) = (String::new(), text);
    // What stands between braces becomes a digit: it is looked at when it is rendered.
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push('0');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    if plain.contains(char::is_whitespace) {
        return Some(Error::Blank(quoted(&without_user(text))));
    }
    // One that begins with braces has its scheme there, and may have another address in its query.
    let begins = |scheme: &str| !scheme.contains(['/', '?', '#']);
    let rest = plain.split_once("://").filter(|(scheme, _)| begins(scheme)).map(|(_, rest)| rest);
    let place = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = place.map(|place| place.rsplit_once('@').map_or(place, |(_, host)| host));
    match host {
        Some("") => Some(Error::NoHost(quoted(&without_user(text)))),
        Some(host) if !has_port_or_none(host) => Some(Error::Port(quoted(&hidden(text)))),
        _ => None,
    }
}

fn has_port_or_none(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    port.is_none_or(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The address in a row's name: as written, without `{{ target }}` before it and without a password.
pub(super) fn shown(url: &str) -> Cow<'_, str> {
    let without = url
        .strip_prefix("{{")
        .and_then(|rest| rest.trim_start().strip_prefix("target"))
        .and_then(|rest| rest.trim_start().strip_prefix("}}"));
    match without {
        Some("") => Cow::Borrowed("/"),
        Some(rest) => Cow::Borrowed(rest),
        None => without_user(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_password_are_found_before_the_host_alone() {
        for (address, found) in [
            ("http://us:pw@h/", Some("us:pw")),
            ("http://us@h", Some("us")),
            ("http://a@b:c@h?x=@", Some("a@b:c")),
            ("http://@h/", Some("")),
            ("us:pw@h/x", Some("us:pw")),
            ("http://h/@me", None),
            ("http://h?to=a@b", None),
            ("http://h#a@b", None),
            ("http://h/x?u=http://a:b@c/", None),
            ("/a@b", None),
            ("", None),
        ] {
            assert_eq!(apart(address).0, found, "{address}");
        }
        assert_eq!(
            apart("http://a{{b/c}}@h/"),
            (None, "http://a{{b/c}}@h/".into()),
            "braces are as any other"
        );
    }

    #[test]
    fn an_address_in_a_query_is_not_that_of_the_request() {
        for right in [
            "{{ target }}/search?site=https://example.com&sort=price:desc",
            "{{ target }}/login?to=app://auth:callback",
            "{{ target }}?file=file:///x",
            "http://h/?to=http://a:b@c",
            "{{ scheme }}://h:80/",
        ] {
            assert!(wrong(right).is_none(), "{right}");
        }
        for no_port in ["http://h:x/", "{{ scheme }}://h:x/", "http://us:p/w@h"] {
            assert!(wrong(no_port).is_some(), "{no_port}");
        }
    }

    #[test]
    fn what_is_written_is_shown_without_them() {
        for (written, shown) in [
            ("http://us:pw@h/a", "http://h/a"),
            ("http://{{ env.USER }}:{{ env['PASS'] }}@{{ host }}/{{ id }}", "http://{{ host }}/{{ id }}"),
            ("http://{{ a ~ '/@' }}:pw@h/", "http://h/"),
            ("{{ scheme }}://us:pw@h/", "{{ scheme }}://h/"),
            ("http://{{ a ~ '@' }}/x", "http://{{ a ~ '@' }}/x"),
            ("http://h/{{ a }}@b", "http://h/{{ a }}@b"),
            ("http://ü:ü@ö/ü", "http://ö/ü"),
            ("http://us:{{ open@h/", "http://us:{{ open@h/"),
        ] {
            assert_eq!(without_user(written), shown, "{written}");
        }
    }
}
