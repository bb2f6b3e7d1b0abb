//! How long an upstream may be silent, and what is no silence of its own.

use crate::gateway::{Gateway, listeners};
use crate::h2::{self, DATA, END_STREAM, RST_STREAM, WINDOW_UPDATE};
use crate::upstream::Upstream;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

fn gateway(timeouts: &str, upstream: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        "{}\n[services.a]\ntimeouts = {{ {timeouts} }}\n\
         [services.a.versions.v1]\nendpoints = [\"{upstream}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        listeners("")
    ))
}

fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn a_reader_who_rests_is_no_silent_upstream() {
    let upstream = Upstream::start("v1");
    let gateway = gateway("idle = \"300ms\"", upstream.address);
    let long = 64 << 20; // more than the kernel keeps for both sides
    let mut one = gateway.connect();
    let get = format!("GET /large/{long} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    one.send(get.as_bytes());
    assert_eq!(one.head().unwrap().status, 200);
    for _ in 0..3 {
        pause(1000);
        assert_eq!(one.take(long / 8).len(), long / 8);
    }
    assert_eq!(one.take(long / 8 * 5).len(), long / 8 * 5);
    // Windows are a client's way to rest over HTTP/2.
    let mut two = h2::Client::start(&gateway);
    two.get(1, "a.example", "/large/262140");
    let mut read = 0;
    while let Some(frame) = two.wait(|frame| frame.stream == 1) {
        read += match frame.kind {
            DATA => frame.payload.len(),
            _ => 0,
        };
        if frame.flags & END_STREAM != 0 || frame.kind == RST_STREAM {
            break;
        }
        if read.is_multiple_of(65_535) && read > 0 {
            pause(1000);
            for stream in [0, 1] {
                let more = 65_535_u32.to_be_bytes();
                two.send(&h2::frame(WINDOW_UPDATE, 0, stream, &more));
            }
        }
    }
    assert_eq!(read, 262_140);
}

#[test]
fn an_upstream_that_never_answers_is_given_up_whatever_it_was_sent() {
    let upstream = Upstream::start("v1");
    for timeouts in [
        "idle = \"400ms\"",
        "idle = \"400ms\", request = \"60s\"",
        "request = \"400ms\"",
    ] {
        let gateway = gateway(timeouts, upstream.address);
        let mut got = gateway.connect();
        let answer = got.exchange(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (504, "upstream_timeout")
        );
    }
    // Bodies of so many pieces that some of them end where the way to the upstream is just full.
    let gateway = gateway("idle = \"400ms\"", upstream.address);
    let uploads: Vec<_> = (1..=12)
        .map(|pieces| {
            let mut connection = gateway.connect();
            std::thread::spawn(move || {
                let body = vec![b'x'; pieces * 64 * 1024];
                let head = format!(
                    "POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                connection.send(&[head.as_bytes(), &body].concat());
                connection.answer(false).status
            })
        })
        .collect();
    for (pieces, upload) in (1..).zip(uploads) {
        assert_eq!(upload.join().unwrap(), 504, "{pieces} pieces");
    }
}

#[test]
fn an_upstream_that_takes_nothing_is_given_up() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = gateway("idle = \"400ms\"", deaf.local_addr().unwrap());
    let mut connection = gateway.connect();
    let mut writer = connection.writer();
    let sends = std::thread::spawn(move || {
        let length = 64 << 20; // more than the kernel keeps for both sides
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let body = vec![b'x'; length];
        let _ = writer.write_all(&[head.as_bytes(), &body].concat());
    });
    assert_eq!(connection.answer(false).status, 504);
    drop(connection);
    sends.join().unwrap();
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn interim_answers_break_the_silence() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = gateway("idle = \"500ms\"", upstream.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = upstream.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        for _ in 0..5 {
            pause(200);
            let _ = stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n");
        }
        pause(200);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        pause(1000);
    });
    let mut connection = gateway.connect();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut heads = std::iter::from_fn(|| connection.head().map(|head| head.status));
    assert_eq!(heads.find(|status| *status != 102), Some(200));
}
