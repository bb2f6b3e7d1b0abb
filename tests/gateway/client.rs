//! A client that sends exactly what it is told and reads one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// 0: the connection ended without one.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub complete: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `reason` of a problem document.
    pub fn reason(&self) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["reason"].as_str().unwrap_or("").to_owned()
    }
}

pub struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).unwrap()
    }

    /// Fails where nothing listens.
    pub fn try_to(address: SocketAddr) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Uses a connection that has been made.
    pub fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    pub fn patience(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    /// Offers to become a WebSocket, and returns the head of the answer.
    pub fn offer_websocket(&mut self, path: &str) -> Answer {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.send(request.as_bytes());
        self.head().unwrap()
    }

    /// For sending from another thread while this one reads.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Sends; a peer that has closed already is no error here.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn exchange(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer(request.starts_with(b"HEAD "))
    }

    /// Reads more; false at the end, whatever ends it.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.ahead.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }

    fn line_end(&self, pattern: &[u8]) -> Option<usize> {
        self.ahead
            .windows(pattern.len())
            .position(|window| window == pattern)
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Exactly so many bytes, or fewer at the end.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.more() {}
        let length = length.min(self.ahead.len());
        self.ahead.drain(..length).collect()
    }

    /// The next final answer; interim ones are passed over.
    pub fn answer(&mut self, to_head: bool) -> Answer {
        loop {
            let Some(head) = self.head() else {
                return Answer::default();
            };
            let mut answer = head;
            if answer.status == 100 || answer.status == 103 {
                continue;
            }
            self.body(&mut answer, to_head);
            return answer;
        }
    }

    pub fn head(&mut self) -> Option<Answer> {
        while self.line_end(b"\r\n\r\n").is_none() {
            if !self.more() {
                return None;
            }
        }
        let end = self.line_end(b"\r\n\r\n")?;
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Answer {
            status,
            headers: headers.collect(),
            ..Answer::default()
        })
    }

    fn body(&mut self, answer: &mut Answer, to_head: bool) {
        if to_head || matches!(answer.status, 101 | 204 | 304) {
            answer.complete = true;
        } else if answer.header("transfer-encoding").is_some() {
            self.chunks(answer);
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            answer.body = self.take(length);
            answer.complete = answer.body.len() == length;
        } else {
            answer.body = self.rest();
            answer.complete = true;
        }
    }

    fn chunks(&mut self, answer: &mut Answer) {
        loop {
            while self.line_end(b"\r\n").is_none() {
                if !self.more() {
                    return;
                }
            }
            let end = self.line_end(b"\r\n").unwrap();
            let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
            let Ok(size) = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16) else {
                return;
            };
            let chunk = self.take(size + 2);
            if chunk.len() < size + 2 {
                return;
            }
            answer.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                answer.complete = true;
                return;
            }
        }
    }
}
