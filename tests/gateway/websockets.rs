//! A WebSocket's endpoint meets the same bytes through the gateway as without it: each case is
//! played to the endpoint itself and through the gateway, and what comes back must be equal. The
//! cases go by the chapters of the usual conformance suite: framing, pings, reserved bits, opcodes,
//! fragments, UTF-8, closing, sizes.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, WebSocket};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MORE: u8 = 0x00;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x08;
const PING: u8 = 0x09;
const PONG: u8 = 0x0a;

/// Echoes messages on connections that it is offered.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || echo(stream));
        }
    });
    address
}

fn echo(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };
    let code = loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => {
                if socket.send(message).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(Error::Protocol(_)) => break Some(CloseCode::Protocol),
            Err(Error::Utf8(_)) => break Some(CloseCode::Invalid),
            Err(Error::Capacity(_)) => break Some(CloseCode::Size),
            Err(_) => break None,
        }
    };
    hang_up(socket, code);
}

/// Says why, then reads on until the other side has closed, so that no reset eats the words.
fn hang_up(mut socket: WebSocket<TcpStream>, code: Option<CloseCode>) {
    let frame = code.map(|code| CloseFrame {
        code,
        reason: "".into(),
    });
    if frame.is_some() {
        let _ = socket.close(frame);
        let _ = socket.flush();
    }
    let stream = socket.get_mut();
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// What came back after the handshake, to the end of the connection.
fn play(address: SocketAddr, sent: &[u8], piece: usize) -> Vec<u8> {
    let mut connection = Connection::to(address);
    let head = connection.offer_websocket("/chat");
    assert_eq!(head.status, 101);
    let accept = head.header("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut writer = connection.writer();
    let sent = sent.to_vec();
    // Big messages come back while they are still being sent.
    let sends = std::thread::spawn(move || {
        for piece in sent.chunks(piece) {
            if writer.write_all(piece).is_err() {
                break;
            }
        }
    });
    let rest = connection.rest();
    sends.join().unwrap();
    rest
}

/// Cases by name; each ends with a closing handshake unless the case itself ends the connection.
#[derive(Default)]
struct Cases(Vec<(String, Vec<u8>)>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, frames: &[Vec<u8>]) {
        let end = close(1000, b"end");
        self.0.push((name.into(), [frames.concat(), end].concat()));
    }

    fn all() -> Self {
        let mut cases = Self::default();
        cases.framing();
        cases.reserved();
        cases.fragments();
        cases.text();
        cases.closing();
        cases.sizes();
        cases
    }

    fn framing(&mut self) {
        for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
            let payload = vec![b'*'; length];
            self.add(
                format!("1 text of {length}"),
                &[frame(FIN | TEXT, &payload)],
            );
            self.add(
                format!("1 binary of {length}"),
                &[frame(FIN | BINARY, &payload)],
            );
        }
        for length in [0, 1, 125, 126] {
            let payload = vec![0xfe; length];
            self.add(
                format!("2 ping of {length}"),
                &[frame(FIN | PING, &payload)],
            );
            self.add(
                format!("2 pong of {length}"),
                &[frame(FIN | PONG, &payload)],
            );
        }
        let pings: Vec<_> = (0..10).map(|n: u8| frame(FIN | PING, &[n])).collect();
        self.add("2 ten pings", &pings);
    }

    fn reserved(&mut self) {
        for bits in 1..8_u8 {
            let hello = frame(FIN | TEXT, b"Hello");
            let odd = frame(FIN | bits << 4 | TEXT, b"Hello");
            self.add(format!("3 bits {bits}"), &[hello.clone(), odd, hello]);
            let ping = frame(FIN | bits << 4 | PING, b"");
            self.add(format!("3 bits {bits} in a ping"), &[ping]);
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            let (empty, full) = (frame(FIN | opcode, b""), frame(FIN | opcode, b"x"));
            self.add(format!("4 opcode {opcode}"), &[full]);
            let before = frame(FIN | TEXT, b"before");
            self.add(format!("4 opcode {opcode} after a text"), &[before, empty]);
        }
        let deflated = frame(FIN | RSV1 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        self.add("12 compressed, though nobody agreed", &[deflated]);
    }

    fn fragments(&mut self) {
        let (first, last) = (frame(TEXT, b"one "), frame(FIN | MORE, b"two"));
        let between = |opcode| [first.clone(), frame(FIN | opcode, b"!"), last.clone()];
        self.add("5 two fragments", &[first.clone(), last.clone()]);
        self.add("5 a ping between", &between(PING));
        self.add("5 a text between", &between(TEXT));
        self.add("5 an end without beginning", std::slice::from_ref(&last));
        self.add("5 a middle without beginning", &[frame(MORE, b"?")]);
        for opcode in [PING, PONG] {
            let pieces = [frame(opcode, b"a"), frame(FIN | MORE, b"b")];
            self.add(format!("5 opcode {opcode} in fragments"), &pieces);
        }
        let empty = [frame(TEXT, b""), frame(MORE, b""), frame(FIN | MORE, b"")];
        self.add("5 empty fragments", &empty);
    }

    fn text(&mut self) {
        let word = "κόσμε \u{10ffff}".as_bytes();
        self.add("6 valid", &[frame(FIN | TEXT, word)]);
        let (one, two) = word.split_at(3);
        self.add(
            "6 split within a letter",
            &[frame(TEXT, one), frame(FIN | MORE, two)],
        );
        let invalid: [&[u8]; 8] = [
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\x80",
            b"\xc0\xaf",
            b"\xf8\x88\x80\x80\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xff",
            b"\xe2\x82",
        ];
        for (number, bytes) in invalid.into_iter().enumerate() {
            self.add(format!("6 invalid {number}"), &[frame(FIN | TEXT, bytes)]);
        }
    }

    fn closing(&mut self) {
        for code in [
            0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 2999, 3000, 4999,
            5000, 65_535,
        ] {
            self.add(format!("7 close with {code}"), &[close(code, b"bye")]);
        }
        self.add("7 close without a code", &[frame(FIN | CLOSE, b"")]);
        self.add("7 half a code", &[frame(FIN | CLOSE, b"\x03")]);
        self.add("7 a reason that is no text", &[close(1000, b"\xff\xfe")]);
        self.add("7 the longest reason", &[close(1000, &[b'r'; 123])]);
        self.add("7 a reason too long", &[close(1000, &[b'r'; 124])]);
        for opcode in [TEXT, PING] {
            let late = frame(FIN | opcode, b"late");
            self.add(
                format!("7 opcode {opcode} after close"),
                &[close(1000, b""), late],
            );
        }
    }

    fn sizes(&mut self) {
        for megabytes in [1, 4] {
            let payload = vec![b'b'; megabytes << 20];
            self.add(
                format!("9 {megabytes} MB"),
                &[frame(FIN | BINARY, &payload)],
            );
            let mut pieces = vec![frame(BINARY, b"")];
            pieces.extend(payload.chunks(64 << 10).map(|piece| frame(MORE, piece)));
            pieces.push(frame(FIN | MORE, b""));
            self.add(format!("9 {megabytes} MB in fragments"), &pieces);
        }
    }
}

#[test]
fn an_endpoint_meets_the_same_bytes_as_without_the_gateway() {
    let endpoint = endpoint();
    let config = format!(
        "{}[services.chat.versions.v1]\nendpoints = [\"{endpoint}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"chat\"\n",
        listeners("")
    );
    let gateway = Gateway::start(&config);
    let web = gateway.address("web");
    for (name, sent) in Cases::all().0 {
        let direct = play(endpoint, &sent, usize::MAX);
        assert!(
            !direct.is_empty(),
            "{name}: the endpoint has said something"
        );
        // Whole, and in pieces that cut through heads of frames.
        let pieces: &[usize] = if sent.len() > 8192 {
            &[8191]
        } else {
            &[usize::MAX, 1, 3]
        };
        for piece in pieces {
            let through = play(web, &sent, *piece);
            assert!(
                through == direct,
                "{name}, in pieces of {piece}: {} and {} bytes",
                through.len(),
                direct.len()
            );
        }
    }
}
