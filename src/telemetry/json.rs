//! Fields of JSON objects, appended one by one.

use super::exchange::escape;
use std::io::Write;

/// Appends `"name":"value"` with the value escaped as JSON demands; the first field opens the object.
pub fn string_field(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    out.push(b'"');
    escape(out, value);
    out.push(b'"');
}

/// Appends `"name":{"key":"value",…}`; nothing when there are no pairs.
pub fn object_field<'v>(
    out: &mut Vec<u8>,
    name: &str,
    pairs: impl Iterator<Item = (&'v str, std::borrow::Cow<'v, str>)>,
) {
    let mut first = true;
    for (key_text, value) in pairs {
        if first {
            key(out, name);
        }
        out.push(match std::mem::take(&mut first) {
            true => b'{',
            false => b',',
        });
        out.push(b'"');
        escape(out, key_text);
        out.extend_from_slice(b"\":\"");
        escape(out, &value);
        out.push(b'"');
    }
    if !first {
        out.push(b'}');
    }
}

/// Appends `"name":value`.
pub fn number_field(out: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    key(out, name);
    let _ = write!(out, "{value}");
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
