//! Heads of requests over HTTP/2, of which the library knows that their fields are fields: judged
//! as those of HTTP/1 are (`head`), and taken to their one form (as by `canonical`):
//!
//! - crumbs of a cookie become one (RFC 9113, section 8.2.3);
//! - a `Host` that says what `:authority` says is not repeated (RFC 9113, section 8.3.1).

use crate::edge::headers::is_padded;
use crate::edge::http1::request_head::{Limits, Refused};
use crate::reason::Reason;
use crate::routing::host::normalise_host;
use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::borrow::Cow;

/// What each field counts beside its name and value (RFC 9113, section 6.5.2).
const FIELD: usize = 32;

/// Malformed, so that nobody answers it (RFC 9113, section 8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Judges a head. One that is to be refused keeps the refusal, which the exchange answers with.
///
/// # Errors
/// When it is no request at all.
pub fn judge(parts: &mut Parts, limits: Limits) -> Result<(), Malformed> {
    let mut size = 0;
    for (name, value) in &parts.headers {
        if is_padded(value) {
            return Err(Malformed);
        }
        size += name.as_str().len() + value.len() + FIELD;
    }
    if !is_length_sound(&parts.headers) {
        return Err(Malformed);
    }
    let target = parts.uri.path_and_query();
    let target = target.map_or("", http::uri::PathAndQuery::as_str);
    if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Malformed);
    }
    size += target.len();
    join(&mut parts.headers, &header::COOKIE);
    let judged = match () {
        () if size > limits.bytes => Err(TOO_LARGE),
        () if parts.headers.len() > limits.fields => Err(TOO_MANY),
        () => target_is_sound(parts).and_then(|()| one_authority(parts)),
    };
    if let Err(refused) = judged {
        parts.extensions.insert(refused);
    }
    Ok(())
}

const TOO_LARGE: Refused = Refused::too_large("the request head is too large");
const TOO_MANY: Refused = Refused::too_large("the request has too many header fields");

const CONNECT: Refused = Refused {
    reason: Reason::MethodNotAllowed,
    status: 405,
    detail: "CONNECT is not served here",
};

/// Whether a request asks for a WebSocket (RFC 8441, section 5).
pub fn asks_for_websocket(parts: &Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// Of requests with `CONNECT`, those for a WebSocket alone are served. The client has no other way
/// to send content with one than the WebSocket itself, so that it cannot announce a length.
fn method_is_served(parts: &Parts) -> Result<(), Refused> {
    if parts.method != Method::CONNECT {
        return Ok(());
    }
    if !asks_for_websocket(parts) {
        return Err(CONNECT);
    }
    match parts.headers.contains_key(header::CONTENT_LENGTH) {
        true => Err(Refused::bad("a request for a WebSocket has no content")),
        false => Ok(()),
    }
}

fn target_is_sound(parts: &Parts) -> Result<(), Refused> {
    method_is_served(parts)?;
    if parts.uri.scheme_str() == Some("") {
        return Err(Refused::bad("the scheme is empty"));
    }
    match parts.uri.path().as_bytes() {
        [b'/', ..] => Ok(()),
        b"*" if parts.method == Method::OPTIONS => Ok(()),
        _ => Err(Refused::bad("the request target is malformed")),
    }
}

/// Fields of one name in one, as the pieces of a cookie are joined.
fn join(headers: &mut HeaderMap, name: &HeaderName) {
    let mut lines = headers.get_all(name).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let mut whole = [first.as_bytes(), second.as_bytes()].join(&b"; "[..]);
    for line in lines {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(line.as_bytes());
    }
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        headers.insert(name, whole);
    }
}

/// Whether the length of the body is given at most once, in digits alone. The RFC lets a recipient
/// join equal lengths (RFC 9110, section 8.6); over HTTP/1 they are refused, so they are here.
fn is_length_sound(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(length), None) => {
            !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whom a request is for, said once.
fn one_authority(parts: &mut Parts) -> Result<(), Refused> {
    const MALFORMED: Refused = Refused::bad("the host is malformed");
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Refused::bad("the request has more than one host"));
    }
    let scheme = parts.uri.scheme_str().unwrap_or("");
    let host = host.map(|host| host.to_str().map_err(|_| MALFORMED));
    let host = host.transpose()?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match (authority, host) {
        (None, None | Some("")) => Err(Refused::bad("the request names no host")),
        (None, Some(host)) => entity(host, scheme).map(drop).ok_or(MALFORMED),
        (Some(authority), None) => entity(authority, scheme).map(drop).ok_or(MALFORMED),
        (Some(authority), Some(host)) => {
            let named = entity(authority, scheme).ok_or(MALFORMED)?;
            if entity(host, scheme).ok_or(MALFORMED)? != named {
                return Err(Refused::bad("the host is not the authority"));
            }
            parts.headers.remove(header::HOST);
            Ok(())
        }
    }
}

/// Name and port of what is asked for; a port that is not said is the scheme's.
fn entity<'a>(authority: &'a str, scheme: &str) -> Option<(Cow<'a, str>, u16)> {
    let host = normalise_host(authority)
        .ok()
        .filter(|host| !host.is_empty())?;
    let said = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let own = if scheme == "https" { 443 } else { 80 };
    Some((host, said.unwrap_or(own)))
}

