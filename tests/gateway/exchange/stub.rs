//! Upstreams that do exactly what a test says: connections by hand, and ones that stop reading.

use super::GUARD;
use super::wire::{INITIAL_WINDOW_SIZE, Wire, field};
use crate::h2::HEADERS;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The receive buffer of a connection: little of a body fits in.
const BUFFER: usize = 4096;
/// Pause between two looks at what a test has said.
pub const LOOK: Duration = Duration::from_millis(10);

/// Serves each connection on a thread of its own; connections are numbered from 0.
pub fn serve(handler: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(1024).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let handler = Arc::new(handler);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let handler = handler.clone();
            std::thread::spawn(move || handler(stream, number));
        }
    });
    address
}

/// Something that happens once, and that others wait for.
#[derive(Clone, Default)]
pub struct Event(Arc<AtomicBool>);

impl Event {
    pub fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Whether it happens in time.
    pub fn wait(&self) -> bool {
        let until = Instant::now() + GUARD;
        while !self.is_set() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        self.is_set()
    }
}

/// Reads to the end of a head; what follows stays in `ahead`.
pub fn read_head(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = ahead.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = ahead.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        read_more(stream, ahead)?;
    }
}

/// `None` at the end.
pub fn read_more(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
    ahead.extend_from_slice(&buffer[..read]);
    Some(())
}

/// The value of a field in a head.
pub fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut own = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    own.next().map(|(_, value)| value.trim())
}

pub fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The answer to an offer of WebSocket.
pub fn switch(head: &str) -> String {
    let key = value(head, "sec-websocket-key").unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Reads whatever comes; whether the connection ended in time.
pub fn ends(stream: &mut TcpStream) -> bool {
    let until = Instant::now() + GUARD;
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let mut buffer = [0; 16 * 1024];
    while Instant::now() < until {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

/// How an upstream takes nothing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// HTTP/1: it does not read.
    One,
    /// HTTP/2: it gives no window.
    Window,
    /// HTTP/2: it gives all windows and does not read.
    Two,
}

impl Stall {
    pub const ALL: [Self; 3] = [Self::One, Self::Window, Self::Two];

    pub fn http(self) -> &'static str {
        match self {
            Self::One => "h1",
            Self::Window | Self::Two => "h2c",
        }
    }
}

/// An upstream that takes nothing of what is sent to `/up`, and answers everything else.
pub struct Stalled {
    pub address: SocketAddr,
    /// From here on it reads again.
    pub awake: Event,
    /// It has seen the end of the exchange.
    pub told: Event,
    /// Uploads that have come.
    pub uploads: Arc<AtomicUsize>,
}

impl Stalled {
    pub fn start(how: Stall) -> Self {
        let (awake, told, uploads) = (Event::default(), Event::default(), Arc::default());
        let one = Stalling {
            awake: awake.clone(),
            told: told.clone(),
            uploads: Arc::clone(&uploads),
        };
        let address = serve(move |stream, _| match how {
            Stall::One => one.http1(stream),
            Stall::Window => one.http2(stream, 0),
            Stall::Two => one.http2(stream, 1 << 26),
        });
        Self {
            address,
            awake,
            told,
            uploads,
        }
    }
}

struct Stalling {
    awake: Event,
    told: Event,
    uploads: Arc<AtomicUsize>,
}

impl Stalling {
    fn http1(&self, mut stream: TcpStream) {
        let mut ahead = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut ahead) {
            if !head.contains(" /up ") {
                let _ = stream.write_all(ok("served").as_bytes());
                continue;
            }
            self.uploads.fetch_add(1, SeqCst);
            if value(&head, "upgrade").is_some() {
                let _ = stream.write_all(switch(&head).as_bytes());
            }
            self.awake.wait();
            if ends(&mut stream) {
                self.told.set();
            }
            return;
        }
    }

    fn http2(&self, stream: TcpStream, window: u32) {
        let Some(mut wire) = Wire::server(stream, &[(INITIAL_WINDOW_SIZE, window)]) else {
            return;
        };
        wire.replenishes = false;
        if window > 0 {
            wire.allow(0, window);
        }
        let mut uploads = Vec::new();
        let until = Instant::now() + 3 * GUARD;
        while !wire.closed && Instant::now() < until {
            if let Some(frame) = wire.next(LOOK).filter(|frame| frame.kind == HEADERS) {
                let own = frame.stream;
                let path = wire.answers[&own].heads.first();
                if path.and_then(|head| field(head, ":path")) != Some("/up") {
                    answer(&mut wire, own, "served");
                } else if !uploads.contains(&own) {
                    uploads.push(own);
                    self.uploads.fetch_add(1, SeqCst);
                    if window > 0 {
                        self.awake.wait();
                    }
                }
            }
            let reset = |own: &u32| wire.answers[own].reset.is_some();
            if uploads.iter().any(|own| wire.closed || reset(own)) {
                self.told.set();
            }
        }
    }
}

/// A whole answer.
pub fn answer(wire: &mut Wire, stream: u32, body: &str) {
    wire.headers(stream, &[(":status", "200")], false);
    wire.data(stream, body.as_bytes(), true);
}

/// What an upstream has been told, for a test to look at.
pub type Notes<T> = Arc<Mutex<Vec<T>>>;
