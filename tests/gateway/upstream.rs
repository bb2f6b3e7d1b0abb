//! An upstream that records the raw bytes of every request and answers by path, faults included.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Upstream {
    pub address: SocketAddr,
    name: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    chunks: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
    said: Arc<Mutex<Option<String>>>,
    delay: Arc<Mutex<Duration>>,
}

impl Upstream {
    pub fn start(name: &'static str) -> Self {
        Self::start_at(name, "127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(name: &'static str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            name,
            heads: Arc::default(),
            bodies: Arc::default(),
            chunks: Arc::default(),
            up: Arc::new(AtomicBool::new(true)),
            said: Arc::default(),
            delay: Arc::default(),
        };
        let said = upstream.said.clone();
        let delay = upstream.delay.clone();
        let chunks = upstream.chunks.clone();
        let (heads, bodies, up) = (
            upstream.heads.clone(),
            upstream.bodies.clone(),
            upstream.up.clone(),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !up.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Serving {
                    stream,
                    name,
                    heads: heads.clone(),
                    bodies: bodies.clone(),
                    chunks: chunks.clone(),
                    up: up.clone(),
                    said: said.clone(),
                    delay: delay.clone(),
                };
                std::thread::spawn(move || serving.run());
            }
        });
        upstream
    }

    /// Refuses connections from now on, and ends those that are open.
    pub fn stop(self) -> SocketAddr {
        self.up.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Open connections notice within their read timeout.
        std::thread::sleep(Duration::from_millis(150));
        self.address
    }

    /// Gives this answer to everything from now on; `None`: by path again. Empty: hangs up.
    pub fn say(&self, answer: Option<&str>) {
        *self.said.lock().unwrap() = answer.map(ToOwned::to_owned);
    }

    /// Takes this long for each answer from now on.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Says 200 with this body.
    pub fn say_ok(&self, headers: &str, body: &str) {
        let length = body.len();
        self.say(Some(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )));
    }

    /// Says a status with nothing else.
    pub fn say_status(&self, status: u16) {
        self.say(Some(&format!(
            "HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n"
        )));
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn last_head(&self) -> String {
        self.heads().pop().unwrap_or_default()
    }

    pub fn last_body(&self) -> Vec<u8> {
        self.bodies
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }

    /// Chunks of bodies that have arrived so far, in bodies that go on too.
    pub fn chunks(&self) -> usize {
        self.chunks.load(Ordering::SeqCst)
    }

    /// The values of a header in the last request.
    pub fn header(&self, name: &str) -> Vec<String> {
        let head = self.last_head();
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim().to_owned())
            .collect()
    }
}

struct Serving {
    stream: TcpStream,
    name: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    chunks: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
    said: Arc<Mutex<Option<String>>>,
    delay: Arc<Mutex<Duration>>,
}

