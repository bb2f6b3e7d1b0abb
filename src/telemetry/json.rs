//! JSON, appended piece by piece: what is written once a request makes no tree first.

use std::io::Write;

/// Appends `"name":"value"` with the value escaped as JSON demands; the first field opens the object.
pub fn string_field(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    text(out, value);
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
        self::name(out, key_text);
        text(out, &value);
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

/// Opens the object, or goes on in it.
fn key(out: &mut Vec<u8>, text: &str) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    name(out, text);
}

/// Appends `"name":`.
pub fn name(out: &mut Vec<u8>, name: &str) {
    text(out, name);
    out.push(b':');
}

/// Appends a quoted text.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends with quotes, backslashes and controls escaped as JSON demands.
pub fn escape(out: &mut Vec<u8>, value: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    let mut rest = value.as_bytes();
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        let (head, tail) = rest.split_at(at);
        out.extend_from_slice(head);
        if let Some((special, tail)) = tail.split_first() {
            match special {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                other => {
                    let _ = write!(out, "\\u{other:04x}");
                }
            }
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
}
