//! Tests of heads of answers.

use super::{FIELDS_MAX, HEAD_MAX, Head, Reader};
use crate::edge::http1::upstream::framing::Body;
use crate::edge::http1::upstream::request::Asked;
use crate::edge::message::Length;
use bytes::BytesMut;
use proptest::prelude::{any, prop, proptest};

const GET: Asked = Asked {
    head: false,
    upgrade: false,
    close: false,
};
const HEAD: Asked = Asked { head: true, ..GET };
const UPGRADE: Asked = Asked {
    upgrade: true,
    ..GET
};

fn read_for(text: &str, asked: Asked) -> Result<Option<Head>, &'static str> {
    Reader::default().read(&mut BytesMut::from(text), asked)
}

fn read(fields: &str) -> Result<Head, &'static str> {
    let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    Ok(read_for(&text, GET)?.expect("the head is complete"))
}

#[test]
fn a_head_is_read_from_slices_of_the_buffer() {
    let text = "HTTP/1.1 201 Created\r\nX-One: 1\r\nx-one:2\r\nEmpty:\r\nSpace : a b \r\n\
                Content-Length: 3\r\n\r\nabcde";
    let mut buffer = BytesMut::from(text);
    let range = buffer.as_ptr_range();
    let head = Reader::default().read(&mut buffer, GET).unwrap().unwrap();
    assert_eq!(head.parts.status, 201);
    assert_eq!(head.parts.version, http::Version::HTTP_11);
    let fields: Vec<_> = head.parts.headers.iter().collect();
    let text: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        text,
        [
            ("x-one", "1"),
            ("x-one", "2"),
            ("empty", ""),
            ("space", "a b"),
            ("content-length", "3"),
        ]
    );
    for (name, value) in fields {
        assert!(
            value.is_empty() || range.contains(&value.as_bytes().as_ptr()),
            "{name}"
        );
    }
    assert_eq!(head.length, Length::Exact(3));
    assert!(head.keeps);
    assert_eq!(buffer, "abcde");
}

#[test]
fn framing_follows_the_fields() {
    for (fields, length) in [
        ("", Length::Unknown),
        ("Content-Length: 0\r\n", Length::Exact(0)),
        (
            "Content-Length: 18446744073709551615\r\n",
            Length::Exact(u64::MAX),
        ),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Length::Exact(5),
        ),
        ("Content-Length: 5 , 5,05\r\n", Length::Exact(5)),
        ("Transfer-Encoding: Chunked\r\n", Length::Unknown),
    ] {
        let head = read(fields).unwrap();
        assert_eq!(head.length, length, "{fields}");
        assert!(!head.parts.headers.contains_key("transfer-encoding"));
        let lengths: Vec<_> = head
            .parts
            .headers
            .get_all("content-length")
            .iter()
            .collect();
        assert!(lengths.len() <= 1);
        if let Length::Exact(length) = length {
            assert_eq!(lengths, [length.to_string().as_str()]);
        }
    }
}

#[test]
fn contradictions_and_what_was_not_asked_for_are_malformed() {
    for (fields, said) in [
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "different content lengths",
        ),
        ("Content-Length: 5, 6\r\n", "different content lengths"),
        ("Content-Length: -5\r\n", "malformed content length"),
        ("Content-Length: +5\r\n", "malformed content length"),
        ("Content-Length: 5,\r\n", "malformed content length"),
        ("Content-Length: 0x5\r\n", "malformed content length"),
        ("Content-Length:\r\n", "malformed content length"),
        (
            "Content-Length: 18446744073709551616\r\n",
            "malformed content length",
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "both",
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            "coding that was not asked for",
        ),
        (
            "Transfer-Encoding: identity\r\n",
            "coding that was not asked for",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "not asked for",
        ),
        ("Transfer-Encoding:\r\n", "coding that was not asked for"),
        ("A: 1\r\n folded\r\n", "field"),
        (" A: 1\r\n", "field"),
        ("A\r\n", "field"),
        ("A: \0\r\n", "field"),
        ("A b: 1\r\n", "field"),
        (": 1\r\n", "field"),
    ] {
        let error = read(fields).unwrap_err();
        assert!(error.contains(said), "{fields:?}: {error}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(read_for(old, GET).unwrap_err().contains("HTTP/1.0"));
}

#[test]
fn some_answers_have_no_content() {
    for (status, asked, body, length) in [
        ("100 Continue", GET, "Head", None),
        ("103 Early Hints", HEAD, "Head", None),
        ("204 No Content", GET, "Exact(0)", None),
        ("304 Not Modified", GET, "Exact(0)", Some("7")),
        ("200 OK", HEAD, "Exact(0)", Some("7")),
        ("101 Switching Protocols", UPGRADE, "Raw", None),
    ] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\n");
        let head = read_for(&text, asked).unwrap().unwrap();
        assert_eq!(head.length, Length::None, "{status}");
        assert_eq!(format!("{:?}", head.body), body, "{status}");
        let field = head.parts.headers.get("content-length");
        assert_eq!(
            field.map(|value| value.to_str().unwrap()),
            length,
            "{status}"
        );
    }
    let unasked = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    assert!(
        read_for(unasked, GET)
            .unwrap_err()
            .contains("not asked for")
    );
}

