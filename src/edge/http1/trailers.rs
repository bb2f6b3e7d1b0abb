//! Trailer fields (RFC 9110, section 6.5).

use crate::edge::headers::may_not_trail;
use http::{HeaderMap, HeaderName, HeaderValue};

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
        if !may_not_trail(&name) {
            let value = HeaderValue::from_bytes(value).ok()?;
            trailers.try_append(name, value).ok()?;
        }
    }
    Some(trailers)
}
