//! What the head of a coded answer says of it, for each way to ask: `GET`, `HEAD` and conditional
//! requests (RFC 9110, sections 8, 9.3.2 and 15.4.5).

use crate::config::compress::{Coding, Table};
use crate::edge::headers::{DIGESTS, elements};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use memchr::memmem;

/// Whether the representation that the answer is about is coded for clients that take it.
///
/// An answer of 304 mostly leaves out the type and the length, and one of 206 may have the type of
/// its parts. What is not said does not keep the representation from being coded.
pub fn may_be_coded(status: StatusCode, headers: &HeaderMap, rules: &Table) -> bool {
    let part = status == StatusCode::PARTIAL_CONTENT;
    if status == StatusCode::NO_CONTENT
        || status.is_informational()
        || headers.contains_key(CONTENT_ENCODING)
        || !part && headers.contains_key(CONTENT_RANGE)
    {
        return false;
    }
    // The length of a part says nothing about the whole.
    let length = text(headers, CONTENT_LENGTH).filter(|_| !part);
    let length = length.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length < rules.min.0) || is_fixed(headers) {
        return false;
    }
    let kind = text(headers, CONTENT_TYPE).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    let unsaid = match status {
        StatusCode::NOT_MODIFIED => kind.is_empty(),
        _ => part && kind.eq_ignore_ascii_case("multipart/byteranges"),
    };
    unsaid || rules.types.iter().any(|wanted| is_of(kind, wanted))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether no intermediary may change the bytes (RFC 9111, section 5.2.2.6).
fn is_fixed(headers: &HeaderMap) -> bool {
    elements(headers, &CACHE_CONTROL).any(|said| said.eq_ignore_ascii_case(b"no-transform"))
}

fn is_of(kind: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => kind
            .get(..start.len())
            .is_some_and(|own| own.eq_ignore_ascii_case(start)),
        None => kind.eq_ignore_ascii_case(wanted),
    }
}

/// Makes a head that of the coded representation.
pub fn coded(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    weaken(headers);
    without_plain(headers);
}

/// The same for an answer of 304, which is about what the client has kept. It names no coding (RFC
/// 9110, section 15.4.5).
///
/// A client that names the strong tag alone has kept the plain bytes, whatever it takes now: the
/// tag that it knows is confirmed. In each other case the tag is the one that a 200 would have.
pub fn not_modified(asked: &HeaderMap, headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).map(HeaderValue::as_bytes);
    if !tag.is_some_and(|tag| names_only_strongly(asked, tag)) {
        weaken(headers);
        without_plain(headers);
    }
}

/// Whether `If-None-Match` names a tag, and never in its weak form. A tag may have commas within.
fn names_only_strongly(asked: &HeaderMap, tag: &[u8]) -> bool {
    let (mut strong, mut weak) = (false, false);
    for line in asked.get_all(IF_NONE_MATCH) {
        let line = line.as_bytes();
        for at in memmem::find_iter(line, tag) {
            match line.get(..at).is_some_and(|before| before.ends_with(b"W/")) {
                true => weak = true,
                false => strong = true,
            }
        }
    }
    strong && !weak
}

/// The same content in other bytes: only weakly the same (RFC 9110, section 8.8.3).
fn weaken(headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let strong = tag.filter(|tag| !tag.starts_with("W/"));
    if let Some(Ok(weak)) = strong.map(|tag| HeaderValue::try_from(format!("W/{tag}"))) {
        headers.insert(ETAG, weak);
    }
}

/// Removes the fields that are true of the plain bytes alone.
fn without_plain(headers: &mut HeaderMap) {
    headers.remove(&CONTENT_LENGTH);
    headers.remove(&ACCEPT_RANGES);
    for name in &DIGESTS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::{coded, is_of, may_be_coded, names_only_strongly, not_modified};
    use crate::config::compress::{Coding, Table};
    use http::{HeaderMap, StatusCode};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn may(status: u16, fields: &[(&'static str, &'static str)]) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        may_be_coded(status, &headers(fields), &Table::default())
    }

    #[test]
    fn types_match_whole_or_by_kind() {
        assert!(is_of("text/html", "text/*"));
        assert!(is_of("Application/JSON", "application/json"));
        assert!(!is_of("image/png", "text/*"));
        assert!(!is_of("", "text/*"));
    }

    #[test]
    fn what_is_unsaid_keeps_no_representation_from_being_coded() {
        const TEXT: (&str, &str) = ("content-type", "text/plain");
        for (status, fields, wanted) in [
            (200, &[TEXT][..], true),
            (200, &[], false),
            (304, &[], true),
            (304, &[TEXT], true),
            (304, &[("content-type", "image/png")], false),
            (304, &[TEXT, ("content-length", "10")], false),
            (
                206,
                &[
                    TEXT,
                    ("content-range", "bytes 0-9/99"),
                    ("content-length", "10"),
                ],
                true,
            ),
            (
                206,
                &[("content-type", "multipart/byteranges; boundary=x")],
                true,
            ),
            (206, &[("content-type", "image/png")], false),
            (204, &[], false),
            (200, &[TEXT, ("content-encoding", "br")], false),
            (304, &[("content-encoding", "br")], false),
            (
                200,
                &[
                    TEXT,
                    ("cache-control", "public"),
                    ("cache-control", "a, No-Transform"),
                ],
                false,
            ),
            (304, &[("cache-control", "no-transform")], false),
        ] {
            assert_eq!(may(status, fields), wanted, "{status} {fields:?}");
        }
    }

    #[test]
    fn nothing_about_the_plain_bytes_is_left_on_a_coded_answer() {
        let mut head = headers(&[
            ("content-length", "5000"),
            ("accept-ranges", "bytes"),
            ("etag", "\"v1\""),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("digest", "sha-256=x"),
            ("content-md5", "x"),
            ("last-modified", "Sat, 21 Nov 2026 10:00:00 GMT"),
        ]);
        coded(&mut head, Coding::Gzip);
        let mut left: Vec<_> = head.iter().map(|(name, _)| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-encoding", "etag", "last-modified"]);
        assert_eq!(head["etag"], "W/\"v1\"");
    }

    #[test]
    fn a_304_confirms_the_tag_of_what_the_client_has_kept() {
        for (condition, tag) in [
            ("W/\"v,1\"", "W/\"v,1\""),
            ("\"v,1\"", "\"v,1\""),
            ("\"v\", \"v,1\"", "\"v,1\""),
            ("\"v,1\", W/\"v,1\"", "W/\"v,1\""),
            ("*", "W/\"v,1\""),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert("if-none-match", condition.parse().unwrap());
            let mut answer = headers(&[("etag", "\"v,1\""), ("content-length", "9")]);
            not_modified(&asked, &mut answer);
            assert_eq!(answer["etag"], tag, "{condition}");
            assert_eq!(
                answer.contains_key("content-length"),
                !tag.starts_with("W/"),
                "{condition}"
            );
        }
        assert!(!names_only_strongly(&HeaderMap::new(), b"\"v\""));
    }
}
