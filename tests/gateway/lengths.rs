//! Bodies over HTTP/2 that are not as long as their head says: no upstream is sent a whole request
//! before that is certain (RFC 9113, section 8.1.1).

use crate::gateway::{Gateway, listeners};
use crate::h2::{Client, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, RST_STREAM, block, frame};
use crate::origin::Origin;
use crate::upstream::Upstream;

const PROTOCOL: u32 = 1;

fn gateway(address: &str, http: &str, trust: &str) -> Gateway {
    Gateway::start(&format!(
        "{}[services.a.versions.v1]\nendpoints = [\"{address}\"]\nhttp = \"{http}\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners("").replace("trust = []", &format!("trust = []{trust}")),
    ))
}

/// The head of an upload with these lengths.
fn head(stream: u32, flags: u8, path: &str, lengths: &[&str]) -> Vec<u8> {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
    ];
    fields.extend(lengths.iter().map(|length| ("content-length", *length)));
    frame(HEADERS, END_HEADERS | flags, stream, &block(&fields))
}

fn data(flags: u8, text: &str) -> Vec<u8> {
    frame(DATA, flags, 1, text.as_bytes())
}

/// What ends the stream.
fn end(client: &mut Client) -> Frame {
    let ends = |frame: &Frame| matches!(frame.kind, HEADERS | RST_STREAM) && frame.stream == 1;
    client.wait(ends).unwrap()
}

#[test]
fn a_length_that_is_none_or_wrong_goes_nowhere() {
    let upstream = Upstream::start("v1");
    let gateway = gateway(&upstream.address.to_string(), "h1", "");
    for (lengths, flags, body) in [
        (&[""][..], END_STREAM, vec![]),
        (&[""], 0, data(END_STREAM, "hello")),
        (&["+5"], 0, data(END_STREAM, "hello")),
        (&["-0"], END_STREAM, vec![]),
        (&["5, 5"], 0, data(END_STREAM, "hello")),
        (&["5,"], 0, data(END_STREAM, "hello")),
        (&["5", "5"], 0, data(END_STREAM, "hello")),
        (&["0", "0"], END_STREAM, vec![]),
        (&["5", "6"], 0, data(END_STREAM, "hello")),
        (&["99999999999999999999"], 0, data(END_STREAM, "hello")),
        (&["5"], END_STREAM, vec![]),
        (&["0"], 0, data(END_STREAM, "x")),
        (&["0"], 0, data(0, "x")),
        (&["0"], 0, [data(0, ""), data(0, "x")].concat()),
    ] {
        let mut client = Client::start(&gateway);
        client.send(&[head(1, flags, "/", lengths), body].concat());
        let ended = end(&mut client);
        assert_eq!(ended.kind, RST_STREAM, "{lengths:?}");
        assert_eq!(ended.code(), PROTOCOL, "{lengths:?}");
        assert!(client.is_alive(), "{lengths:?}");
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
}

#[test]
fn an_empty_body_may_end_in_a_frame_of_its_own() {
    let upstream = Upstream::start("v1");
    let gateway = gateway(&upstream.address.to_string(), "h1", "");
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "1")]));
    for rest in [
        data(END_STREAM, ""),
        [data(0, ""), data(END_STREAM, "")].concat(),
        trailers,
    ] {
        let mut client = Client::start(&gateway);
        client.send(&[head(1, 0, "/", &["0"]), rest].concat());
        assert_eq!(end(&mut client).kind, HEADERS);
        assert_eq!(upstream.header("content-length"), ["0"]);
    }
}

#[test]
fn an_empty_body_that_does_not_end_is_not_waited_for() {
    let upstream = Upstream::start("v1");
    let patience = ", header_timeout = \"300ms\"";
    let mut gateway = gateway(&upstream.address.to_string(), "h1", patience);
    let mut client = Client::start(&gateway);
    client.send(&head(1, 0, "/", &["0"]));
    assert!(client.wait(|frame| frame.kind == HEADERS).is_some());
    let line = gateway.logged(|line| line["path"] == "/");
    let told = (line["status"].as_u64(), line["reason"].as_str());
    assert_eq!(told, (Some(408), Some("request_timeout")));
    assert!(client.is_alive());
    assert!(upstream.heads().is_empty());
}

#[test]
fn the_last_piece_of_a_body_goes_up_once_nothing_can_follow() {
    let origin = Origin::start();
    let gateway = gateway(&origin.address.to_string(), "h2c", "");
    let mut client = Client::start(&gateway);
    client.send(&[head(1, 0, "/more", &["5"]), data(0, "hel"), data(0, "lo")].concat());
    client.send(&data(0, "x"));
    let ended = end(&mut client);
    assert_eq!((ended.kind, ended.code()), (RST_STREAM, PROTOCOL));
    // The stream may have been reset before anything of it went up.
    if let Some(seen) = origin.seen("/more").pop() {
        assert!(seen.reset.is_some(), "{seen:?}");
        assert_ne!(seen.body, b"hello");
    }
    let mut client = Client::start(&gateway);
    client.send(&[head(1, 0, "/just", &["5"]), data(0, "hello"), data(0, "")].concat());
    assert!(client.is_alive());
    client.send(&data(END_STREAM, ""));
    assert_eq!(end(&mut client).kind, HEADERS);
    let seen = origin.wait("/just");
    assert_eq!((seen.body.as_slice(), seen.reset), (&b"hello"[..], None));
}
