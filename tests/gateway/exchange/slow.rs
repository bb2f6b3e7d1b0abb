//! Clients that take a large answer slowly: they are not cut as long as they take something, and
//! hold no more memory than their share.

use super::wire::{INITIAL_WINDOW_SIZE, Wire, field};
use super::{case, gateway, play};
use crate::certificates::{Client, Scene};
use crate::gateway::Gateway;
use crate::upstream::Upstream;
use rustls::StreamOwned;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than the kernel keeps for both sides.
const LENGTH: usize = 32 << 20;
/// What a slow client takes at once, and its pause after that.
const PIECE: usize = 32 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
/// Ten pauses, while the kernel passes on so little that most writes see no room for longer.
const WRITE_TIMEOUT: &str = "write_timeout = \"1s\"";
/// A window that is as good as none.
const WIDE: u32 = 1 << 30;
/// Pauses in all, several times the limit.
const PIECES: usize = 40;

/// Reads slowly for a while, then the rest.
fn slowly(mut stream: impl Read, gateway: &Gateway) {
    let mut buffer = vec![0; PIECE];
    let mut read = 0;
    for _ in 0..PIECES {
        if stream.read_exact(&mut buffer).is_err() {
            break;
        }
        read += PIECE;
        std::thread::sleep(PAUSE);
    }
    let mut rest = Vec::new();
    // TLS ends with an error where the connection is cut.
    let _ = stream.read_to_end(&mut rest);
    is_whole(read + rest.len(), gateway);
}

fn is_whole(read: usize, gateway: &Gateway) {
    let log = gateway.access_log();
    assert!(read >= LENGTH, "cut after {read} bytes: {log:?}");
}

fn get(length: usize) -> String {
    format!("GET /large/{length} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
}

/// A connection whose kernel takes little by itself.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(PIECE).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(super::GUARD)).unwrap();
    stream
}

fn limited(text: &str) -> String {
    let limited = text.replace("trust = []", WRITE_TIMEOUT);
    assert_ne!(text, limited);
    limited
}

#[test]
fn a_client_that_takes_a_large_answer_slowly_is_not_cut() {
    let one = || {
        let upstream = Upstream::start("v1");
        let gateway = Gateway::start(&limited(&super::config(upstream.address, "h1", "")));
        let mut stream = narrow(gateway.address("web"));
        stream.write_all(get(LENGTH).as_bytes()).unwrap();
        slowly(stream, &gateway);
    };
    let tls = || {
        let scene = Scene::new("a.example");
        let listens = format!("[listeners.tls]\nclients = {{ {WRITE_TIMEOUT} }}\n");
        let text = scene.config("").replace("[listeners.tls]\n", &listens);
        let gateway = Gateway::start(&text);
        let session = Client::of(&scene.authority).session("a.example");
        let mut stream = StreamOwned::new(session, narrow(gateway.address("tls")));
        stream.write_all(get(LENGTH).as_bytes()).unwrap();
        slowly(stream, &gateway);
    };
    let two = |window: u32| {
        let upstream = Upstream::start("v1");
        let gateway = Gateway::start(&limited(&super::config(upstream.address, "h1", "")));
        let settings = [(INITIAL_WINDOW_SIZE, window)];
        let mut wire = Wire::client_with(gateway.address("web"), &settings);
        wire.replenishes = false;
        wire.request(1, "GET", &format!("/large/{LENGTH}"), &[]);
        let mut allowed = window as usize;
        for _ in 0..PIECES {
            wire.wait("what is allowed", |wire, _| {
                wire.answers[&1].body.len() == allowed
            });
            std::thread::sleep(PAUSE);
            allowed += PIECE;
            wire.allow(0, PIECE as u32);
            wire.allow(1, PIECE as u32);
        }
        wire.allow(0, LENGTH as u32);
        wire.allow(1, LENGTH as u32);
        is_whole(wire.answer(1).body.len(), &gateway);
    };
    // Over HTTP/2 a client may also read slowly from its socket, with all windows open.
    let socket = || {
        let upstream = Upstream::start("v1");
        let gateway = Gateway::start(&limited(&super::config(upstream.address, "h1", "")));
        let stream = narrow(gateway.address("web"));
        let settings = [(INITIAL_WINDOW_SIZE, WIDE)];
        let mut wire = Wire::over_client(stream, &settings);
        wire.replenishes = false;
        wire.allow(0, WIDE);
        wire.request(1, "GET", &format!("/large/{LENGTH}"), &[]);
        for piece in 1..=PIECES {
            wire.wait("a piece", |wire, _| {
                wire.answers[&1].body.len() >= piece * PIECE
            });
            std::thread::sleep(PAUSE);
        }
        is_whole(wire.answer(1).body.len(), &gateway);
    };
    play(vec![
        case("HTTP/1", one),
        case("HTTP/1 over TLS", tls),
        case("HTTP/2, by windows", move || two(65_535)),
        case("HTTP/2, by its socket", socket),
    ]);
}

