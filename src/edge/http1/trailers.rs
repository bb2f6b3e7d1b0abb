//! Trailer fields (RFC 9110, section 6.5).

use http::{HeaderMap, HeaderName, HeaderValue, header};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether a field must not stand in a trailer, since a recipient has to know it before the
/// content: framing, routing, request modifiers, authentication, and how the content is to be read
/// (RFC 9110, section 6.5.1). Fields of the connection do not pass it either.
pub fn is_forbidden(name: &HeaderName) -> bool {
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

/// Reads fields that have been found sound, each with a line feed behind it, but for those that are
/// forbidden. `None`: there are more than `most`.
pub fn parse(fields: &[u8], most: usize) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    let lines = fields.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        if index >= most {
            return None;
        }
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(name).ok()?;
        if !is_forbidden(&name) {
            let value = HeaderValue::from_bytes(value).ok()?;
            trailers.try_append(name, value).ok()?;
        }
    }
    Some(trailers)
}