#[test]
fn the_connection_is_kept_as_the_version_and_the_fields_say() {
    for (version, fields, keeps) in [
        ("1.1", "Content-Length: 0\r\n", true),
        (
            "1.1",
            "Content-Length: 0\r\nConnection: x , Close\r\n",
            false,
        ),
        ("1.1", "Content-Length: 0\r\nConnection: closed\r\n", true),
        ("1.1", "", false),
        ("1.1", "Transfer-Encoding: chunked\r\n", true),
        ("1.0", "Content-Length: 0\r\n", false),
        (
            "1.0",
            "Content-Length: 0\r\nConnection: Keep-Alive\r\n",
            true,
        ),
        (
            "1.0",
            "Content-Length: 0\r\nConnection: keep-alive, close\r\n",
            false,
        ),
        ("1.0", "Connection: keep-alive\r\n", false),
    ] {
        let text = format!("HTTP/{version} 200 OK\r\n{fields}\r\n");
        let head = read_for(&text, GET).unwrap().unwrap();
        assert_eq!(head.keeps, keeps, "{text}");
        assert_eq!(
            matches!(head.body, Body::UntilClose),
            head.length == Length::Unknown && !keeps
        );
    }
}

#[test]
fn anything_else_before_a_head_is_malformed() {
    for text in [
        "hello",
        "<html></html>",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "\0\0\x12\x04\0\0\0\0\0",
    ] {
        assert!(read_for(text, GET).is_err(), "{text:?}");
    }
    for text in [
        "HTTP/1.1 200\r\n\r\n",
        "\r\nHTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
    ] {
        assert!(read_for(text, GET).unwrap().is_some(), "{text:?}");
    }
}

#[test]
fn heads_are_bounded() {
    let fields = "a: 1\r\n".repeat(FIELDS_MAX);
    assert_eq!(read(&fields).unwrap().parts.headers.len(), FIELDS_MAX);
    assert!(
        read(&format!("{fields}a: 1\r\n"))
            .unwrap_err()
            .contains("too many fields")
    );
    for size in [HEAD_MAX - 24, HEAD_MAX - 23] {
        let read = read(&format!("a: {}\r\n", "b".repeat(size)));
        assert_eq!(read.is_ok(), size == HEAD_MAX - 24);
    }
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(HEAD_MAX));
    assert!(read_for(&endless, GET).unwrap_err().contains("too large"));
}

#[test]
fn a_cut_head_is_told_from_garbage() {
    for (text, malformed) in [("HTTP/1.1 200 OK\r\na: 1\r\n", false), ("HTTPS", true)] {
        let mut reader = Reader::default();
        let mut buffer = BytesMut::from(&text[..1]);
        assert!(reader.read(&mut buffer, GET).unwrap().is_none());
        buffer.extend_from_slice(&text.as_bytes()[1..]);
        assert!(reader.read(&mut buffer, GET).unwrap().is_none());
        assert_eq!(
            reader.finish(&mut buffer, GET).is_err(),
            malformed,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        cuts in prop::collection::vec(1_usize..40, 1..40),
        crlf in any::<bool>(),
    ) {
        let text = "\r\nHTTP/1.1 200 OK\r\nAbc: def\r\nServer: x\r\nContent-Length: 4\r\n\r\nbody";
        let text = match crlf {
            true => text.to_owned(),
            false => text.replace("\r\n", "\n"),
        };
        let mut reader = Reader::default();
        let (mut buffer, mut rest) = (BytesMut::new(), text.as_bytes());
        let mut cuts = cuts.into_iter().cycle();
        let head = loop {
            if let Some(head) = reader.read(&mut buffer, GET).unwrap() {
                break head;
            }
            assert!(!rest.is_empty(), "the end of the head was missed");
            let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = after;
        };
        assert_eq!(head.parts.headers.len(), 3);
        buffer.extend_from_slice(rest);
        assert_eq!(buffer, "body");
    }
}
