//! Edges of the network: who connects, how, and what outlives the process.

use crate::client::Connection;
use crate::gateway::{Gateway, PATIENCE, listeners};
use crate::upstream::Upstream;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn service(upstream: &Upstream) -> String {
    format!(
        "[services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        upstream.address
    )
}

fn with_clients(clients: &str, upstream: &Upstream) -> Gateway {
    Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ {clients} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n{}",
        service(upstream)
    ))
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn balancers_that_are_trusted_say_who_connects() {
    let upstream = Upstream::start("v1");
    let gateway = with_clients(
        "trust = [\"127.0.0.1/32\"], proxy_protocol = true",
        &upstream,
    );
    let v2 = {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        bytes.extend([198, 51, 100, 9, 127, 0, 0, 1, 0x12, 0x34, 0, 80]);
        bytes
    };
    for (header, client) in [
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n".to_vec(),
            "192.0.2.7",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            "2001:db8::7",
        ),
        (v2, "198.51.100.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut connection = gateway.connect();
        // In two pieces, as networks deliver.
        let (start, rest) = header.split_at(7);
        connection.send(start);
        std::thread::sleep(Duration::from_millis(20));
        let answer = connection.exchange(&[rest, GET].concat());
        assert_eq!(answer.status, 200);
        let head = upstream.last_head();
        assert!(
            head.contains(&format!("x-forwarded-for: {client}\r\n")),
            "{head}"
        );
    }
    for wrong in [
        GET,
        b"PROXY TCP4 x y 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
    ] {
        assert_eq!(gateway.connect().exchange(wrong).status, 0);
    }
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"proxy_protocol\"}",
        3.0,
    );
    // From anybody else it is not even looked for.
    let strict = with_clients(
        "trust = [\"192.0.2.1/32\"], proxy_protocol = true",
        &upstream,
    );
    assert_eq!(strict.connect().exchange(GET).status, 200);
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n";
    assert_eq!(
        strict.connect().exchange(&[header, GET].concat()).status,
        400
    );
}

#[test]
fn unix_sockets_serve_on_both_sides() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let (front, back) = (dir.path().join("front.sock"), dir.path().join("back.sock"));
    // A file that a dead process left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&front).unwrap());
    let inner = format!(
        "[listeners.sock]\nbind = \"unix:{}\"\n{}{}",
        back.display(),
        listeners(""),
        service(&upstream)
    );
    let mut inner = Gateway::start(&inner);
    let outer = Gateway::start(&format!(
        "[listeners.sock]\nbind = \"unix:{}\"\n{}\
         [services.a]\nhealth = {{ path = \"/healthz\", every = \"100ms\" }}\n\
         [services.a.versions.v1]\nendpoints = [\"unix:{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        front.display(),
        listeners(""),
        back.display()
    ));
    inner.logged(|line| line["path"] == "/healthz" && line["status"] == 200);
    assert_eq!(outer.get("/", "").status, 200);
    let mut stream = UnixStream::connect(&front).unwrap();
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(outer.get("/", "").status, 200);
    inner.signal("TERM");
    assert!(inner.wait().success());
    assert!(!back.exists(), "a socket file goes with its process");
}

#[test]
fn only_who_may_connect_does_and_no_more_than_allowed() {
    let upstream = Upstream::start("v1");
    let denied = with_clients("deny = [\"127.0.0.0/8\"]", &upstream);
    assert_eq!(denied.connect().exchange(GET).status, 0);
    denied.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"client_denied\"}",
        1.0,
    );
    let others = with_clients("allow = [\"192.0.2.0/24\"]", &upstream);
    assert_eq!(others.connect().exchange(GET).status, 0);
    let mut few = with_clients("max_connections_per_ip = 2", &upstream);
    let (mut one, mut two) = (few.connect(), few.connect());
    assert_eq!(
        (one.exchange(GET).status, two.exchange(GET).status),
        (200, 200)
    );
    assert_eq!(few.connect().exchange(GET).status, 0);
    drop(one);
    few.wait_for("a free place", |gateway| {
        gateway.connect().exchange(GET).status == 200
    });
}

#[test]
fn slow_bodies_and_slow_readers_are_given_up() {
    let upstream = Upstream::start("v1");
    let gateway = with_clients(
        "min_body_rate = \"1KiB\", write_timeout = \"300ms\"",
        &upstream,
    );
    let mut drip = gateway.connect();
    drip.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let began = Instant::now();
    let mut answer = None;
    drip.patience(Duration::from_millis(200));
    while answer.is_none() && began.elapsed() < PATIENCE {
        drip.send(b"x");
        answer = drip.head();
    }
    assert_eq!(answer.unwrap().status, 408);
    // A client that reads nothing of a long answer.
    let long = "x".repeat(64 << 20); // more than the kernel keeps for both sides
    upstream.say_ok("", &long);
    let mut stalled = TcpStream::connect(gateway.address("web")).unwrap();
    stalled.write_all(GET).unwrap();
    gateway.counts("http_server_active_requests", 1.0);
    gateway.counts("http_server_active_requests", 0.0);
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.len() < long.len(), "the answer was cut");
}

/// A WebSocket's handshake; the upstream echoes from then on.
fn websocket(gateway: &Gateway) -> Connection {
    let mut connection = gateway.connect();
    assert_eq!(connection.offer_websocket("/upgrade").status, 101);
    connection
}