/// Clients, and the length of the answer that each of them takes nothing of.
const CLIENTS: usize = 50;
const LARGE: usize = 64 << 20;
/// What one of them may hold: a few reads of 64 KiB, and windows of HTTP/2 towards the upstream.
const SHARE_KIB: u64 = 512;

/// What the gateway holds for clients that take nothing, when it has settled.
#[expect(clippy::print_stdout, reason = "the figures are worth a look")]
fn holds(gateway: &Gateway, name: &str, ask: impl FnOnce()) {
    let before = gateway.resident_kib();
    ask();
    gateway.counts("http_server_active_requests", CLIENTS as f64);
    let mut last = 0;
    // Settled: it has not grown for a while.
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(250));
        let now = gateway.resident_kib();
        if now <= last {
            break;
        }
        last = now;
    }
    let each = gateway.resident_kib().saturating_sub(before) / CLIENTS as u64;
    println!("{name}: {each} KiB for each client");
    assert!(each < SHARE_KIB, "{each} KiB for each client");
}

/// An upstream of HTTP/2 that sends as much as it may.
fn generous() -> SocketAddr {
    super::stub::serve(|stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        let mut left = std::collections::HashMap::new();
        while !wire.closed {
            let frame = wire.next(Duration::from_millis(1));
            if let Some(frame) = frame.filter(|frame| frame.kind == crate::h2::HEADERS) {
                let own = frame.stream;
                let path = field(&wire.answers[&own].heads[0], ":path").unwrap_or_default();
                match path == "/large/1000" {
                    true => super::stub::answer(&mut wire, own, "warm"),
                    false => {
                        wire.headers(own, &[(":status", "200")], false);
                        left.insert(own, LARGE);
                    }
                }
            }
            for (stream, left) in &mut left {
                *left -= wire.some(*stream, *left);
            }
        }
    })
}

/// Clients of each protocol that ask for much and take nothing.
#[derive(Debug, Clone, Copy)]
enum Idle {
    One,
    /// Streams of one connection whose windows are shut.
    Streams,
    /// Connections that are not read, with all windows open.
    Sockets,
}

fn hold(idle: Idle, http: &'static str) {
    let upstream = Upstream::start("v1");
    let address = match http {
        "h1" => upstream.address,
        _ => generous(),
    };
    let gateway = gateway(address, http, "");
    // What a first request needs is no client's.
    let first = Wire::client(&gateway).get(1, "/large/1000");
    assert_eq!(first.status(), 200);
    let path = format!("/large/{LARGE}");
    let mut streams = Vec::new();
    let mut wires = Vec::new();
    holds(&gateway, &format!("{idle:?} from {http}"), || match idle {
        Idle::One => {
            for _ in 0..CLIENTS {
                let mut stream = narrow(gateway.address("web"));
                stream.write_all(get(LARGE).as_bytes()).unwrap();
                streams.push(stream);
            }
        }
        Idle::Streams => {
            let settings = [(INITIAL_WINDOW_SIZE, 0)];
            let mut wire = Wire::client_with(gateway.address("web"), &settings);
            for at in 0..CLIENTS {
                wire.request(2 * at as u32 + 1, "GET", &path, &[]);
            }
            wires.push(wire);
        }
        Idle::Sockets => {
            for _ in 0..CLIENTS {
                let stream = narrow(gateway.address("web"));
                let mut wire = Wire::over_client(stream, &[(INITIAL_WINDOW_SIZE, WIDE)]);
                wire.allow(0, WIDE);
                wire.request(1, "GET", &path, &[]);
                wires.push(wire);
            }
        }
    });
}

#[test]
fn clients_that_take_nothing_hold_their_share_of_memory() {
    let mut cases = Vec::new();
    for idle in [Idle::One, Idle::Streams, Idle::Sockets] {
        for http in ["h1", "h2c"] {
            let name = format!("{idle:?} from {http}");
            cases.push(case(name, move || hold(idle, http)));
        }
    }
    play(cases);
}

#[test]
fn clients_that_take_nothing_over_tls_hold_their_share_of_memory() {
    let scene = Scene::new("a.example");
    let gateway = Gateway::start(&scene.config(""));
    assert!(scene.serves(&gateway));
    let mut held = Vec::new();
    holds(&gateway, "HTTP/1 over TLS", || {
        for _ in 0..CLIENTS {
            let session = Client::of(&scene.authority).session("a.example");
            let mut stream = StreamOwned::new(session, narrow(gateway.address("tls")));
            stream.write_all(get(LARGE).as_bytes()).unwrap();
            held.push(stream);
        }
    });
}
