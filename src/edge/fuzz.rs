//! The promises of the readers of hostile bytes in this module, for fuzzers.

use super::http1::canonicalize;
use super::http1::chunked::Decoder;
use super::http1::request_head::{Limits, Scanner};
use super::http2::frames::{Alarm, Frames};
use super::transport::proxy_protocol as proxy;
use bytes::BytesMut;
use std::sync::Arc;
use std::time::Duration;

const LIMITS: Limits = Limits {
    bytes: 64 << 10,
    fields: 100,
};

pub fn head(bytes: &[u8]) {
    let whole = Scanner::default().scan(bytes, LIMITS);
    // Byte by byte the verdict is the same, but for where a refusal is certain.
    let mut scanner = Scanner::default();
    let mut cut = Ok(None);
    for end in 1..=bytes.len() {
        cut = scanner.scan(bytes.get(..end).unwrap_or(bytes), LIMITS);
        if !matches!(cut, Ok(None)) {
            break;
        }
    }
    match (whole, cut) {
        (Ok(Some(one)), Ok(Some(other))) => {
            assert_eq!(one, other);
            let own = bytes.get(one.start..one.end).unwrap_or(&[]);
            if let Ok(canonical) = canonicalize::head(BytesMut::from(own), &one) {
                let again = Scanner::default().scan(&canonical, LIMITS);
                assert!(
                    again.is_ok_and(|again| again.is_some_and(|again| again.body == one.body)),
                    "{}",
                    own.escape_ascii()
                );
            }
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (whole, cut) => panic_differs(&whole, &cut),
    }
}

#[expect(
    clippy::panic,
    reason = "a fuzzer hears of a broken promise by a panic"
)]
fn panic_differs(one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug) {
    panic!("{one:?} in one piece, {other:?} byte by byte");
}

pub fn body(bytes: &[u8]) {
    let whole = Decoder::default().follow(bytes).map_err(drop);
    let mut decoder = Decoder::default();
    let mut cut = Ok(None);
    for (at, byte) in bytes.iter().enumerate() {
        cut = decoder.follow(std::slice::from_ref(byte)).map_err(drop);
        if let Ok(Some(end)) = cut {
            cut = Ok(Some(at + end));
        }
        if cut != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, cut);
    let decoded = decoded(bytes, bytes.len().max(1));
    assert_eq!(decoded, self::decoded(bytes, 1));
    let left = whole.map(|end| end.map(|end| bytes.len() - end));
    assert_eq!(left, decoded.map(|(_, left)| left));
}

/// The data of a body that arrives in pieces of this size, and how much is left behind its end.
fn decoded(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), ()> {
    let (mut decoder, mut ahead, mut data) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        ahead.extend_from_slice(piece);
        while let Some(part) = decoder.next(&mut ahead).map_err(drop)? {
            data.extend_from_slice(&part);
        }
    }
    Ok((data, decoder.is_done().then_some(ahead.len())))
}

pub fn proxy_protocol(bytes: &[u8]) {
    if let Ok(Some((length, _))) = proxy::parse(bytes) {
        assert!(length <= bytes.len());
        // What follows the header is not the header's business.
        let own = bytes.get(..length).unwrap_or(bytes);
        assert_eq!(proxy::parse(own).ok(), proxy::parse(bytes).ok());
    }
}

pub fn http2(bytes: &[u8]) {
    let follow = |cut: usize| {
        let mut frames = Frames::new(Arc::new(Alarm::default()), Duration::from_secs(10));
        frames.follow(&[b'P'; 24]);
        let mut passed = 0;
        for part in bytes.chunks(cut) {
            let good = frames.follow(part);
            passed += good;
            if good < part.len() {
                break;
            }
        }
        passed
    };
    let (whole, cut) = (follow(bytes.len().max(1)), follow(1));
    // Cut into bytes, the head of a wrong frame has been passed on when it is known to be wrong.
    assert!(whole <= cut && cut <= whole + 9, "{whole} {cut}");
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn how_a_chunked_body_is_cut_changes_nothing(
            parts in proptest::collection::vec(
                r"(3\r\nabc\r\n|1;x\r\n|a|0\r\n|\r\n|X: y\r\n|GET)",
                0..8,
            ),
        ) {
            super::body(parts.concat().as_bytes());
        }
    }
}
