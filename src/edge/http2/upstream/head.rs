//! Heads as HTTP/2 has them: that of the request on its way out, those of answers on their way in.

use crate::edge::headers::{KEEP_ALIVE, PROXY_CONNECTION, content_length, elements, is_padded};
use crate::edge::message::Length;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, Version};
use http::{request, response};
use smallvec::SmallVec;

static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const TRAILERS: &[u8] = b"trailers";

/// Returns the head of a request as HTTP/2 has it: the host is in `:authority`, and what was for a
/// connection of HTTP/1 is not there (RFC 9113, sections 8.2.2 and 8.3.1).
pub(super) fn request(head: &request::Parts, scheme: &Scheme, body: Length) -> Request<()> {
    let mut headers = head.headers.clone();
    clean(&mut headers);
    set_length(&mut headers, body);
    let host = headers.get(HOST);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if host.is_some() {
        headers.remove(HOST);
    }
    let authority = host.or_else(|| head.uri.authority().cloned());
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = headers;
    // For a target without authority the library has the scheme from the version.
    *request.version_mut() = match authority {
        Some(_) => Version::HTTP_2,
        None => Version::HTTP_11,
    };
    *request.uri_mut() = target(head.uri.path_and_query(), scheme, authority);
    request
}

fn target(path: Option<&PathAndQuery>, scheme: &Scheme, authority: Option<Authority>) -> Uri {
    let path = path.cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = authority.is_some().then(|| scheme.clone());
    parts.authority = authority;
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    // With scheme and path there is an authority, so it is whole.
    Uri::from_parts(parts).unwrap_or_default()
}

/// Takes out the fields that are for a connection of HTTP/1, and those that `Connection` names.
fn clean(headers: &mut HeaderMap) {
    let mut gone: SmallVec<[HeaderName; 4]> = SmallVec::new();
    let mut has_te = false;
    for name in headers.keys() {
        match *name {
            TE => has_te = true,
            CONNECTION => {
                gone.extend(nominated(headers));
                gone.push(CONNECTION);
            }
            TRANSFER_ENCODING | UPGRADE => gone.push(name.clone()),
            _ if [&KEEP_ALIVE, &PROXY_CONNECTION, &HTTP2_SETTINGS].contains(&name) => {
                gone.push(name.clone());
            }
            _ => {}
        }
    }
    if has_te {
        let trailers = elements(headers, &TE).any(|coding| coding.eq_ignore_ascii_case(TRAILERS));
        match trailers {
            true => drop(headers.insert(TE, HeaderValue::from_static("trailers"))),
            false => gone.push(TE),
        }
    }
    for name in &gone {
        headers.remove(name);
    }
}

/// Returns the fields that `Connection` names. It cannot name what says whom a message is for or
/// how long it is; `TE` it always names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let names = elements(headers, &CONNECTION);
    let names = names.filter_map(|name| HeaderName::from_bytes(name).ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, TE].contains(name))
}

/// Makes `Content-Length` say what the body is (RFC 9113, section 8.1.1).
fn set_length(headers: &mut HeaderMap, body: Length) {
    let said = headers.contains_key(CONTENT_LENGTH);
    match body {
        Length::Exact(length) if said && content_length(headers) == Some(length) => {}
        Length::Exact(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        Length::None if said && content_length(headers) == Some(0) => {}
        Length::None | Length::Unknown if said => drop(headers.remove(CONTENT_LENGTH)),
        Length::None | Length::Unknown => {}
    }
}

/// Takes out of trailers what HTTP/2 does not allow there.
pub(super) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    clean(&mut trailers);
    trailers
}

/// Whether fields of an answer are sound; the library has checked their names, and their size.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(fields: &HeaderMap) -> Result<(), &'static str> {
    match fields.values().any(is_padded) {
        // RFC 9113, section 8.2.1.
        true => Err("the answer has white space around the value of a field"),
        false => Ok(()),
    }
}

/// Whether an interim answer is one that HTTP/2 has.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_interim(head: &response::Parts) -> Result<(), &'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // RFC 9113, section 8.6.
        return Err("the answer switches protocols, which HTTP/2 does not have");
    }
    check(&head.headers)
}

/// Returns how much content follows the head of a final answer.
pub(super) fn length(head: &response::Parts, to_head: bool, ended: bool) -> Length {
    if ended || to_head || is_bare(head.status) {
        return Length::None;
    }
    content_length(&head.headers).map_or(Length::Unknown, Length::Exact)
}

/// Whether an answer of this status has no content (RFC 9110, section 6.4.1).
pub(super) fn is_bare(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}
