//! The normal form of a path: what is matched, and what the upstream sees.
//!
//! - Unreserved characters are decoded, other percent triplets are kept with upper-case digits;
//!   characters that a URI cannot have but clients send are encoded.
//! - `.` and `..` segments are resolved (RFC 3986, section 5.2.4); climbing above the root is
//!   refused. Empty segments are merged, so that `//admin` cannot dodge a rule for `/admin/*`.
//! - `%2F` and `%5C` stay as they are and never separate. A path that would turn into a dot
//!   segment if a parser behind us decoded it once more, or read `\` or `;` in its own way, is
//!   refused: no client sends one in good faith. Paths that would meet another route in such a
//!   reading are the matter of `ambiguity`.
//! - Control characters, spaces, raw backslashes, `#` and broken triplets are refused.
//!
//! **Invariant:** normalising a normal path changes nothing and allocates nothing.

use std::borrow::Cow;

/// How many times a path is decoded in search of hidden dot segments.
pub(super) const ROUNDS: usize = 3;

/// A request target, split and normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    pub path: Cow<'a, str>,
    /// As sent, without `?`.
    pub query: &'a str,
}

/// Why a path or query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not start with a slash")]
    NoLeadingSlash,
    #[error("the path or query has a character that a URI cannot have")]
    BadCharacter,
    #[error("a percent sign is not followed by two hex digits")]
    BadTriplet,
    #[error("the path climbs above the root")]
    AboveRoot,
    #[error("the path hides a dot segment")]
    HiddenDots,
}

/// Path and query of a target in origin-form, as they came; the query without its `?`.
fn split(target: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', target) {
        Some(at) => (
            target.get(..at).unwrap_or(&[]),
            target.get(at + 1..).unwrap_or(&[]),
        ),
        None => (target, &[]),
    }
}

/// Splits a target in origin-form and normalises its path.
///
/// # Errors
/// When path or query cannot be given one safe meaning.
pub fn normalise_target(raw: &[u8]) -> Result<Target<'_>, PathError> {
    let (path, query) = split(raw);
    let clean = |byte: &u8| *byte > 0x20 && *byte != 0x7f && *byte != b'#';
    if !query.iter().all(clean) {
        return Err(PathError::BadCharacter);
    }
    let query = std::str::from_utf8(query).map_err(|_| PathError::BadCharacter)?;
    Ok(Target {
        path: normalise_path(path)?,
        query,
    })
}

/// Normalises a path.
///
/// # Errors
/// See [`PathError`].
pub fn normalise_path(raw: &[u8]) -> Result<Cow<'_, str>, PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::NoLeadingSlash);
    }
    if is_plain(raw)
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return Ok(Cow::Borrowed(text));
    }
    let encoded = recode(raw)?;
    let resolved = resolve(&encoded)?;
    if hides_dots(&resolved) {
        return Err(PathError::HiddenDots);
    }
    if resolved.as_bytes() == raw
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(resolved))
}

/// Whether every byte means itself and no segment is empty or made of dots: the common case.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for byte in path {
        match byte {
            b'/' if before == b'/' => return false,
            // A dot at the start of a segment may begin `.`, `..` or `..;`.
            b'.' if before == b'/' => return false,
            _ if !is_kept(*byte) => return false,
            _ => {}
        }
        before = *byte;
    }
    true
}

/// Bytes that a path keeps as they are: unreserved, sub-delims, `:`, `@` and `/` (RFC 3986).
pub(super) const fn is_kept(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
        )
}

const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

/// Decodes what needs no encoding, encodes what does.
fn recode(raw: &[u8]) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len() + 8);
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (value, after) = triplet(after).ok_or(PathError::BadTriplet)?;
                rest = after;
                match value {
                    0..0x20 | 0x7f => return Err(PathError::BadCharacter),
                    value if is_unreserved(value) => out.push(value as char),
                    value => push_encoded(&mut out, value),
                }
            }
            b'\\' | b'#' | b'?' | 0..=0x20 | 0x7f => return Err(PathError::BadCharacter),
            byte if is_kept(*byte) => out.push(*byte as char),
            byte => push_encoded(&mut out, *byte),
        }
    }
    Ok(out)
}

