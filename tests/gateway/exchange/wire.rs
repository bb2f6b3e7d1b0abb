//! One side of an HTTP/2 connection, frame by frame, which keeps account of what it may send.

use super::GUARD;
use crate::gateway::Gateway;
use crate::h2::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, frame,
};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Identifiers of settings (RFC 9113, section 6.5.2; RFC 8441, section 3).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Error codes (RFC 9113, section 7).
pub const NO_ERROR: u32 = 0;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// A frame is no longer than this without a setting that allows it.
const FRAME_MAX: usize = 16_384;
const WINDOW: i64 = 65_535;

pub type Fields = Vec<(String, String)>;

pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

/// What a stream has been sent until its end.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    /// Header sections in their order: interim heads, the head, trailers.
    pub heads: Vec<Fields>,
    pub body: Vec<u8>,
    pub ended: bool,
    pub reset: Option<u32>,
}

impl Answer {
    fn statuses(&self) -> impl Iterator<Item = u16> {
        let lines = self.heads.iter().filter_map(|head| field(head, ":status"));
        lines.map(|status| status.parse().unwrap())
    }

    pub fn interim(&self) -> Vec<u16> {
        self.statuses().filter(|status| *status < 200).collect()
    }

    /// 0: there is none yet.
    pub fn status(&self) -> u16 {
        self.statuses().find(|status| *status >= 200).unwrap_or(0)
    }

    /// A field of the final head.
    pub fn header(&self, name: &str) -> Option<&str> {
        let last = self.heads.iter().rfind(|head| head[0].0 == ":status")?;
        field(last, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}

pub struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
    decoder: loona_hpack::Decoder<'static>,
    /// Size of the table that holds once the other side has acknowledged it.
    table: Option<usize>,
    connection: i64,
    initial: i64,
    windows: HashMap<u32, i64>,
    /// Whether what has been received may come again.
    pub replenishes: bool,
    /// Whether the other side has acknowledged the settings.
    pub acknowledged: bool,
    pub closed: bool,
    /// Settings of the other side.
    pub settings: HashMap<u16, u32>,
    pub answers: HashMap<u32, Answer>,
}

impl Wire {
    /// A client, whose settings and those of the gateway have been exchanged.
    pub fn client(gateway: &Gateway) -> Self {
        Self::client_with(gateway.address("web"), &[])
    }

    pub fn client_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over_client(TcpStream::connect(address).unwrap(), settings)
    }

    pub fn over_client(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(stream, PREFACE, settings);
        wire.wait("the settings", |wire, _| {
            wire.acknowledged && !wire.settings.is_empty()
        });
        wire
    }

