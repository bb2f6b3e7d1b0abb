//! The head of a request, as HTTP/1.1 has it (RFC 9112, section 3).

use crate::edge::message::Length;
use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Uri, request};

/// What a head says that matters to the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method is `HEAD`: the answer has no content, whatever it says.
    pub head: bool,
    /// The request offers to switch to another protocol.
    pub upgrade: bool,
    /// The request asks for the connection to be closed.
    pub close: bool,
}

/// Writes a head. Its fields of framing are replaced by those that `body` asks for.
pub fn write(out: &mut BytesMut, head: &request::Parts, body: Length) -> Asked {
    let mut asked = Asked {
        head: head.method == Method::HEAD,
        ..Asked::default()
    };
    out.put_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    write_target(out, &head.uri);
    out.put_slice(b" HTTP/1.1\r\n");
    let mut host = false;
    for (name, value) in &head.headers {
        if is_framing(name) {
            continue;
        }
        host |= *name == HOST;
        asked.upgrade |= *name == UPGRADE;
        asked.close |= *name == CONNECTION && has_token(value.as_bytes(), "close");
        write_field(out, name, value.as_bytes());
    }
    if !host {
        // Required, and empty where the target has no authority (RFC 9112, section 3.2).
        let authority = head.uri.authority().map_or("", |host| host.as_str());
        write_field(out, &HOST, authority.as_bytes());
    }
    write_framing(out, &head.method, body);
    out.put_slice(b"\r\n");
    asked
}

fn write_target(out: &mut BytesMut, uri: &Uri) {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    if target.starts_with('?') {
        // An empty path is sent as `/` (RFC 9112, section 3.2.1).
        out.put_u8(b'/');
    }
    out.put_slice(target.as_bytes());
}

fn write_framing(out: &mut BytesMut, method: &Method, body: Length) {
    // Without it, some servers wait for a body, or refuse the request (RFC 9110, section 8.6).
    let expected = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let length = match body {
        Length::None if expected => 0,
        Length::None => return,
        Length::Exact(length) => length,
        Length::Unknown => return out.put_slice(b"transfer-encoding: chunked\r\n"),
    };
    let mut digits = itoa::Buffer::new();
    write_field(out, &CONTENT_LENGTH, digits.format(length).as_bytes());
}

/// Writes the end of a chunked body, with its trailers (RFC 9112, section 7.1.2).
pub fn write_trailers(out: &mut BytesMut, trailers: Option<&HeaderMap>) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if !is_framing(name) {
            write_field(out, name, value.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
}

fn write_field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    out.reserve(name.as_str().len() + value.len() + 4);
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Whether a field is about where a message ends.
pub fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

/// Whether a comma-separated list has this token; letter case does not matter.
pub fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{Asked, write, write_trailers};
    use crate::edge::message::Length;
    use bytes::BytesMut;
    use http::{HeaderMap, Request, request};

    fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn written(head: &request::Parts, body: Length) -> (String, Asked) {
        let mut out = BytesMut::new();
        let asked = write(&mut out, head, body);
        (String::from_utf8(out.to_vec()).unwrap(), asked)
    }

    #[test]
    fn a_head_has_the_framing_of_its_body() {
        let fields = [
            ("Host", "a"),
            ("Content-Length", "7"),
            ("Transfer-Encoding", "gzip"),
            ("X-One", "1"),
            ("X-One", "2"),
        ];
        let start = "/p?q HTTP/1.1\r\nhost: a\r\nx-one: 1\r\nx-one: 2\r\n";
        for (method, body, framing) in [
            ("GET", Length::None, ""),
            ("POST", Length::None, "content-length: 0\r\n"),
            ("PUT", Length::None, "content-length: 0\r\n"),
            ("PATCH", Length::None, "content-length: 0\r\n"),
            ("GET", Length::Exact(0), "content-length: 0\r\n"),
            ("POST", Length::Exact(12), "content-length: 12\r\n"),
            ("PURGE", Length::Unknown, "transfer-encoding: chunked\r\n"),
        ] {
            let (text, asked) = written(&head(method, "/p?q", &fields), body);
            assert_eq!(text, format!("{method} {start}{framing}\r\n"));
            assert_eq!(asked, Asked::default());
        }
    }

    #[test]
    fn targets_are_in_origin_form() {
        for (uri, target, host) in [
            ("*", "*", ""),
            ("/", "/", ""),
            ("/a%20b?c=/../", "/a%20b?c=/../", ""),
            ("http://b:80", "/", "b:80"),
            ("http://b?q", "/?q", "b"),
            ("http://b/c", "/c", "b"),
        ] {
            let (text, _) = written(&head("OPTIONS", uri, &[]), Length::None);
            let wanted = format!("OPTIONS {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            assert_eq!(text, wanted, "{uri}");
        }
        let (text, _) = written(&head("GET", "http://b/c", &[("host", "d")]), Length::None);
        assert_eq!(text, "GET /c HTTP/1.1\r\nhost: d\r\n\r\n");
    }

    #[test]
    fn a_head_says_what_matters_to_the_answer() {
        let fields = [
            ("connection", "Keep-Alive, Close"),
            ("upgrade", "websocket"),
        ];
        let (text, asked) = written(&head("HEAD", "/", &fields), Length::None);
        assert!(text.contains("connection: Keep-Alive, Close\r\nupgrade: websocket\r\n"));
        assert!(asked.head && asked.upgrade && asked.close);
    }

    #[test]
    fn trailers_have_no_framing() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("content-length", "5".parse().unwrap());
        let mut out = BytesMut::new();
        write_trailers(&mut out, Some(&trailers));
        write_trailers(&mut out, None);
        assert_eq!(out, "0\r\ngrpc-status: 0\r\n\r\n0\r\n\r\n");
    }
}
