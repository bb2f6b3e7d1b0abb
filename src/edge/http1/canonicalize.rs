//! Gives a head its one canonical form before the proxy parses it:
//!
//! - a target in absolute-form becomes origin-form, and its authority the only `Host` (RFC 9112,
//!   section 3.2.2);
//! - what a URI cannot have in path and query is percent-encoded;
//! - lines of `Connection` become one;
//! - `Upgrade` goes unless it is a WebSocket's, with the option that makes it count (RFC 9110,
//!   section 7.8): a server may ignore it, and then the request is like any other.

use super::request_head::{Head, Refused, is_encoded, is_host};
use bytes::BytesMut;
use std::io::Write;

/// Rewrites what has to be; most heads come back untouched. `head` says what was found in these
/// bytes.
///
/// # Errors
/// When the authority in the target is not `host[:port]`.
pub fn head(bytes: BytesMut, head: &Head) -> Result<BytesMut, Refused> {
    if !head.rewrite {
        return Ok(bytes);
    }
    let line = RequestLine::find(&bytes).ok_or(Refused::BAD_HOST)?;
    if let Some(authority) = line.authority
        && (authority.is_empty() || !is_host(authority))
    {
        return Err(Refused::BAD_HOST);
    }
    Ok(line.rewrite(&bytes, head.websocket))
}

/// The parts of a request line.
struct RequestLine<'a> {
    method: &'a [u8],
    /// Of a target in absolute-form.
    authority: Option<&'a [u8]>,
    /// Path and query; may be empty.
    rest: &'a [u8],
    version: &'a [u8],
}

impl<'a> RequestLine<'a> {
    fn find(bytes: &'a [u8]) -> Option<Self> {
        let line = bytes.get(..memchr::memchr(b'\r', bytes)?)?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
        let (authority, rest) = match target {
            [b'/' | b'*', ..] => (None, target),
            _ => {
                let after = target.get(memchr::memmem::find(target, b"://")? + 3..)?;
                let end = after
                    .iter()
                    .position(|byte| matches!(byte, b'/' | b'?' | b'\\'));
                let (authority, rest) = after.split_at(end.unwrap_or(after.len()));
                (Some(authority), rest)
            }
        };
        Some(Self {
            method,
            authority,
            rest,
            version,
        })
    }

    fn rewrite(&self, bytes: &[u8], websocket: bool) -> BytesMut {
        let mut head = Vec::with_capacity(bytes.len() + 64);
        for part in [self.method, b" ", self.path_start()] {
            head.extend_from_slice(part);
        }
        for byte in self.rest {
            match is_encoded(*byte) {
                true => drop(write!(head, "%{byte:02X}")),
                false => head.push(*byte),
            }
        }
        for part in [b" ", self.version, b"\r\n"] {
            head.extend_from_slice(part);
        }
        if let Some(authority) = self.authority {
            head.extend_from_slice(b"Host: ");
            head.extend_from_slice(authority);
            head.extend_from_slice(b"\r\n");
        }
        let fields = bytes.split_inclusive(|byte| *byte == b'\n').skip(1);
        let fields = fields.filter(|field| *field != b"\r\n");
        let mut options: Vec<&[u8]> = Vec::new();
        for field in fields {
            if let Some(value) = value_of(field, b"connection:") {
                options.push(value);
                continue;
            }
            let replaced = self.authority.is_some() && value_of(field, b"host:").is_some();
            let ignored = !websocket && value_of(field, b"upgrade:").is_some();
            if !replaced && !ignored {
                head.extend_from_slice(field);
            }
        }
        if !options.is_empty() {
            head.extend_from_slice(b"Connection: ");
            head.extend_from_slice(&options.join(&b", "[..]));
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        BytesMut::from(head.as_slice())
    }

    /// An absolute target may have no path; `OPTIONS http://host` asks about the server as a whole.
    fn path_start(&self) -> &'static [u8] {
        match (self.authority, self.rest.first()) {
            (None, _) | (_, Some(b'/')) => b"",
            (_, None) if self.method == b"OPTIONS" => b"*",
            _ => b"/",
        }
    }
}

/// The value of a field line, if it is of this name, which ends in its colon.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (own, value) = line.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::head;
    use crate::edge::http1::request_head::{Limits, Scanner};
    use bytes::BytesMut;

    fn canonical(text: &str) -> Option<String> {
        let limits = Limits {
            bytes: 1024,
            fields: 8,
        };
        let found = Scanner::default().scan(text.as_bytes(), limits);
        let bytes = head(BytesMut::from(text), &found.ok()??).ok()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn origin_form_is_left_alone() {
        let text = "GET /a HTTP/1.1\r\nHost: x:80\r\n\r\n";
        assert_eq!(canonical(text).as_deref(), Some(text));
    }

    #[test]
    fn the_authority_of_an_absolute_target_replaces_host() {
        let text = "GET http://a.example:81/p?q HTTP/1.1\r\nA: b\r\nhOst: other\r\nC: d\r\n\r\n";
        let expected = "GET /p?q HTTP/1.1\r\nHost: a.example:81\r\nA: b\r\nC: d\r\n\r\n";
        assert_eq!(canonical(text).as_deref(), Some(expected));
        let bare = canonical("GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(bare.starts_with("GET /?q HTTP/1.1\r\nHost: a\r\n"));
        let options = canonical("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(options.starts_with("OPTIONS * HTTP/1.1\r\n"));
    }

    #[test]
    fn what_a_uri_cannot_have_is_encoded_in_path_and_query() {
        let text = "GET /<a>`é?q=\"<b>\" HTTP/1.1\r\nHost: x\r\n\r\n";
        let expected = "GET /%3Ca%3E%60%C3%A9?q=%22%3Cb%3E%22 HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(canonical(text).as_deref(), Some(expected));
    }

    #[test]
    fn options_of_the_connection_stand_in_one_line() {
        let text =
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: x-a\r\nA: b\r\nconnection: close\r\n\r\n";
        let expected = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nConnection: x-a, close\r\n\r\n";
        assert_eq!(canonical(text).as_deref(), Some(expected));
    }

    #[test]
    fn only_a_whole_offer_of_websocket_stays() {
        let with = |method: &str, fields: &str| {
            let text = format!("{method} / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let offered = canonical(&text).unwrap().contains("Upgrade: ");
            (offered, canonical(&text).unwrap() == text)
        };
        let whole = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
        assert_eq!(with("GET", whole), (true, true));
        for (method, fields) in [
            ("POST", whole),
            ("GET", "Upgrade: websocket\r\n"),
            ("GET", "Connection: close\r\nUpgrade: websocket\r\n"),
            ("GET", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
            (
                "GET",
                "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
            ),
        ] {
            assert_eq!(with(method, fields), (false, false), "{method} {fields}");
        }
    }

    #[test]
    fn a_host_that_is_not_one_is_refused() {
        for host in ["a b", "u@h", "a:b", "a:1:2", "[::1", "a/b", "a\\b", "a,b"] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(canonical(&text), None, "{host}");
        }
        assert_eq!(
            canonical("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
            None
        );
        assert_eq!(canonical("GET http:///p HTTP/1.1\r\nHost: h\r\n\r\n"), None);
        assert!(canonical("GET / HTTP/1.1\r\nHost:\r\n\r\n").is_some());
        assert!(canonical("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").is_some());
    }
}