impl Serving {
    fn run(mut self) {
        let mut ahead = Vec::new();
        self.stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        while let Some(head) = self.read_head(&mut ahead) {
            self.heads.lock().unwrap().push(head.clone());
            let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
            if path.starts_with("/upgrade") {
                return self.echo_forever(&ahead);
            }
            let body = self.read_body(&head, &mut ahead);
            self.bodies.lock().unwrap().push(body.clone());
            let go_on = self.answer(&path, &body, head.starts_with("HEAD "));
            if !go_on || !self.up.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn more(&mut self, ahead: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 8 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    ahead.extend_from_slice(&buffer[..read]);
                    return true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !self.up.load(Ordering::SeqCst) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    fn read_head(&mut self, ahead: &mut Vec<u8>) -> Option<String> {
        loop {
            if let Some(end) = ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = ahead.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.more(ahead) {
                return None;
            }
        }
    }

    /// The body as it is on the wire: chunked ones with their framing taken off.
    fn read_body(&mut self, head: &str, ahead: &mut Vec<u8>) -> Vec<u8> {
        let lower = head.to_ascii_lowercase();
        let field = |name: &str| {
            let at = lower.find(&format!("\r\n{name}:"))? + name.len() + 3;
            Some(lower[at..].lines().next()?.trim().to_owned())
        };
        if let Some(length) = field("content-length") {
            let length: usize = length.parse().unwrap();
            while ahead.len() < length && self.more(ahead) {}
            return ahead.drain(..length.min(ahead.len())).collect();
        }
        let mut body = Vec::new();
        if field("transfer-encoding").is_none() {
            return body;
        }
        loop {
            while !ahead.windows(2).any(|window| window == b"\r\n") {
                if !self.more(ahead) {
                    return body;
                }
            }
            let end = ahead
                .windows(2)
                .position(|window| window == b"\r\n")
                .unwrap();
            let line: Vec<u8> = ahead.drain(..end + 2).collect();
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
            if size == 0 {
                self.chunks.fetch_add(1, Ordering::SeqCst);
                self.skip_trailers(ahead);
                return body;
            }
            while ahead.len() < size + 2 && self.more(ahead) {}
            body.extend(ahead.drain(..size.min(ahead.len())));
            self.chunks.fetch_add(1, Ordering::SeqCst);
            ahead.drain(..2.min(ahead.len()));
        }
    }

    /// Reads trailer fields off, up to the empty line behind them.
    fn skip_trailers(&mut self, ahead: &mut Vec<u8>) {
        loop {
            match ahead.windows(2).position(|window| window == b"\r\n") {
                Some(end) => {
                    ahead.drain(..end + 2);
                    if end == 0 {
                        return;
                    }
                }
                None if self.more(ahead) => {}
                None => return,
            }
        }
    }

    fn send(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).is_ok()
    }

    fn ok(&mut self, body: &str, is_head: bool) -> bool {
        let (name, length) = (self.name, body.len());
        let body = if is_head { "" } else { body };
        self.send(&format!(
            "HTTP/1.1 200 OK\r\nServer: stub\r\nX-Upstream: {name}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// False ends the connection.
    fn answer(&mut self, path: &str, body: &[u8], is_head: bool) -> bool {
        let delay = *self.delay.lock().unwrap();
        std::thread::sleep(delay);
        let said = self.said.lock().unwrap().clone();
        if let Some(answer) = said {
            return !answer.is_empty() && self.send(&answer);
        }
        let mut parts = path.split('?').next().unwrap_or("").split('/').skip(1);
        let (what, value) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match what {
            "status" => self.send(&format!("HTTP/1.1 {value} Said\r\nContent-Length: 0\r\n\r\n")),
            "bodiless" => self.send(&format!("HTTP/1.1 {value} Said\r\n\r\n")),
            "delay" => {
                std::thread::sleep(Duration::from_millis(value.parse().unwrap()));
                self.ok("late", is_head)
            }
            "echo" => {
                let text = String::from_utf8_lossy(body).into_owned();
                self.ok(&text, is_head)
            }
            "chunked" => self.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
            ),
            "large" => self.large(value.parse().unwrap()),
            "drip" => self.drip(value.parse().unwrap()),
            "huge-head" => {
                let field = "a".repeat(600_000);
                self.send(&format!("HTTP/1.1 200 OK\r\nX-A: {field}\r\nContent-Length: 0\r\n\r\n"))
            }
            "hop" => self.send(
                "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nProxy-Connection: x\r\nContent-Length: 0\r\n\r\n",
            ),
            "close" => false,
            "half-head" => { self.send("HTTP/1.1 200 OK\r\nX-A: b"); false }
            "half-body" => { self.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"); false }
            "half-chunk" => { self.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"); false }
            "garbage" => { self.send("\u{1}\u{2}this is not HTTP\r\n\r\n"); false }
            "two-lengths" => { self.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokok"); false }
            "bad-length" => { self.send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok"); false }
            "switch" => { self.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"); false }
            "hang" => { std::thread::sleep(Duration::from_secs(8)); false }
            "extra" => self.send(concat!(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            )),
            "drip-head" => self.drip_head(),
            _ => self.ok(self.name, is_head),
        }
    }

    fn large(&mut self, size: usize) -> bool {
        self.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"
        ));
        let block = vec![b'x'; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let part = left.min(block.len());
            if self.stream.write_all(&block[..part]).is_err() {
                return false;
            }
            left -= part;
        }
        true
    }

    /// So many bytes, one every 50 ms.
    fn drip(&mut self, count: usize) -> bool {
        self.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n"
        ));
        for _ in 0..count {
            std::thread::sleep(Duration::from_millis(50));
            if !self.send("x") {
                return false;
            }
        }
        true
    }

    /// A head that never ends, byte by byte.
    fn drip_head(&mut self) -> bool {
        self.send("HTTP/1.1 200 OK\r\nX-Drip: ");
        while self.send("x") {
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn echo_forever(&mut self, ahead: &[u8]) {
        let _ = self.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let _ = self.stream.write_all(ahead);
        let mut bytes = Vec::new();
        while self.more(&mut bytes) {
            if self.stream.write_all(&bytes).is_err() {
                return;
            }
            bytes.clear();
        }
    }
}
