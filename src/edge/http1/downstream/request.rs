//! Makes a request of the bytes of a head that has been judged, and is in canonical form.

use crate::edge::http1::request_head::{Body, Head, Refused};
use crate::edge::message::{ClientLimits, Length, Request};
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
pub fn read(
    bytes: &Bytes,
    head: &Head,
    limits: ClientLimits,
) -> Result<(Request, Wishes), Refused> {
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
        connects: false,
        limits,
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

#[cfg(test)]
mod tests {
    use super::{Wishes, read};
    use crate::edge::http1::canonicalize;
    use crate::edge::http1::request_head::{Limits, Scanner};
    use crate::edge::http1::testing::LIMITS_OF_CLIENTS;
    use crate::edge::message::{Length, Request};
    use bytes::{Bytes, BytesMut};
    use http::{Version, header};

    const LIMITS: Limits = Limits {
        bytes: 1024,
        fields: 8,
    };

    /// `None`: the head is refused before it is read.
    fn of(text: &[u8]) -> Option<(Request, Wishes, Bytes)> {
        let head = Scanner::default().scan(text, LIMITS).ok()??;
        let bytes = canonicalize::head(BytesMut::from(text), &head)
            .ok()?
            .freeze();
        let (request, wishes) = read(&bytes, &head, LIMITS_OF_CLIENTS).unwrap();
        Some((request, wishes, bytes))
    }

    fn target(method: &str, target: &[u8]) -> Option<String> {
        let line = [
            method.as_bytes(),
            b" ",
            target,
            b" HTTP/1.1\r\nHost: a\r\n\r\n",
        ];
        Some(of(&line.concat())?.0.head.uri.to_string())
    }

    #[test]
    fn a_head_is_read_whole_and_values_are_not_copied() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: x:80\r\nX-A:\tone two \r\nx-a:\r\n\
                     Content-Length: 5\r\nX-Odd: \xe9\r\n\r\n";
        let (request, wishes, bytes) = of(text).unwrap();
        let head = &request.head;
        assert_eq!(
            (head.method.as_str(), head.version),
            ("POST", Version::HTTP_11)
        );
        assert_eq!((head.uri.path(), head.uri.query()), ("/a", Some("b")));
        let values: Vec<_> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["one two", ""]);
        assert_eq!(head.headers["x-odd"].as_bytes(), b"\xe9");
        assert_eq!((head.headers.len(), request.body), (5, Length::Exact(5)));
        assert_eq!(
            wishes,
            Wishes {
                keeps: true,
                expects: false
            }
        );
        let host = head.headers[header::HOST].as_bytes().as_ptr_range();
        assert!(bytes.as_ptr_range().contains(&host.start));
    }

    #[test]
    fn every_target_that_is_taken_is_a_uri() {
        for byte in 0..=u8::MAX {
            for before in [
                &b"/"[..],
                b"/a",
                b"/?",
                b"/a?b",
                b"//",
                b"http://h/",
                b"http://h?",
            ] {
                for behind in [&b""[..], b"c"] {
                    let whole = [before, &[byte], behind].concat();
                    if let Some(uri) = target("GET", &whole) {
                        assert!(uri.starts_with('/'), "{} is {uri}", whole.escape_ascii());
                    }
                }
            }
        }
        assert_eq!(target("OPTIONS", b"*").as_deref(), Some("*"));
        assert_eq!(target("OPTIONS", b"http://h").as_deref(), Some("*"));
        assert_eq!(target("GET", b"http://h\\a").as_deref(), Some("/\\a"));
        assert_eq!(target("GET", b"/{a}|^[]?{").as_deref(), Some("/{a}|^[]?{"));
        assert_eq!(target("GET", "/é".as_bytes()).as_deref(), Some("/%C3%A9"));
        assert_eq!(target("GET", b"//h/a").as_deref(), Some("//h/a"));
    }

    #[test]
    fn the_length_of_the_body_is_told_once() {
        let with = |fields: &str| {
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let (request, ..) = of(text.as_bytes()).unwrap();
            let coded = request.head.headers.contains_key(header::TRANSFER_ENCODING);
            assert!(!coded, "{fields}");
            request.body
        };
        assert_eq!(with(""), Length::None);
        assert_eq!(with("Content-Length: 0\r\n"), Length::Exact(0));
        assert_eq!(with("Transfer-Encoding: chunked\r\n"), Length::Unknown);
    }

    #[test]
    fn the_connection_is_kept_as_the_client_wishes() {
        let wishes = |version: &str, fields: &str| {
            let text = format!("POST / {version}\r\nHost: x\r\n{fields}\r\n");
            of(text.as_bytes()).unwrap().1
        };
        let keeps = |version, fields| wishes(version, fields).keeps;
        assert!(keeps("HTTP/1.1", "") && !keeps("HTTP/1.0", ""));
        assert!(keeps("HTTP/1.0", "Connection: x, Keep-Alive\r\n"));
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            assert!(!keeps(version, "Connection: Close\r\n"));
            assert!(!keeps(
                version,
                "Connection: keep-alive\r\nConnection: x,close\r\n"
            ));
        }
        let expects = "Expect: x, 100-Continue\r\nContent-Length: 1\r\n";
        assert!(wishes("HTTP/1.1", expects).expects && !wishes("HTTP/1.0", expects).expects);
    }

    #[test]
    fn several_cookies_become_one() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nX: y\r\ncookie: b=2\r\n\r\n";
        let (request, ..) = of(text).unwrap();
        let cookies: Vec<_> = request
            .head
            .headers
            .get_all(header::COOKIE)
            .iter()
            .collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
