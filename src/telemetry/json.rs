//! JSON, appended piece by piece: what is written once a request makes no tree first.

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

/// Appends with quotes, backslashes and controls escaped as JSON demands.
pub fn escape(out: &mut Vec<u8>, value: &str) {
    let mut rest = value.as_bytes();
    loop {
        let (head, tail) = rest.split_at(plain(rest));
        out.extend_from_slice(head);
        let Some((special, tail)) = tail.split_first() else {
            return;
        };
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

/// How many bytes at the start need no escape. Looks at eight at a time: most texts need none.
fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let plain = |word: &&[u8; 8]| !any_special(u64::from_ne_bytes(**word));
    let whole = words.iter().take_while(plain).count() * 8;
    // The last bytes with some of those before them, or twice the middle of a short text.
    let last = match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk()) {
        (Some(last), ..) => Some(u64::from_ne_bytes(*last)),
        (None, Some(first), Some(last)) => {
            let (first, last) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
            Some(u64::from(first) << 32 | u64::from(last))
        }
        _ => None,
    };
    if whole + rest.len() == bytes.len() && last.is_some_and(|last| !any_special(last)) {
        return bytes.len();
    }
    let rest = bytes.get(whole..).unwrap_or(&[]);
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    whole + rest.iter().position(special).unwrap_or(rest.len())
}

/// Whether one of eight bytes is a control, a quote or a backslash.
const fn any_special(word: u64) -> bool {
    /// One in every byte.
    const ONES: u64 = u64::MAX / 0xff;
    // A byte below `n` leaves its high bit set in `x - n` where `x` has it not.
    const fn below(word: u64, n: u64) -> u64 {
        word.wrapping_sub(ONES * n) & !word
    }
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (below(word, 0x20) | quote | backslash) & (ONES << 7) != 0
}

/// Appends a whole number.
pub fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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
        for place in 0..20 {
            for byte in 0..0x80_u8 {
                let mut value = "é".repeat(place / 2) + &"x".repeat(20 - place);
                value.insert(value.floor_char_boundary(place), char::from(byte));
                let mut out = Vec::new();
                text(&mut out, &value);
                let read: String = serde_json::from_slice(&out).unwrap();
                assert_eq!(read, value);
            }
        }
    }
}
