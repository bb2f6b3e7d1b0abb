//! The end of connections: announced first, quiet ones closed later, no request lost.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use crate::h2::{ACK, Client, DATA, GOAWAY, PING, frame};
use crate::upstream::Upstream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
/// The last stream of the first of two GOAWAYs (RFC 9113, section 6.8).
const ALL_STREAMS: u32 = (1 << 31) - 1;

fn config(upstream: &Upstream, drain: &str) -> String {
    format!(
        "{}\n[server]\ndrain = {{ {drain} }}\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n",
        listeners(""),
        upstream.address
    )
}

fn ready(gateway: &Gateway) -> u16 {
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Connection::to(gateway.address("metrics"))
        .exchange(request)
        .status
}

/// Sends the signal, and waits until the process has acted on it.
fn leave(gateway: &mut Gateway, signal: &str) {
    gateway.signal(signal);
    gateway.wait_for("unready", |gateway| {
        ready(gateway) == 503 || gateway.log().contains("\"draining\"")
    });
}

fn closes(answer: &crate::client::Answer) -> bool {
    answer.header("connection") == Some("close")
}

/// Clients that keep their connections, and write without a look whether these are still open.
struct Busy {
    done: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<usize>>,
}

impl Busy {
    fn start(address: SocketAddr, clients: usize) -> Self {
        let (done, served, closed): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
            Default::default();
        let client = |_| {
            let (done, served, closed) = (done.clone(), served.clone(), closed.clone());
            std::thread::spawn(move || {
                let mut lost = 0;
                let mut kept: Option<Connection> = None;
                while !done.load(SeqCst) {
                    let fresh = kept.is_none();
                    let next = kept.take().map_or_else(|| Connection::try_to(address), Ok);
                    let Ok(mut connection) = next else {
                        break; // nothing listens any more
                    };
                    let answer = connection.exchange(POST);
                    match answer.status {
                        200 if closes(&answer) => _ = closed.fetch_add(1, SeqCst),
                        200 => kept = Some(connection),
                        _ if fresh => break, // it was not yet accepted when the socket closed
                        _ => lost += 1,
                    }
                    served.fetch_add(1, SeqCst);
                }
                lost
            })
        };
        let clients = (0..clients).map(client).collect();
        Self {
            done,
            served,
            closed,
            clients,
        }
    }

    /// Waits until this many more requests have been answered.
    fn serve(&self, gateway: &mut Gateway, more: usize) {
        let until = self.served.load(SeqCst) + more;
        let served = self.served.clone();
        gateway.wait_for("answers", |_| served.load(SeqCst) >= until);
    }

    /// Returns how many requests were lost, and how many answers said that they are the last.
    fn end(self) -> (usize, usize) {
        self.done.store(true, SeqCst);
        let lost = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        (lost.sum(), self.closed.load(SeqCst))
    }
}

#[test]
fn busy_clients_lose_nothing_when_the_process_is_told_to_leave() {
    for delay in ["1s", "0s"] {
        let upstream = Upstream::start("v1");
        let rules = format!("delay = \"{delay}\", timeout = \"10s\"");
        let mut gateway = Gateway::start(&config(&upstream, &rules));
        let busy = Busy::start(gateway.address("web"), 24);
        busy.serve(&mut gateway, 200);
        gateway.signal("TERM");
        assert!(gateway.wait().success());
        let (lost, closed) = busy.end();
        assert_eq!(lost, 0, "delay = {delay}");
        assert!(closed >= 24, "all are told, delay = {delay}: {closed}");
    }
}

#[test]
fn busy_clients_lose_nothing_when_the_sockets_are_handed_over() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config(&upstream, "timeout = \"10s\""));
    let busy = Busy::start(gateway.address("web"), 24);
    busy.serve(&mut gateway, 200);
    gateway.signal("QUIT");
    assert!(gateway.wait().success());
    assert_eq!(gateway.successors().len(), 1, "{}", gateway.log());
    // The new process serves them on.
    busy.serve(&mut gateway, 200);
    let (lost, closed) = busy.end();
    assert_eq!(lost, 0);
    assert!(closed >= 24, "all are told: {closed}");
}

