//! Values of fields, read as their definitions have them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The elements of a list, over all of its lines (RFC 9110, section 5.6.1).
pub fn elements<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).iter().flat_map(elements_of)
}

/// The elements of a list that stand in one line.
pub fn elements_of(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let elements = line.as_bytes().split(|byte| *byte == b',');
    elements.map(<[u8]>::trim_ascii)
}

pub static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Whether a field is for the neighbour alone, though no `Connection` says so (RFC 9110, section
/// 7.6.1).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => [&KEEP_ALIVE, &PROXY_CONNECTION, &HTTP2_SETTINGS].contains(&name),
    }
}

/// Whether a field must not stand in a trailer, since a recipient has to know it before the
/// content: framing, routing, request modifiers, authentication, and how the content is to be read
/// (RFC 9110, section 6.5.1). Fields of the connection do not pass it either.
pub fn may_not_trail(name: &HeaderName) -> bool {
    match *name {
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::TRAILER => true,
        header::HOST | header::CONNECTION | header::UPGRADE | header::TE => true,
        header::CACHE_CONTROL | header::PRAGMA | header::EXPECT | header::MAX_FORWARDS => true,
        header::RANGE | header::IF_RANGE | header::IF_MATCH | header::IF_NONE_MATCH => true,
        header::IF_MODIFIED_SINCE | header::IF_UNMODIFIED_SINCE => true,
        header::AUTHORIZATION | header::PROXY_AUTHORIZATION => true,
        header::WWW_AUTHENTICATE | header::PROXY_AUTHENTICATE => true,
        header::COOKIE | header::SET_COOKIE => true,
        header::CONTENT_TYPE | header::CONTENT_ENCODING | header::CONTENT_RANGE => true,
        header::AGE | header::DATE | header::EXPIRES | header::LOCATION => true,
        header::RETRY_AFTER | header::VARY => true,
        _ => [&KEEP_ALIVE, &PROXY_CONNECTION].contains(&name),
    }
}

/// Digests of the bytes of a body or of a representation: wrong once these are others (RFC 9530;
/// RFC 3230 and RFC 1864, which are obsolete and in use).
pub static DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether an answer says that it differs by this request field (RFC 9110, section 12.5.5): `*`
/// says it of every one.
pub fn varies_by(headers: &HeaderMap, name: &HeaderName) -> bool {
    elements(headers, &header::VARY)
        .any(|said| said == b"*" || said.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Adds a request field to those by which an answer says that it differs, once.
pub fn vary_by(headers: &mut HeaderMap, name: &HeaderName) {
    if !varies_by(headers, name) {
        headers.append(header::VARY, HeaderValue::from(name.clone()));
    }
}

/// How long a body says that it is.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Whether there is white space around a value, which is malformed over HTTP/2 (RFC 9113, section
/// 8.2.1).
pub fn is_padded(value: &HeaderValue) -> bool {
    let white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    white(value.first()) || white(value.last())
}

/// Whether an answer has no end of its own: of streams and upgrades, only silence is limited.
pub fn is_endless(status: StatusCode, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(HeaderValue::as_bytes).unwrap_or_default();
    status == StatusCode::SWITCHING_PROTOCOLS
        || kind.starts_with(b"text/event-stream")
        || kind.starts_with(b"application/grpc")
}
