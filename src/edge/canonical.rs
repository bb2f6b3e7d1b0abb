//! Gives a head its one canonical form before the proxy parses it: a target in absolute-form
//! becomes origin-form, and its authority the only `Host` (RFC 9112, section 3.2.2).

use super::head::Refused;
use crate::reason::Reason;
use bytes::BytesMut;

const MALFORMED: Refused = Refused {
    reason: Reason::BadRequest,
    status: 400,
    detail: "the host is malformed",
};

/// Checks the host and rewrites an absolute target; most heads come back untouched.
///
/// # Errors
/// When the authority in the target or the `Host` field is not `host[:port]`.
pub fn head(bytes: BytesMut) -> Result<BytesMut, Refused> {
    let host = host_field(&bytes);
    if let Some(host) = host
        && !host_is_sound(host)
    {
        return Err(MALFORMED);
    }
    let Some(absolute) = Absolute::find(&bytes) else {
        return Ok(bytes);
    };
    if absolute.authority.is_empty() || !host_is_sound(absolute.authority) {
        return Err(MALFORMED);
    }
    Ok(absolute.rewrite(&bytes))
}

/// The parts of a request line in absolute-form.
struct Absolute<'a> {
    method: &'a [u8],
    authority: &'a [u8],
    /// Path and query; may be empty.
    rest: &'a [u8],
    version: &'a [u8],
}

impl<'a> Absolute<'a> {
    fn find(bytes: &'a [u8]) -> Option<Self> {
        let line = bytes.get(..memchr::memchr(b'\r', bytes)?)?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
        if matches!(target, [b'/' | b'*', ..]) {
            return None;
        }
        let after = target.get(memchr::memmem::find(target, b"://")? + 3..)?;
        let end = after
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'\\'));
        let (authority, rest) = after.split_at(end.unwrap_or(after.len()));
        Some(Self {
            method,
            authority,
            rest,
            version,
        })
    }

    fn rewrite(&self, bytes: &[u8]) -> BytesMut {
        let mut head = BytesMut::with_capacity(bytes.len() + 16);
        for part in [
            self.method,
            b" ",
            self.path_start(),
            self.rest,
            b" ",
            self.version,
        ] {
            head.extend_from_slice(part);
        }
        head.extend_from_slice(b"\r\nHost: ");
        head.extend_from_slice(self.authority);
        head.extend_from_slice(b"\r\n");
        let fields = bytes.split_inclusive(|byte| *byte == b'\n').skip(1);
        for field in fields.filter(|field| host_value(field).is_none()) {
            head.extend_from_slice(field);
        }
        head
    }

    /// An absolute target may have no path; `OPTIONS http://host` asks about the server as a whole.
    fn path_start(&self) -> &'static [u8] {
        match self.rest.first() {
            Some(b'/') => b"",
            None if self.method == b"OPTIONS" => b"*",
            _ => b"/",
        }
    }
}

fn host_field(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        rest = rest.get(memchr::memchr(b'\n', rest)? + 1..)?;
        let line = rest.get(..memchr::memchr(b'\r', rest)?)?;
        if let Some(value) = host_value(line) {
            return Some(value);
        }
    }
}

/// The value of a `Host` field line.
fn host_value(line: &[u8]) -> Option<&[u8]> {
    let (name, value) = line.split_at_checked(5)?;
    name.eq_ignore_ascii_case(b"host:")
        .then(|| value.trim_ascii())
}

/// Whether a `Host` is empty or `host[:port]`, by the rules that routing goes by.
fn host_is_sound(host: &[u8]) -> bool {
    let text = std::str::from_utf8(host);
    host.is_empty() || text.is_ok_and(|host| crate::routing::host::normalise_host(host).is_ok())
}

#[cfg(test)]
mod tests {
    use super::head;
    use bytes::BytesMut;

    fn canonical(text: &str) -> Option<String> {
        let bytes = head(BytesMut::from(text)).ok()?;
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