    /// A server on a connection that has been accepted. `None`: no HTTP/2 client.
    pub fn server(mut stream: TcpStream, settings: &[(u16, u32)]) -> Option<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.read_exact(&mut preface).ok()?;
        (preface == PREFACE).then(|| Self::over(stream, &[], settings))
    }

    fn over(stream: TcpStream, preface: &[u8], settings: &[(u16, u32)]) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(GUARD)).unwrap();
        let table = settings.iter().find(|(id, _)| *id == HEADER_TABLE_SIZE);
        let mut wire = Self {
            stream,
            ahead: Vec::new(),
            decoder: loona_hpack::Decoder::new(),
            table: table.map(|(_, size)| *size as usize),
            connection: WINDOW,
            initial: WINDOW,
            windows: HashMap::new(),
            replenishes: true,
            acknowledged: false,
            closed: false,
            settings: HashMap::new(),
            answers: HashMap::new(),
        };
        let pairs = settings.iter().flat_map(|(id, value)| {
            let (id, value) = (id.to_be_bytes(), value.to_be_bytes());
            [&id[..], &value[..]].concat()
        });
        let pairs: Vec<u8> = pairs.collect();
        wire.send(&[preface, &frame(SETTINGS, 0, 0, &pairs)].concat());
        wire
    }

    /// The socket, for what is not HTTP/2.
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes. That the other side has closed is seen by reading, behind all that it has sent.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.send(&frame(HEADERS, flags, stream, &block(fields)));
        self.windows.entry(stream).or_insert(self.initial);
        self.answers.entry(stream).or_default();
    }

    /// A request without a body, or the head of one with a body.
    pub fn request(&mut self, stream: u32, method: &str, path: &str, more: &[(&str, &str)]) {
        let mut fields = vec![
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "a.example"),
        ];
        fields.extend(more);
        self.headers(stream, &fields, method == "GET");
    }

    /// Bytes that may be sent now.
    pub fn room(&self, stream: u32) -> usize {
        let own = self.windows.get(&stream).copied().unwrap_or(self.initial);
        usize::try_from(own.min(self.connection)).unwrap_or(0)
    }

    pub fn data(&mut self, stream: u32, bytes: &[u8], ends: bool) {
        assert!(bytes.len() <= FRAME_MAX.min(self.room(stream)));
        self.connection -= bytes.len() as i64;
        *self.windows.entry(stream).or_insert(self.initial) -= bytes.len() as i64;
        let flags = if ends { END_STREAM } else { 0 };
        self.send(&frame(DATA, flags, stream, bytes));
    }

    /// Sends up to so many bytes as a frame allows; how many they were.
    pub fn some(&mut self, stream: u32, most: usize) -> usize {
        let length = self.room(stream).min(FRAME_MAX).min(most);
        if length > 0 {
            self.data(stream, &vec![b'z'; length], false);
        }
        length
    }

    /// Sends all of this as the windows allow.
    pub fn all(&mut self, stream: u32, data: &[u8]) {
        let mut left = data;
        while !left.is_empty() {
            self.wait("room", |wire, _| wire.room(stream) > 0);
            let length = self.room(stream).min(FRAME_MAX).min(left.len());
            self.data(stream, &left[..length], false);
            left = &left[length..];
        }
    }

    /// Lets the other side send so much more; stream 0 is the connection.
    pub fn allow(&mut self, stream: u32, more: u32) {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes()));
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    }

    pub fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
        self.send(&frame(GOAWAY, 0, 0, &payload));
    }

    /// The next frame. `None`: none has come for so long, or the connection has ended.
    pub fn next(&mut self, wait: Duration) -> Option<Frame> {
        let wait = wait.max(Duration::from_millis(1));
        while !self.closed {
            if let Some(frame) = self.take() {
                self.note(&frame);
                return Some(frame);
            }
            self.stream.set_read_timeout(Some(wait)).unwrap();
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(read) => self.ahead.extend_from_slice(&buffer[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(_) => self.closed = true,
            }
        }
        None
    }

    fn take(&mut self) -> Option<Frame> {
        let (head, rest) = self.ahead.split_first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: rest.get(..length)?.to_vec(),
        };
        self.ahead.drain(..9 + length);
        Some(frame)
    }

    /// Does what a frame asks of this side, and keeps what it says.
    fn note(&mut self, said: &Frame) {
        let size = said.payload.len();
        match said.kind {
            SETTINGS if said.flags & ACK != 0 => {
                self.acknowledged = true;
                if let Some(size) = self.table {
                    self.decoder.set_max_allowed_table_size(size);
                    self.decoder.set_max_table_size(size);
                }
            }
            SETTINGS => self.configure(&said.payload),
            PING if said.flags & ACK == 0 => self.send(&frame(PING, ACK, 0, &said.payload)),
            WINDOW_UPDATE => {
                let more = i64::from(u32::from_be_bytes(said.payload[..4].try_into().unwrap()));
                match said.stream {
                    0 => self.connection += more,
                    own => *self.windows.entry(own).or_insert(self.initial) += more,
                }
            }
            HEADERS => self.fields(said),
            DATA => {
                assert!(size <= FRAME_MAX, "a frame of {size} bytes");
                let answer = self.answers.entry(said.stream).or_default();
                answer.body.extend_from_slice(&said.payload);
                answer.ended |= said.flags & END_STREAM != 0;
                if self.replenishes && size > 0 {
                    self.allow(0, size as u32);
                    self.allow(said.stream, size as u32);
                }
            }
            RST_STREAM => {
                self.answers.entry(said.stream).or_default().reset = Some(said.code());
            }
            _ => {}
        }
    }

    fn configure(&mut self, payload: &[u8]) {
        for pair in payload.as_chunks::<6>().0 {
            let id = u16::from_be_bytes([pair[0], pair[1]]);
            let value = u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]);
            self.settings.insert(id, value);
            if id == INITIAL_WINDOW_SIZE {
                let change = i64::from(value) - self.initial;
                self.initial += change;
                self.windows.values_mut().for_each(|own| *own += change);
            }
        }
        self.send(&frame(SETTINGS, ACK, 0, &[]));
    }

    fn fields(&mut self, said: &Frame) {
        assert!(said.flags & END_HEADERS != 0, "a head in one frame");
        let fields = self.decoder.decode(&said.payload);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = fields.expect("a header block that can be decoded");
        let fields = fields.iter().map(|(name, value)| (text(name), text(value)));
        let answer = self.answers.entry(said.stream).or_default();
        answer.heads.push(fields.collect());
        answer.ended |= said.flags & END_STREAM != 0;
    }

    /// Reads until it is done; fails where the connection ends before that.
    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self, Option<&Frame>) -> bool) {
        let until = Instant::now() + GUARD;
        let mut frame = None;
        while !done(self, frame.as_ref()) {
            assert!(
                !self.closed,
                "the connection ended while waiting for {what}"
            );
            assert!(Instant::now() < until, "waited for {what}");
            frame = self.next(Duration::from_millis(100));
        }
    }

    /// Whether nothing of an answer is to come.
    pub fn is_over(&self, stream: u32) -> bool {
        let answer = &self.answers[&stream];
        answer.ended || answer.reset.is_some() || self.closed
    }

    /// Everything of an answer, to its end.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let over = |wire: &mut Self, _: Option<&Frame>| wire.is_over(stream);
        self.wait("the end of an answer", over);
        self.answers[&stream].clone()
    }

    /// A request of its own; what it is answered.
    pub fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.request(stream, "GET", path, &[]);
        self.answer(stream)
    }
}