#[test]
fn while_it_waits_to_leave_each_answer_says_that_it_is_the_last() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config(&upstream, "delay = \"2s\""));
    let (mut idle, mut kept, mut silent) =
        (gateway.connect(), gateway.connect(), gateway.connect());
    assert!(!closes(&idle.exchange(GET)) && !closes(&kept.exchange(GET)));
    let mut slow = gateway.connect();
    slow.send(b"GET /delay/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.wait_for("the request", |_| upstream.heads().len() == 3);
    leave(&mut gateway, "TERM");
    assert!(closes(&kept.exchange(GET)) && kept.rest().is_empty());
    let mut late = gateway.connect();
    let answer = late.exchange(b"GET /none/at/all HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.status == 200 && closes(&answer) && late.rest().is_empty());
    // What has arrived behind a request is answered too.
    let mut two = gateway.connect();
    two.send(&[GET, GET].concat());
    assert!(!closes(&two.answer(false)) && closes(&two.answer(false)));
    // So is a request that was on its way when the signal came.
    let answer = slow.answer(false);
    assert!(answer.text() == "late" && closes(&answer));
    assert!(idle.rest().is_empty() && silent.rest().is_empty());
    assert!(gateway.wait().success());
}

#[test]
fn a_half_read_head_is_waited_for_and_a_refusal_says_close_too() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config(&upstream, "delay = \"300ms\""));
    let mut half = gateway.connect();
    half.send(b"GET / HTTP/1.1\r\nHos");
    let mut refused = gateway.connect();
    assert_eq!(refused.exchange(GET).status, 200);
    leave(&mut gateway, "TERM");
    let answer =
        refused.exchange(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert!(closes(&answer), "{answer:?}");
    assert!(refused.rest().is_empty());
    gateway.wait_for("the end of the listener", |gateway| {
        Connection::try_to(gateway.address("web")).is_err()
    });
    half.send(b"t: a\r\n\r\n");
    let answer = half.answer(false);
    assert!(answer.status == 200 && closes(&answer));
    assert!(gateway.wait().success());
}

#[test]
fn http2_clients_are_told_at_once_and_their_streams_end_in_peace() {
    for signal in ["TERM", "QUIT"] {
        let upstream = Upstream::start("v1");
        let mut gateway = Gateway::start(&config(&upstream, "delay = \"1s\", grace = \"5s\""));
        let mut client = Client::start(&gateway);
        assert_eq!(client.ask(1, "a", "/"), "v1");
        client.get(3, "a", "/delay/800");
        gateway.wait_for("the request", |_| upstream.heads().len() == 2);
        gateway.signal(signal);
        let notice = client.wait(|frame| frame.kind == GOAWAY).unwrap();
        assert_eq!((last_stream(&notice), notice.code()), (ALL_STREAMS, 0));
        let ping = client.wait(|frame| frame.kind == PING).unwrap();
        // Sent before the client has seen the notice.
        client.get(5, "a", "/delay/10");
        client.send(&frame(PING, ACK, 0, &ping.payload));
        let last = client.wait(|frame| frame.kind == GOAWAY).unwrap();
        assert_eq!((last_stream(&last), last.code()), (5, 0), "{signal}");
        let mut bodies = Vec::new();
        while let Some(frame) = client.next() {
            if frame.kind == DATA && !frame.payload.is_empty() {
                bodies.push((frame.stream, frame.payload));
            }
        }
        bodies.sort();
        let late = b"late".to_vec();
        assert_eq!(bodies, [(3, late.clone()), (5, late)], "{signal}");
        assert!(gateway.wait().success());
    }
}

fn last_stream(frame: &crate::h2::Frame) -> u32 {
    u32::from_be_bytes(frame.payload[..4].try_into().unwrap())
}

#[test]
fn an_http2_client_that_comes_while_the_process_leaves_is_served_once() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config(&upstream, "delay = \"2s\""));
    leave(&mut gateway, "TERM");
    let mut silent = Client::start(&gateway);
    let mut client = Client::start(&gateway);
    client.get(1, "a", "/");
    let notice = client.wait(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(last_stream(&notice), ALL_STREAMS);
    let ping = client.wait(|frame| frame.kind == PING).unwrap();
    client.send(&frame(PING, ACK, 0, &ping.payload));
    let body = client.wait(|frame| frame.kind == DATA).unwrap();
    assert_eq!(body.payload, b"v1", "not sent away unheard");
    let notice = silent.wait(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(last_stream(&notice), ALL_STREAMS);
    assert!(gateway.wait().success());
}

#[test]
fn a_listener_that_a_reload_takes_away_lets_its_connections_end() {
    let upstream = Upstream::start("v1");
    let text = config(&upstream, "grace = \"1s\"");
    let other = "[listeners.other]\nbind = \"127.0.0.1:0\"\n";
    let mut gateway = Gateway::start(&format!("{text}{other}"));
    let address = gateway.address("other");
    let (mut kept, mut idle) = (Connection::to(address), Connection::to(address));
    assert!(!closes(&kept.exchange(GET)) && !closes(&idle.exchange(GET)));
    let busy = Busy::start(address, 4);
    busy.serve(&mut gateway, 20);
    gateway.replace_config(&text);
    gateway.wait_for("the end of the listener", |_| {
        Connection::try_to(address).is_err()
    });
    let answer = kept.exchange(GET);
    assert!(answer.status == 200 && closes(&answer), "{answer:?}");
    assert!(kept.rest().is_empty() && idle.rest().is_empty());
    let (lost, closed) = busy.end();
    assert_eq!((lost, closed >= 4), (0, true));
    let mut web = gateway.connect();
    assert!(!closes(&web.exchange(GET)), "others are as before");
}
