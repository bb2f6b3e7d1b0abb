//! Clients that upload until the gateway takes no more, and then stay or leave.

use super::GUARD;
use super::stub::LOOK;
use super::wire::{CANCEL, Wire};
use crate::client::Connection;
use crate::gateway::Gateway;
use socket2::SockRef;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// More than all buffers between a client and an upstream keep.
pub const LENGTH: usize = 64 << 20;
/// What the gateway's receive window of a fresh connection has room for.
const STEP: usize = 16 * 1024;
/// A gateway that has taken nothing for so long is blocked.
const BLOCKED: Duration = Duration::from_millis(300);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    One,
    Two,
    /// A call of gRPC over HTTP/2 whose messages go on.
    Grpc,
    /// WebSocket over HTTP/1.1.
    Socket,
    /// WebSocket over HTTP/2.
    SocketTwo,
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Fin,
    /// FIN behind more bytes than the gateway has room for, so that it cannot see it yet.
    StuckFin,
    Rst,
    Stream,
}

pub enum Caller {
    One(TcpStream),
    Two(Box<Wire>),
    Gone,
}

impl Caller {
    /// Begins an upload to `/up`, or opens a WebSocket there.
    pub fn start(kind: Kind, gateway: &Gateway) -> Self {
        let length = LENGTH.to_string();
        match kind {
            Kind::One => {
                let mut stream = connect(gateway.address("web"));
                let head =
                    format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                Self::One(stream)
            }
            Kind::Socket => {
                let stream = connect(gateway.address("web"));
                let mut offer = Connection::over(stream.try_clone().unwrap()).unwrap();
                assert_eq!(offer.offer_websocket("/up").status, 101);
                Self::One(stream)
            }
            Kind::Two => {
                let mut wire = Wire::client(gateway);
                wire.request(1, "POST", "/up", &[("content-length", &length)]);
                Self::Two(Box::new(wire))
            }
            Kind::Grpc => {
                let mut wire = Wire::client(gateway);
                let fields = [("content-type", "application/grpc"), ("te", "trailers")];
                wire.request(1, "POST", "/up", &fields);
                Self::Two(Box::new(wire))
            }
            Kind::SocketTwo => {
                let mut wire = Wire::client(gateway);
                super::tunnels::open(&mut wire, 1, "/up");
                Self::Two(Box::new(wire))
            }
        }
    }

    /// Sends until the gateway takes no more. No event tells that: it is a time without one.
    pub fn fill(&mut self) {
        match self {
            Self::One(stream) => fill_one(stream),
            Self::Two(wire) => {
                let mut last = Instant::now();
                let mut sent = 0;
                while last.elapsed() < BLOCKED && !wire.is_over(1) {
                    match wire.some(1, LENGTH - sent) {
                        0 => _ = wire.next(LOOK),
                        more => (sent, last) = (sent + more, Instant::now()),
                    }
                    assert!(sent < LENGTH, "the gateway takes everything");
                }
            }
            Self::Gone => {}
        }
    }

    /// Sends as fast as the gateway takes it, until it takes no more: a client that never keeps the
    /// gateway waiting.
    pub fn pour(&mut self) {
        let Self::One(stream) = self else {
            return self.fill();
        };
        stream.set_nonblocking(true).unwrap();
        let (mut last, mut sent) = (Instant::now(), 0);
        while last.elapsed() < BLOCKED && sent < LENGTH {
            let part = STEP.min(LENGTH - sent);
            match stream.write(&vec![b'z'; part]) {
                Ok(more) => (sent, last) = (sent + more, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => break,
            }
        }
        stream.set_nonblocking(false).unwrap();
    }

    /// Leaves. A socket that is closed on one side only stays open on the other.
    pub fn leave(&mut self, how: Leave) {
        let socket = match self {
            Self::One(stream) => &*stream,
            Self::Two(wire) if how == Leave::Stream => return wire.reset(1, CANCEL),
            Self::Two(wire) => wire.socket(),
            Self::Gone => return,
        };
        match how {
            Leave::Rst => {
                // Closing it sends RST then.
                let socket = SockRef::from(socket);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                *self = Self::Gone;
            }
            Leave::StuckFin => {
                socket.set_nonblocking(true).unwrap();
                let mut writer = socket;
                while writer.write(&[b'z'; STEP]).is_ok_and(|sent| sent > 0) {}
                let _ = socket.shutdown(Shutdown::Write);
            }
            // A limit may have ended the connection before.
            Leave::Fin | Leave::Stream => drop(socket.shutdown(Shutdown::Write)),
        }
    }

    /// What it is answered: the status and the reason; for calls of gRPC, its own ones.
    pub fn answer(&mut self) -> (u16, String) {
        match self {
            Self::One(stream) => {
                let mut connection = Connection::over(stream.try_clone().unwrap()).unwrap();
                connection.patience(GUARD);
                let comes = stream.peek(&mut [0]);
                assert!(matches!(comes, Ok(1)), "no answer: {comes:?}");
                let answer = connection.answer(false);
                (answer.status, answer.reason())
            }
            Self::Two(wire) => {
                let answer = wire.answer(1);
                assert!(answer.status() > 0, "no answer: {answer:?}");
                match answer.header("grpc-status") {
                    Some(status) => {
                        let reason = answer.header("grpc-message").unwrap_or_default();
                        (status.parse().unwrap(), reason.to_owned())
                    }
                    None => (answer.status(), answer.reason()),
                }
            }
            Self::Gone => Default::default(),
        }
    }

    /// Whether the connection, or the stream over HTTP/2, ends.
    pub fn ends(&mut self) -> bool {
        match self {
            Self::One(stream) => super::stub::ends(stream),
            Self::Two(wire) => {
                wire.answer(1);
                true
            }
            Self::Gone => true,
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(GUARD)).unwrap();
    stream
}

/// Bytes after which steps are longer, and how long they are.
const LONG_STEPS_AFTER: usize = 512 * 1024;
const LONG_STEP: usize = 128 * 1024;

/// Every step arrives as a whole before the next one, so that what follows is not held up.
fn fill_one(stream: &mut TcpStream) {
    let mut sent = 0;
    while sent < LENGTH {
        if has_come(stream) {
            return;
        }
        // The gateway's window has grown by then, so that more arrives at once; each look at the
        // kernel's table of connections takes its time.
        let step = match sent < LONG_STEPS_AFTER {
            true => STEP,
            false => LONG_STEP,
        };
        if stream.write_all(&vec![b'z'; step]).is_err() {
            return;
        }
        sent += step;
        let last = Instant::now();
        while unread(stream) > 0 {
            if last.elapsed() > BLOCKED {
                return;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    panic!("the gateway takes everything");
}

/// Whether there is an answer, or the end.
fn has_come(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let comes = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    comes.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true)
}

/// Bytes that have arrived at the other end of a connection and have not been read there.
fn unread(stream: &TcpStream) -> u64 {
    let (own, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let ends = (
        format!(":{:04X}", peer.port()),
        format!(":{:04X}", own.port()),
    );
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote) = (columns.next()?, columns.next()?);
        let found = local.ends_with(&ends.0) && remote.ends_with(&ends.1);
        columns.nth(1).filter(|_| found)
    });
    let received = line.and_then(|queues| queues.split(':').nth(1));
    received.map_or(0, |bytes| u64::from_str_radix(bytes, 16).unwrap())
}