#[cfg(test)]
mod tests {
    use super::{Malformed, judge};
    use crate::edge::http1::request_head::{Limits, Refused};
    use h2::ext::Protocol;
    use http::request::{Builder, Parts};
    use http::{Request, header};

    const LIMITS: Limits = Limits {
        bytes: 1024,
        fields: 4,
    };

    fn judged(request: Builder) -> Result<Parts, Malformed> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        judge(&mut parts, LIMITS).map(|()| parts)
    }

    fn refused(request: Builder) -> Option<(u16, &'static str)> {
        let parts = judged(request).unwrap();
        let refused = parts.extensions.get::<Refused>();
        refused.map(|refused| (refused.status, refused.detail))
    }

    fn get(uri: &str) -> Builder {
        Request::get(uri)
    }

    #[test]
    fn a_host_is_held_against_the_authority_in_normal_form() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example", "A.Example"),
            ("A.example:80", "a.example."),
            ("[::1]", "[::1]:80"),
            ("a.example:81", "a.example:81"),
        ] {
            let request = get(&format!("http://{authority}/")).header("host", host);
            let parts = judged(request).unwrap();
            assert!(
                parts.extensions.get::<Refused>().is_none(),
                "{authority} {host}"
            );
            assert!(!parts.headers.contains_key(header::HOST));
        }
        for (authority, host) in [
            ("a.example", "b.example"),
            ("a.example", "a.example:443"),
            ("a.example:81", "a.example"),
            ("a.example", ""),
            ("a.example", "u@a.example"),
        ] {
            let request = get(&format!("http://{authority}/")).header("host", host);
            assert_eq!(
                refused(request).map(|(status, _)| status),
                Some(400),
                "{host}"
            );
        }
        let secure = get("https://a.example/").header("host", "a.example:443");
        assert_eq!(refused(secure), None);
        assert_eq!(refused(get("/").header("host", "a")), None);
        assert_eq!(refused(get("/")).map(|(status, _)| status), Some(400));
        let two = get("/").header("host", "a").header("host", "a");
        assert_eq!(refused(two).map(|(status, _)| status), Some(400));
    }

    #[test]
    fn crumbs_of_a_cookie_become_one() {
        let request = get("http://a/")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("cookie", "c=3");
        let parts = judged(request).unwrap();
        let of = |name| {
            let lines = parts.headers.get_all(name).iter();
            lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("cookie"), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn a_length_is_one_number() {
        for lengths in [
            &[""][..],
            &["+5"],
            &["-0"],
            &["5, 5"],
            &["5,"],
            &["0x5"],
            &["5", "5"],
        ] {
            let request = lengths.iter().fold(get("http://a/"), |request, length| {
                request.header("content-length", *length)
            });
            assert_eq!(judged(request).err(), Some(Malformed), "{lengths:?}");
        }
        for length in ["0", "5", "18446744073709551615"] {
            let request = get("http://a/").header("content-length", length);
            assert!(judged(request).is_ok(), "{length}");
        }
    }

    #[test]
    fn heads_are_bounded_as_over_http_1() {
        let fields = |many: usize, long: usize| {
            let value = "x".repeat(long);
            (0..many).fold(get("http://a/"), |request, n| {
                request.header(format!("x-{n}"), &value)
            })
        };
        let status = |request| refused(request).map(|(status, _)| status);
        assert_eq!(status(fields(4, 1)), None);
        assert_eq!(status(fields(5, 1)), Some(431));
        assert_eq!(status(fields(2, 500)), Some(431));
        // A cookie counts once, in however many crumbs it comes.
        let crumbs = (0..20).fold(get("http://a/"), |request, _| request.header("cookie", "a"));
        assert_eq!(status(crumbs), None);
    }

    #[test]
    fn only_options_ask_about_the_server_as_a_whole() {
        let of = |method: &str| {
            refused(
                Request::builder()
                    .method(method)
                    .uri("*")
                    .header("host", "a"),
            )
        };
        assert_eq!(of("OPTIONS"), None);
        for method in ["GET", "POST"] {
            assert_eq!(of(method).map(|(status, _)| status), Some(400));
        }
    }

    #[test]
    fn of_connect_only_websockets_are_served() {
        let connect = |protocol: Option<&'static str>, uri: &str| {
            let request = Request::connect(uri);
            match protocol {
                Some(protocol) => request.extension(Protocol::from_static(protocol)),
                None => request,
            }
        };
        let status = |request| refused(request).map(|(status, _)| status);
        assert_eq!(status(connect(Some("websocket"), "http://a/chat")), None);
        assert_eq!(status(connect(Some("WebSocket"), "http://a/chat")), None);
        assert_eq!(status(connect(Some("connect-udp"), "http://a/")), Some(405));
        assert_eq!(status(connect(None, "a:80")), Some(405));
        assert_eq!(status(connect(Some("websocket"), "*")), Some(400));
        let long = connect(Some("websocket"), "http://a/").header("content-length", "0");
        assert_eq!(status(long), Some(400));
    }

    #[test]
    fn white_space_around_a_value_is_malformed() {
        for value in [" a", "a\t"] {
            let request = get("http://a/").header("x", value);
            assert_eq!(judged(request).err(), Some(Malformed));
        }
    }
}