/// The value of two hex digits, and what follows them.
fn triplet(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(2)?;
    let [high, low] = digits else { return None };
    let value = (*high as char).to_digit(16)? * 16 + (*low as char).to_digit(16)?;
    Some((u8::try_from(value).ok()?, rest))
}

pub(super) fn push_encoded(out: &mut String, byte: u8) {
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

/// Takes out dot segments and empty ones.
pub(super) fn resolve(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = true;
    for segment in path.split('/').skip(1) {
        ends_in_slash = true;
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or(PathError::AboveRoot)?;
            }
            segment => {
                kept.push(segment);
                ends_in_slash = false;
            }
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_slash {
        out.push('/');
    }
    Ok(out)
}

/// Whether decoding further, reading `\` as a slash, or dropping `;parameters` would make a dot
/// segment.
fn hides_dots(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=ROUNDS {
        let dots = bytes
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or(&[]))
            .any(|name| matches!(name, b"." | b".."));
        if dots {
            return true;
        }
        let decoded = decode_once(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    // Encoded over and over: whatever it hides, it is not a path.
    true
}

pub(super) fn decode_once(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        match (byte, triplet(after)) {
            (b'%', Some((value, after))) => {
                out.push(value);
                rest = after;
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{PathError, normalise_path, normalise_target};
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn normal(path: &str) -> Result<String, PathError> {
        normalise_path(path.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn each_form_has_one_normal_form() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//", "/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/%61%2e%7e", "/a.~"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/a%20b", "/a%20b"),
            ("/\u{e9}", "/%C3%A9"),
            ("/a|b{c}\"<>^`", "/a%7Cb%7Bc%7D%22%3C%3E%5E%60"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/100%25", "/100%25"),
        ] {
            assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_has_no_safe_meaning_is_refused() {
        for (raw, error) in [
            ("", PathError::NoLeadingSlash),
            ("a", PathError::NoLeadingSlash),
            ("/..", PathError::AboveRoot),
            ("/a/../..", PathError::AboveRoot),
            ("/%2e%2e/a", PathError::AboveRoot),
            ("/a b", PathError::BadCharacter),
            ("/a\\b", PathError::BadCharacter),
            ("/a#b", PathError::BadCharacter),
            ("/%00", PathError::BadCharacter),
            ("/%0d%0a", PathError::BadCharacter),
            ("/%", PathError::BadTriplet),
            ("/%2", PathError::BadTriplet),
            ("/%zz", PathError::BadTriplet),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a%2f..%2fb", PathError::HiddenDots),
            ("/a/..%5cb", PathError::HiddenDots),
            ("/a/%252e%252e/b", PathError::HiddenDots),
            ("/a/%25252e%25252e/b", PathError::HiddenDots),
            ("/a/..;/b", PathError::HiddenDots),
            ("/a/..;x=y/b", PathError::HiddenDots),
            ("/%2525252525", PathError::HiddenDots),
        ] {
            assert_eq!(normal(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        assert!(matches!(
            normalise_path(b"/a/b-c_d~e:f@g"),
            Ok(Cow::Borrowed(_))
        ));
        assert!(matches!(
            normalise_path(b"/.well-known/a%20b"),
            Ok(Cow::Borrowed(_))
        ));
    }

    #[test]
    fn the_query_is_kept_but_not_with_control_characters() {
        let target = normalise_target(b"/a/../b?x=%2e%2e&y=a+b?c").unwrap();
        assert_eq!((&*target.path, target.query), ("/b", "x=%2e%2e&y=a+b?c"));
        assert!(normalise_target(b"/a?b c").is_err());
        assert!(normalise_target(b"/a?b#c").is_err());
        assert!(normalise_target(b"/a?b\0").is_err());
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(
            raw in prop::collection::vec(prop_oneof![
                Just(b'/'), Just(b'.'), Just(b'%'), Just(b'2'), Just(b'e'), Just(b'5'), Just(b';'),
                any::<u8>(),
            ], 0..24),
        ) {
            let raw = [b"/", &raw[..]].concat();
            if let Ok(once) = normalise_path(&raw) {
                prop_assert!(matches!(normalise_path(once.as_bytes()), Ok(Cow::Borrowed(p)) if p == once));
                prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
                prop_assert!(!once.contains("//"));
                prop_assert!(once.parse::<http::uri::PathAndQuery>().is_ok());
            }
        }
    }
}
