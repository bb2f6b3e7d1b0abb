//! What connections cost that wait for their next request, and what comes back when they have gone.

use crate::certificates::{Client, Scene};
use crate::gateway::{Gateway, PATIENCE};
use crate::upstream::Upstream;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET /idle HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Connections over HTTP/1 and over TLS, and what one of them may cost in bytes. The bounds are far
/// above those of a release build (6 and 9 kB): futures of a debug build are larger.
const PLAIN: (usize, u64) = (2000, 24_000);
const TLS: (usize, u64) = (600, 40_000);
/// What may stay when they have gone, of what they have cost.
const STAYS_PERCENT: u64 = 50;
/// What a process grows by for other reasons.
const NOISE_KIB: u64 = 4096;

/// One request on a connection that is kept.
fn once(stream: &mut (impl Read + Write)) {
    stream.write_all(GET).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(b"v1") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
}

/// Opens connections, lets them rest, closes them; prints and judges what the process holds.
#[expect(clippy::print_stdout, reason = "the figures are worth a look")]
fn judge<T>(
    gateway: &Gateway,
    listener: &str,
    (count, most): (usize, u64),
    connect: impl Fn() -> T,
) {
    let open = format!("tyrian_connections{{listener=\"{listener}\"}}");
    // What the first ones need stays: threads, tables, connections to the upstream.
    drop((0..count / 10).map(|_| connect()).collect::<Vec<_>>());
    gateway.counts(&open, 0.0);
    let before = gateway.resident_kib();
    let held: Vec<T> = (0..count).map(|_| connect()).collect();
    gateway.counts(&open, count as f64);
    let full = gateway.resident_kib();
    let each = full.saturating_sub(before) * 1024 / count as u64;
    drop(held);
    gateway.counts(&open, 0.0);
    let may_stay = before + (full - before.min(full)) * STAYS_PERCENT / 100 + NOISE_KIB;
    let until = Instant::now() + PATIENCE;
    while gateway.resident_kib() > may_stay && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = gateway.resident_kib();
    println!("{listener}: {each} B a connection; {before} KiB, {full} with them, {after} after");
    assert!(each < most, "{each} B a connection");
    assert!(
        after <= may_stay,
        "{before} KiB before, {full} with them, {after} after"
    );
}

#[test]
fn connections_that_rest_cost_little_and_give_it_back() {
    let upstream = Upstream::start("v1");
    let gateway = super::gateway(upstream.address, "h1", "");
    judge(&gateway, "web", PLAIN, || {
        let mut stream = TcpStream::connect(gateway.address("web")).unwrap();
        once(&mut stream);
        stream
    });
}

#[test]
fn connections_over_tls_that_rest_cost_little_and_give_it_back() {
    let scene = Scene::new("a.example");
    let gateway = Gateway::start(&scene.config(""));
    let client = Client::of(&scene.authority);
    judge(&gateway, "tls", TLS, || {
        let session: ClientConnection = client.session("a.example");
        let stream = TcpStream::connect(gateway.address("tls")).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        once(&mut stream);
        stream
    });
}
