//! What the head policy takes and refuses, case by case, and that arrival in pieces changes
//! nothing.

use super::{Body, Head, Limits, Refused, Scanner};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    bytes: 1024,
    fields: 8,
};

fn scan(bytes: &[u8]) -> Result<Option<Head>, Refused> {
    Scanner::default().scan(bytes, LIMITS)
}

fn status(bytes: &[u8]) -> u16 {
    match scan(bytes) {
        Ok(Some(_)) => 200,
        Ok(None) => 100,
        Err(refused) => refused.status,
    }
}

#[test]
fn an_ordinary_request_is_taken_whole() {
    let bytes = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nrest";
    let head = scan(bytes).unwrap().unwrap();
    assert_eq!(
        &bytes[head.start..head.end],
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    assert_eq!(
        (head.body, head.websocket, head.http11),
        (Body::None, false, true)
    );
}

#[test]
fn the_framing_of_the_body_is_unambiguous() {
    let body = |fields: &str| {
        scan(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes())
            .map(|head| head.unwrap().body)
    };
    assert_eq!(body("Content-Length: 5\r\n"), Ok(Body::Length(5)));
    assert_eq!(body("Content-Length: 0\r\n"), Ok(Body::None));
    assert_eq!(body("Transfer-Encoding: ChunKed\r\n"), Ok(Body::Chunked));
    for refused in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        assert!(body(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn each_malformed_head_has_its_status() {
    let cases: &[(u16, &[u8])] = &[
        (400, b"GET / HTTP/1.1\nHost: x\n\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (200, b"GET / HTTP/1.0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA : c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n"),
        (200, b"GET / HTTP/1.1\r\nHost: x\r\nA:\tb \xff\r\n\r\n"),
        (400, b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (200, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (200, b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        (405, b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /\r\n"),
        (400, b"GET / http/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
        (505, b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
        (400, b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (200, b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            400,
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            501,
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        (400, b"\x16\x03\x01\x02\x00\x01\x00"),
        (100, b"GET / HT"),
    ];
    for (expected, bytes) in cases {
        assert_eq!(status(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn size_and_number_of_fields_are_bounded() {
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(1024)
    );
    assert_eq!(status(long.as_bytes()), 431);
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(1024));
    assert_eq!(status(endless.as_bytes()), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(8));
    assert_eq!(status(many.as_bytes()), 431);
}

proptest! {
    #[test]
    fn arrival_in_pieces_changes_nothing(
        mut bytes in prop::sample::select(vec![
            &b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nUpgrade: h\r\n\r\nabc"[..],
            b"\r\nGET / HTTP/1.0\r\nA: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        ]).prop_map(<[u8]>::to_vec),
        flip in prop::option::of((0_usize..60, any::<u8>())),
        cut in 0_usize..60,
    ) {
        if let Some((at, byte)) = flip && at < bytes.len() {
            bytes[at] = byte;
        }
        let whole = scan(&bytes);
        let mut scanner = Scanner::default();
        let first = scanner.scan(&bytes[..cut.min(bytes.len())], LIMITS);
        let pieces = match first {
            Ok(None) => scanner.scan(&bytes, LIMITS),
            judged => judged,
        };
        prop_assert_eq!(pieces.is_err(), whole.is_err());
        if let (Ok(pieces), Ok(whole)) = (pieces, whole) {
            prop_assert_eq!(pieces, whole);
        }
    }
}
