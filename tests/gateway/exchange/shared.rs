//! Connections of HTTP/2 to an upstream, which requests of many clients share: a client that takes
//! nothing holds up no other.

use super::stub::{self, serve};
use super::wire::{INITIAL_WINDOW_SIZE, Wire, field};
use super::{GUARD, gateway};
use crate::h2::HEADERS;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The length of the answer to `/large`.
pub const LARGE: usize = 8 << 20;

/// An upstream of HTTP/2: answers `/large` with much, `/dead` never, and all else at once with the
/// status of a call that has gone well.
pub struct Shared {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Bytes of large answers that have been sent.
    sent: Arc<AtomicUsize>,
}

impl Shared {
    pub fn start() -> Self {
        let (connections, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, summed) = (connections.clone(), sent.clone());
        let address = serve(move |stream, number| {
            counted.fetch_max(number + 1, SeqCst);
            if let Some(wire) = Wire::server(stream, &[]) {
                listen(wire, &summed);
            }
        });
        Self {
            address,
            connections,
            sent,
        }
    }
}

fn listen(mut wire: Wire, sent: &AtomicUsize) {
    let mut large: Vec<(u32, usize)> = Vec::new();
    while !wire.closed {
        let frame = wire.next(Duration::from_millis(1));
        if let Some(frame) = frame.filter(|frame| frame.kind == HEADERS) {
            let own = frame.stream;
            let head = &wire.answers[&own].heads[0];
            match field(head, ":path").unwrap_or_default() {
                "/large" => {
                    wire.headers(own, &[(":status", "200")], false);
                    large.push((own, LARGE));
                }
                "/dead" => {}
                _ => {
                    let kind = ("content-type", "application/grpc");
                    wire.headers(own, &[(":status", "200"), kind], false);
                    wire.headers(own, &[("grpc-status", "0")], true);
                }
            }
        }
        for (stream, left) in &mut large {
            let some = wire.some(*stream, *left);
            *left -= some;
            sent.fetch_add(some, SeqCst);
        }
    }
}

/// Streams whose clients take nothing: most of those that a connection carries.
const STALLED: u32 = 60;

#[test]
fn clients_that_take_nothing_hold_up_no_stream_beside_theirs() {
    let upstream = Shared::start();
    let gateway = gateway(upstream.address, "h2c", "");
    let address = gateway.address("web");
    let mut reader = Wire::client_with(address, &[(INITIAL_WINDOW_SIZE, 0)]);
    for at in 0..STALLED {
        reader.request(2 * at + 1, "GET", "/large", &[]);
    }
    // The upstream has sent all that it may.
    let (mut last, mut since) = (0, Instant::now());
    let until = since + GUARD;
    while last == 0 || since.elapsed() < Duration::from_millis(500) {
        assert!(Instant::now() < until, "the upstream goes on");
        let sent = upstream.sent.load(SeqCst);
        if sent > last {
            (last, since) = (sent, Instant::now());
        }
        std::thread::sleep(stub::LOOK);
    }
    let mut other = Wire::client(&gateway);
    other.request(1, "GET", "/large", &[]);
    other.wait("a large answer", |wire, _| {
        wire.answers[&1].body.len() == LARGE
    });
    assert_eq!(upstream.connections.load(SeqCst), 1, "connections");
}
