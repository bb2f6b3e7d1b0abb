//! JSON, appended piece by piece: what is written once a request makes no tree first.

use crate::config::field::Head;
use crate::config::hidden::{Escaped, is_hidden};
use std::io::Write;
use std::net::IpAddr;

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

/// Appends with quotes, backslashes and controls escaped as JSON demands, and with all else that is
/// not seen where it is shown ([`is_hidden`]). What is ASCII goes the fast way.
#[inline]
pub fn escape(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    let mut special = false;
    words(out, value.as_bytes(), |word| special |= any_special(word));
    if special {
        out.truncate(start);
        escape_each(out, value);
    }
}

#[cold]
fn escape_each(out: &mut Vec<u8>, value: &str) {
    for character in value.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            hidden if is_hidden(hidden) => {
                let _ = write!(out, "{}", Escaped(hidden));
            }
            seen => out.extend_from_slice(seen.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Appends a short text as it is: a name, a word, digits.
#[inline]
pub fn plain(out: &mut Vec<u8>, text: &str) {
    words(out, text.as_bytes(), |_| ());
}

/// Appends bytes, sixteen or eight at a time, and shows them to `seen`. The texts of a line are so short
/// that calls of `memcpy` would cost more than all else about them.
#[inline]
fn words(out: &mut Vec<u8>, bytes: &[u8], mut seen: impl FnMut(u64)) {
    /// Stand for bytes that are not there.
    const SPACES: u64 = 0x2020_2020_2020_2020;
    if let Some(last) = bytes.last_chunk::<16>() {
        let mut seen = |pair: &[u8; 16]| {
            let pair = u128::from_ne_bytes(*pair);
            seen(pair as u64);
            seen((pair >> 64) as u64);
        };
        let (whole, rest) = bytes.as_chunks();
        for pair in whole {
            seen(pair);
            out.extend_from_slice(pair);
        }
        if !rest.is_empty() {
            seen(last);
            again(out, 16 - rest.len(), last);
        }
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        seen(u64::from_ne_bytes(*first));
        seen(u64::from_ne_bytes(*last));
        out.extend_from_slice(first);
        again(out, 16 - bytes.len(), last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (start, end) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
        seen(u64::from(start) << 32 | u64::from(end));
        out.extend_from_slice(first);
        again(out, 8 - bytes.len(), last);
    } else {
        for byte in bytes {
            seen(SPACES << 8 | u64::from(*byte));
            out.push(*byte);
        }
    }
}

/// Appends bytes of which so many are there already.
#[inline]
fn again<const N: usize>(out: &mut Vec<u8>, known: usize, bytes: &[u8; N]) {
    out.truncate(out.len() - known);
    out.extend_from_slice(bytes);
}

/// Appends what stands before a field's value; the quote at its end, if the value is a text.
#[inline]
pub fn head(out: &mut Vec<u8>, head: &Head, quoted: bool) {
    let end = out.len() + head.length - usize::from(!quoted);
    out.extend_from_slice(&head.bytes);
    out.truncate(end);
}

/// Whether one of eight bytes is a control, a quote, a backslash, or no ASCII.
const fn any_special(word: u64) -> bool {
    /// One in every byte.
    const ONES: u64 = u64::MAX / 0xff;
    // A byte below `n` leaves its high bit set in `x - n` where `x` has it not.
    const fn below(word: u64, n: u64) -> u64 {
        word.wrapping_sub(ONES * n) & !word
    }
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    // 0x7f and one has the high bit too; a carry comes only from bytes that are no ASCII.
    let beyond = word | word.wrapping_add(ONES);
    (below(word, 0x20) | quote | backslash | beyond) & (ONES << 7) != 0
}

/// Appends a whole number.
#[inline]
pub fn number(out: &mut Vec<u8>, number: u64) {
    match number {
        0..10 => out.push(b'0' + number as u8),
        _ => plain(out, itoa::Buffer::new().format(number)),
    }
}

/// Appends the digits behind a point. A leading one keeps their zeros and gives its place to it.
pub fn fraction(out: &mut Vec<u8>, one_and_digits: u64) {
    let point = out.len();
    number(out, one_and_digits);
    if let Some(one) = out.get_mut(point) {
        *one = b'.';
    }
}

/// Appends an address; those of version 4, which most are, without the machinery of formatting.
pub fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, byte) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, byte.into());
            }
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{address, text};
    use std::net::IpAddr;

    #[test]
    fn addresses_look_as_everywhere() {
        for text in ["0.0.0.0", "192.0.2.7", "255.255.255.255", "2001:db8::7"] {
            let mut out = Vec::new();
            address(&mut out, text.parse::<IpAddr>().unwrap());
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn every_byte_is_escaped_where_json_wants_it_wherever_it_stands() {
        let places = (0..40).flat_map(|length| (0..=length).map(move |place| (length, place)));
        for (length, place) in places {
            for byte in 0..0x80_u8 {
                let mut value = "é".repeat(place / 2) + &"x".repeat(length - place);
                value.insert(value.floor_char_boundary(place), char::from(byte));
                let mut out = Vec::new();
                text(&mut out, &value);
                let read: String = serde_json::from_slice(&out).unwrap();
                assert_eq!(read, value);
                assert!(!out.iter().any(u8::is_ascii_control), "{value:?}");
            }
        }
    }

    #[test]
    fn what_is_hidden_is_escaped_wherever_it_stands() {
        for hidden in [
            '\u{85}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{e0041}',
        ] {
            for before in 0..20 {
                let value = format!("{}{hidden}é{}", "x".repeat(before), "y".repeat(20 - before));
                let mut out = Vec::new();
                text(&mut out, &value);
                let written = String::from_utf8(out).unwrap();
                assert!(
                    !written.contains(hidden) && written.contains('é'),
                    "{written:?}"
                );
                let read: String = serde_json::from_str(&written).unwrap();
                assert_eq!(read, value);
            }
        }
    }
}
