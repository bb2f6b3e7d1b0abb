//! HTTP/2 frame by frame: a client that can be wrong in any way it is told to.

use crate::gateway::Gateway;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals that nobody indexes (RFC 7541, section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return bytes.push(value as u8);
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 0x80);
        value /= 128;
    }
    bytes.push(value as u8);
}

/// What any request has.
pub fn request(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.example"),
    ];
    fields.extend(more);
    block(&fields)
}

/// A whole request without a body.
pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&[]))
}

pub struct Client {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    /// Connects, and has the settings of both sides done.
    pub fn start(gateway: &Gateway) -> Self {
        let mut client = Self::raw(gateway);
        client.send(PREFACE);
        client.send(&frame(SETTINGS, 0, 0, &[]));
        client.wait(|frame| frame.kind == SETTINGS && frame.flags == ACK);
        client
    }

    /// Connects and says nothing.
    pub fn raw(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address("web")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Sends; a peer that has closed is no error here.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame; `None` once the connection has ended, or nothing comes.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.ahead.split_first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if rest.len() >= length {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let frame = Frame {
                        kind: head[3],
                        flags: head[4],
                        stream,
                        payload: rest[..length].to_vec(),
                    };
                    self.ahead.drain(..9 + length);
                    return Some(frame);
                }
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.ahead.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// The first frame that is wanted.
    pub fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Asks for a path of an authority, on a stream of its own.
    pub fn get(&mut self, stream: u32, authority: &str, path: &str) {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", path),
            (":authority", authority),
        ];
        self.send(&frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            stream,
            &block(&fields),
        ));
    }

    /// The same; the body of the answer.
    pub fn ask(&mut self, stream: u32, authority: &str, path: &str) -> String {
        self.get(stream, authority, path);
        let mut body = Vec::new();
        while let Some(frame) = self.wait(|frame| frame.stream == stream) {
            if frame.kind == DATA {
                body.extend(frame.payload);
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        String::from_utf8(body).unwrap()
    }

    /// Whether the connection still answers pings.
    pub fn is_alive(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, b"areuthr?"));
        self.wait(|frame| frame.kind == GOAWAY || (frame.kind == PING && frame.flags == ACK))
            .is_some_and(|frame| frame.kind == PING)
    }
}
