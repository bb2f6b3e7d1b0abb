//! Values of fields, read as their definitions have them.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The elements of a list, over all of its lines (RFC 9110, section 5.6.1).
pub fn elements<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    let lines = headers.get_all(name).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii)
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