#[test]
fn websockets_pass_reloads_and_are_told_goodbye() {
    let upstream = Upstream::start("v1");
    let config = format!("{}{}", listeners(""), service(&upstream));
    let mut gateway = Gateway::start(&config);
    let mut socket = websocket(&gateway);
    // Masked with zeros, so that what the upstream echoes is a frame again.
    let frame = |opcode: u8, payload: &[u8]| {
        let mut bytes = vec![opcode, payload.len() as u8];
        bytes.extend(payload);
        bytes
    };
    for round in 0..10_000_u32 {
        // Every third message comes in two fragments.
        let message = round.to_be_bytes();
        let sent = match round % 3 {
            0 => [frame(0x02, &message[..2]), frame(0x80, &message[2..])].concat(),
            _ => frame(0x82, &message),
        };
        socket.send(&sent);
        assert_eq!(socket.take(sent.len()), sent);
        if round == 5_000 {
            gateway.write_config(&format!("{config}# changed\n[server]\nthreads = 3\n"));
            gateway.signal("HUP");
        }
    }
    gateway.signal("TERM");
    assert_eq!(socket.take(4), [0x88, 0x02, 0x03, 0xe9], "1001, going away");
    assert!(gateway.wait().success());
}

#[test]
fn listeners_follow_a_reload() {
    let upstream = Upstream::start("v1");
    let base = format!("{}{}", listeners(""), service(&upstream));
    let mut gateway = Gateway::start(&base);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = free.local_addr().unwrap();
    let more = format!("[listeners.more]\nbind = \"{taken}\"\n{base}");
    gateway.write_config(&more);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 422, "{verdict}");
    assert!(verdict.to_string().contains("cannot bind"), "{verdict}");
    drop(free);
    gateway.write_config(&format!("{more}# again\n"));
    gateway.wait_for("the new listener", |_| {
        TcpStream::connect(taken).is_ok_and(|stream| {
            drop(stream);
            Connection::to(taken).exchange(GET).status == 200
        })
    });
    gateway.write_config(&base);
    gateway.wait_for("its end", |_| TcpStream::connect(taken).is_err());
    assert_eq!(gateway.get("/", "").status, 200, "the other one goes on");
}

/// Requests on fresh and kept connections until told to stop. Returns what failed.
fn load(address: std::net::SocketAddr, stop: &AtomicBool) -> Vec<String> {
    let mut failed = Vec::new();
    let mut kept = Connection::to(address);
    while !stop.load(Ordering::Relaxed) {
        let mut fresh = Connection::to(address);
        let close = b"GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = fresh.exchange(close);
        if answer.status != 200 {
            failed.push(format!("on a fresh connection: {answer:?}"));
        }
        // A kept connection is closed after an answer that says so, and never before.
        let answer = kept.exchange(GET);
        match answer.status {
            200 if answer.header("connection") == Some("close") => kept = Connection::to(address),
            200 => {}
            _ => failed.push(format!("on a kept connection: {answer:?}")),
        }
    }
    failed
}

#[test]
fn sockets_are_handed_over_and_no_request_fails() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&format!("{}{}", listeners(""), service(&upstream)));
    let address = gateway.address("web");
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || load(address, &stop))
        })
        .collect();
    let mut process = gateway.pid();
    for round in 1..=3 {
        signal("QUIT", process);
        let mut next = None;
        gateway.wait_for("the next process", |gateway| {
            next = gateway.successors().get(round - 1).copied();
            next.is_some()
        });
        let old = std::mem::replace(&mut process, next.unwrap());
        if round == 1 {
            assert!(gateway.wait().success());
        } else {
            gateway.wait_for("the old process to leave", |_| !is_alive(old));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = loads
        .into_iter()
        .flat_map(|load| load.join().unwrap())
        .collect();
    let status = gateway.api("GET", "/v1/status", "").0;
    signal("KILL", process);
    assert_eq!(failed, <[String; 0]>::default());
    assert_eq!(status, 200, "the administration is handed over too");
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process.to_string())
        .status();
    assert!(sent.unwrap().success());
}

/// A process that has ended and was not waited for is a zombie.
fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn answers_are_compressed_where_it_helps() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&format!(
        "{}{}compress = true\n",
        listeners(""),
        service(&upstream)
    ));
    let text = "all work and no play ".repeat(200);
    upstream.say_ok("Content-Type: text/plain\r\nETag: \"v1\"\r\n", &text);
    for (accepts, coding) in [("gzip", "gzip"), ("br", "br"), ("zstd, gzip", "zstd")] {
        let answer = gateway.get("/", &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("etag"), Some("W/\"v1\""));
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert!(
            answer.complete && answer.body.len() < text.len() / 4,
            "{coding}"
        );
    }
    let plain = gateway.get("/", "");
    assert_eq!(
        (plain.header("content-encoding"), plain.text()),
        (None, text.clone())
    );
    for (headers, body) in [
        ("Content-Type: image/png\r\n", text.as_str()),
        (
            "Content-Type: text/plain\r\nCache-Control: no-transform\r\n",
            &text,
        ),
        (
            "Content-Type: text/plain\r\nContent-Encoding: identity\r\n",
            &text,
        ),
        ("Content-Type: text/plain\r\n", "short"),
    ] {
        upstream.say_ok(headers, body);
        let answer = gateway.get("/", "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.body, body.as_bytes(), "{headers}");
    }
}
