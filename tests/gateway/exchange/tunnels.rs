//! WebSockets over HTTP/2 (RFC 8441) to upstreams of HTTP/1, and what else asks for a tunnel.

use super::gateway;
use super::stub::{Notes, ok, read_head, serve, value};
use super::wire::{CANCEL, ENABLE_CONNECT_PROTOCOL, Wire};
use crate::gateway::Gateway;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use tungstenite::Message;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Asks for a WebSocket on a stream and waits for its head.
pub fn open(wire: &mut Wire, stream: u32, path: &str) {
    assert_eq!(
        ask(wire, stream, "websocket", path),
        200,
        "extended CONNECT"
    );
}

fn ask(wire: &mut Wire, stream: u32, protocol: &str, path: &str) -> u16 {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
        ("sec-websocket-version", "13"),
        ("origin", "http://a.example"),
    ];
    wire.headers(stream, &fields, false);
    status(wire, stream)
}

/// The status on a stream, which need not end; 0 where it is reset before it has one.
fn status(wire: &mut Wire, stream: u32) -> u16 {
    wire.wait("a head", |wire, _| {
        let answer = &wire.answers[&stream];
        answer.status() > 0 || answer.reset.is_some()
    });
    wire.answers[&stream].status()
}

/// An upstream of HTTP/1 that echoes messages, and notes the heads of its requests.
fn echo() -> (SocketAddr, Notes<String>) {
    let heads: Notes<String> = Notes::default();
    let noted = heads.clone();
    let address = serve(move |stream, _| {
        let mut peeked = [0; 4096];
        let length = stream.peek(&mut peeked).unwrap_or(0);
        let head = String::from_utf8_lossy(&peeked[..length]).into_owned();
        noted.lock().unwrap().push(head.clone());
        match value(&head, "upgrade") {
            Some(_) => echo_messages(stream),
            None => refuse(stream),
        }
    });
    (address, heads)
}

fn echo_messages(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };
    while let Ok(message) = socket.read() {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).is_err()
        {
            return;
        }
    }
}

fn refuse(mut stream: TcpStream) {
    let mut ahead = Vec::new();
    while read_head(&mut stream, &mut ahead).is_some() {
        let _ = stream.write_all(ok("no WebSocket").as_bytes());
    }
}

/// A client's frame, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xfe);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn received(wire: &mut Wire, stream: u32, length: usize) -> Vec<u8> {
    wire.wait("an echo", |wire, _| {
        wire.answers[&stream].body.len() >= length
    });
    std::mem::take(&mut wire.answers.get_mut(&stream).unwrap().body)
}

fn scene() -> (Gateway, Notes<String>) {
    let (upstream, heads) = echo();
    (gateway(upstream, "h1", ""), heads)
}

#[test]
fn a_websocket_over_http2_reaches_an_upstream_of_http1() {
    let (mut gateway, heads) = scene();
    let mut wire = Wire::client(&gateway);
    let enabled = wire.settings.get(&ENABLE_CONNECT_PROTOCOL);
    assert_eq!(enabled, Some(&1), "the setting of RFC 8441, section 3");
    open(&mut wire, 1, "/chat?room=1");
    let head = &wire.answers[&1].heads[0];
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        let found = head.iter().any(|(own, _)| own == name);
        assert!(!found, "{name} has no meaning over HTTP/2");
    }
    let up = heads.lock().unwrap()[0].clone();
    assert!(up.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{up}");
    for (name, expected) in [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("origin", "http://a.example"),
    ] {
        assert_eq!(value(&up, name), Some(expected), "{up}");
    }
    assert_eq!(value(&up, "sec-websocket-key").unwrap().len(), 24, "{up}");
    // Both streams of one connection live side by side, and frames need not fit those of HTTP/2.
    open(&mut wire, 3, "/other");
    for round in 0..50_u16 {
        for stream in [1, 3] {
            let text = format!("{stream} says {round} ").repeat(1 + usize::from(round));
            let sent = masked(TEXT, text.as_bytes());
            let (first, second) = sent.split_at(sent.len() / 2);
            wire.data(stream, first, false);
            wire.data(stream, second, false);
            let echo = received(&mut wire, stream, sent.len() - 4);
            assert!(echo.ends_with(text.as_bytes()), "{stream} {round}");
        }
    }
    // A closing handshake, and the end of the stream behind it.
    wire.data(1, &masked(CLOSE, &1000_u16.to_be_bytes()), false);
    let answer = wire.answer(1);
    assert_eq!(answer.body, [CLOSE, 2, 0x03, 0xe8]);
    assert_eq!(answer.reset, None);
    gateway.logged(|line| line["path"] == "/chat");
    // The other one is given up.
    wire.reset(3, CANCEL);
    gateway.logged(|line| line["path"] == "/other");
    gateway.counts("http_server_active_requests", 0.0);
    let answer = wire.get(5, "/plain");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, "no WebSocket")
    );
}

#[test]
fn a_websocket_over_http2_is_told_when_the_process_leaves() {
    let (mut gateway, _) = scene();
    let mut wire = Wire::client(&gateway);
    open(&mut wire, 1, "/chat");
    gateway.signal("TERM");
    let answer = wire.answer(1);
    // The upstream's own close may follow.
    let close = [CLOSE, 2, 0x03, 0xe9];
    assert!(
        answer.body.starts_with(&close),
        "1001, going away: {answer:?}"
    );
    assert!(answer.ended, "{answer:?}");
    assert!(gateway.wait().success());
}

#[test]
fn a_websocket_that_the_upstream_refuses_is_an_answer_like_any_other() {
    let upstream = serve(|stream, _| refuse(stream));
    let gateway = gateway(upstream, "h1", "");
    let mut wire = Wire::client(&gateway);
    // 200 would say that there is a WebSocket.
    assert_ne!(ask(&mut wire, 1, "websocket", "/chat"), 200);
    let answer = wire.get(3, "/plain");
    assert_eq!(answer.text(), "no WebSocket");
}

#[test]
fn other_tunnels_are_refused() {
    let (gateway, heads) = scene();
    let mut wire = Wire::client(&gateway);
    for (stream, protocol) in [(1, "connect-udp"), (3, "webtransport"), (5, "WebSocket2")] {
        assert_eq!(ask(&mut wire, stream, protocol, "/"), 405, "{protocol}");
    }
    let target = [(":method", "CONNECT"), (":authority", "a.example:443")];
    wire.headers(7, &target, false);
    assert_eq!(status(&mut wire, 7), 405);
    let mut one = gateway.connect();
    let answer = one.exchange(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    assert_eq!(answer.status, 405);
    assert!(heads.lock().unwrap().is_empty(), "no upstream is asked");
    assert_eq!(
        wire.get(9, "/plain").status(),
        200,
        "the connection goes on"
    );
}
