//! Makes a request of the bytes of a head that has been judged, and is in canonical form.

use crate::edge::head::{Body, Head, Refused};
use crate::edge::message::{Length, Request};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request};

/// Room in the map of fields for those that are added on the way to an upstream.
const FIELDS_ADDED: usize = 4;

/// What a head says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Another request may follow (RFC 9112, section 9.3).
    pub keeps: bool,
    /// The client waits to be asked for the body (RFC 9110, section 10.1.1).
    pub expects: bool,
}

/// Reads a head. Values are parts of `bytes`, not copies.
///
/// # Errors
/// When the target is no URI, or the fields are too many.
pub fn read(bytes: &Bytes, head: &Head) -> Result<(Request, Wishes), Refused> {
    let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    let (line, fields) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let (mut parts, ()) = http::Request::new(()).into_parts();
    request_line(bytes, line, &mut parts)?;
    parts.version = match head.http11 {
        true => Version::HTTP_11,
        false => Version::HTTP_10,
    };
    let lines = memchr::memchr_iter(b'\n', fields).count();
    parts.headers = HeaderMap::with_capacity(lines + FIELDS_ADDED);
    let found = read_fields(bytes, fields, &mut parts.headers)?;
    if found.cookies > 1 {
        join_cookies(&mut parts.headers);
    }
    let keeps = match head.http11 {
        true => !found.close,
        false => found.keep_alive && !found.close,
    };
    let wishes = Wishes {
        keeps,
        expects: found.expects && head.http11,
    };
    let body = match head.body {
        Body::None if found.length => Length::Exact(0),
        Body::None => Length::None,
        Body::Length(length) => Length::Exact(length),
        Body::Chunked => Length::Unknown,
    };
    let request = Request {
        head: parts,
        body,
        websocket: head.websocket,
    };
    Ok((request, wishes))
}

fn request_line(bytes: &Bytes, line: &[u8], parts: &mut request::Parts) -> Result<(), Refused> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or(&[]), words.next().unwrap_or(&[]));
    parts.method = Method::from_bytes(method).map_err(|_| BAD_METHOD)?;
    let target = PathAndQuery::from_maybe_shared(bytes.slice_ref(target));
    parts.uri = Uri::from(target.map_err(|_| BAD_TARGET)?);
    Ok(())
}

/// What is found while fields are read.
#[derive(Debug, Default)]
struct Found {
    close: bool,
    keep_alive: bool,
    expects: bool,
    length: bool,
    cookies: usize,
}

fn read_fields(bytes: &Bytes, fields: &[u8], map: &mut HeaderMap) -> Result<Found, Refused> {
    let mut found = Found::default();
    // Before the first line feed ends the request line.
    for line in fields.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else {
            break; // the empty line
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or(&[]).trim_ascii();
        let name = HeaderName::from_bytes(name).map_err(|_| BAD_FIELD)?;
        if name == header::TRANSFER_ENCODING {
            continue; // the length of the body says it
        }
        found.look_at(&name, value);
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value));
        let value = value.map_err(|_| BAD_FIELD)?;
        if map.try_append(name, value).is_err() {
            return Err(TOO_MANY_FIELDS);
        }
    }
    Ok(found)
}

impl Found {
    fn look_at(&mut self, name: &HeaderName, value: &[u8]) {
        let says = |what: &[u8]| {
            let mut elements = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            elements.any(|element| element.eq_ignore_ascii_case(what))
        };
        match *name {
            header::CONNECTION => {
                self.close |= says(b"close");
                self.keep_alive |= says(b"keep-alive");
            }
            header::EXPECT => self.expects |= says(b"100-continue"),
            header::CONTENT_LENGTH => self.length = true,
            header::COOKIE => self.cookies += 1,
            _ => {}
        }
    }
}

/// Makes one field of several, as HTTP/2 joins them (RFC 9113, section 8.2.3).
fn join_cookies(map: &mut HeaderMap) {
    let lines: Vec<&[u8]> = map
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        map.insert(header::COOKIE, joined);
    }
}

const BAD_METHOD: Refused = Refused::bad("the method is not a token");
const BAD_TARGET: Refused = Refused::bad("the request target is malformed");
const BAD_FIELD: Refused = Refused::bad("a header field is malformed");
const TOO_MANY_FIELDS: Refused = Refused::too_large("the request has too many header fields");
