//! Answers that come while the upload still runs: they reach the client at once. What is left of
//! the upload is read off or refused (RFC 9113, section 8.1; RFC 9112, section 9.3).

use super::caller::{Caller, Kind};
use super::stub::{self, Event, ends, ok, read_head, read_more, serve, value};
use super::wire::{NO_ERROR, Wire, field};
use super::{case, gateway, play};
use crate::client::Connection;
use crate::gateway::Gateway;
use crate::h2::HEADERS;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How an upstream answers before it has the whole of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    /// HTTP/1: it keeps its connection.
    Keeps,
    /// HTTP/1: it says that it closes, and does.
    Closes,
    /// HTTP/2: it ends its side of the stream, and resets it without an error.
    Resets,
    /// HTTP/2: it ends its side of the stream.
    Ends,
}

impl Early {
    const ALL: [Self; 4] = [Self::Keeps, Self::Closes, Self::Resets, Self::Ends];

    fn http(self) -> &'static str {
        match self {
            Self::Keeps | Self::Closes => "h1",
            Self::Resets | Self::Ends => "h2c",
        }
    }
}

const SAID: &str = "too large, says the upstream";

struct Scene {
    address: SocketAddr,
    /// From here on the upstream answers `/up`.
    answers: Event,
    /// It has seen the end of the exchange.
    told: Event,
}

/// An upstream that answers `/up` with this status when it is told to, and reads none of its body
/// before that.
fn upstream(how: Early, status: u16) -> Scene {
    let (answers, told) = (Event::default(), Event::default());
    let events = (answers.clone(), told.clone());
    let address = serve(move |stream, _| match how.http() {
        "h1" => http1(stream, how, status, &events),
        _ => http2(stream, how, status, &events),
    });
    Scene {
        address,
        answers,
        told,
    }
}

fn http1(mut stream: TcpStream, how: Early, status: u16, (answers, told): &(Event, Event)) {
    let mut ahead = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut ahead) {
        if !head.contains(" /up ") {
            let _ = stream.write_all(ok("served").as_bytes());
            continue;
        }
        answers.wait();
        let closes = match how {
            Early::Closes => "Connection: close\r\n",
            _ => "",
        };
        let answer = format!(
            "HTTP/1.1 {status} Early\r\nContent-Length: {}\r\n{closes}\r\n{SAID}",
            SAID.len()
        );
        let _ = stream.write_all(answer.as_bytes());
        if how == Early::Closes {
            let _ = stream.shutdown(Shutdown::Write);
            // What was sent before is read only when the other side had time to see the answer.
            std::thread::sleep(Duration::from_millis(500));
        }
        if ends(&mut stream) {
            told.set();
        }
        return;
    }
}

fn http2(stream: TcpStream, how: Early, status: u16, (answers, told): &(Event, Event)) {
    let Some(mut wire) = Wire::server(stream, &[]) else {
        return;
    };
    wire.replenishes = false;
    let status = status.to_string();
    let (mut upload, mut answered) = (None, false);
    while !wire.closed {
        let frame = wire.next(stub::LOOK);
        if let Some(frame) = frame.filter(|frame| frame.kind == HEADERS) {
            let own = frame.stream;
            match field(&wire.answers[&own].heads[0], ":path") {
                Some("/up") => upload = Some(own),
                _ => stub::answer(&mut wire, own, "served"),
            }
        }
        let Some(own) = upload else { continue };
        if answers.is_set() && !answered {
            answered = true;
            wire.headers(own, &[(":status", &status)], false);
            wire.data(own, SAID.as_bytes(), true);
            if how == Early::Resets {
                wire.reset(own, NO_ERROR);
                told.set();
            }
        }
        if wire.answers[&own].reset.is_some() {
            told.set();
        }
    }
    told.set();
}

/// A gateway that waits a second for a part of a body, and for an upstream to take one.
pub fn limited(upstream: SocketAddr, http: &str) -> Gateway {
    let config = super::config(upstream, http, "timeouts = { idle = \"1s\" }");
    let clients = "clients = { idle_timeout = \"1s\", ";
    Gateway::start(&config.replace("clients = { ", clients))
}

/// The client has sent what the gateway takes, then the upstream answers, and reads nothing.
fn answered(kind: Kind, how: Early, status: u16) {
    let scene = upstream(how, status);
    let mut gateway = limited(scene.address, how.http());
    let mut caller = Caller::start(kind, &gateway);
    caller.fill();
    scene.answers.set();
    match &mut caller {
        Caller::One(stream) => {
            let mut connection = Connection::over(stream.try_clone().unwrap()).unwrap();
            let answer = connection.answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (status, SAID));
            // The rest of what has succeeded is read, as far as can be said by then.
            let keeps = status == 200 && matches!(how, Early::Keeps | Early::Ends);
            let said = if keeps { "keep-alive" } else { "close" };
            assert_eq!(answer.header("connection"), Some(said));
            assert!(ends(stream), "the connection does not end");
        }
        Caller::Two(wire) => {
            let answer = wire.answer(1);
            assert_eq!((answer.status(), answer.text().as_str()), (status, SAID));
            assert!(answer.ended, "the answer is whole");
            wire.wait("the end of the stream", |wire, _| {
                wire.answers[&1].reset.is_some()
            });
            assert_eq!(wire.answers[&1].reset, Some(NO_ERROR));
            assert_eq!(wire.get(3, "/next").text(), "served", "same connection");
        }
        Caller::Gone => {}
    }
    assert!(scene.told.wait(), "the upstream is not told");
    let line = gateway.logged(|line| line["path"] == "/up");
    // The rest of what has succeeded is sent on until one side stops.
    let reason = match how {
        Early::Keeps if status == 200 => Some("request_timeout"),
        Early::Ends if status == 200 => Some("upstream_timeout"),
        _ => None,
    };
    assert_eq!(
        (&line["status"], line["reason"].as_str()),
        (&status.into(), reason)
    );
    gateway.counts("http_server_active_requests", 0.0);
    assert_eq!(gateway.get("/next", "").text(), "served");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_held_up() {
    let mut cases = Vec::new();
    for kind in [Kind::One, Kind::Two] {
        for how in Early::ALL {
            for status in [413, 200] {
                let name = format!("{kind:?} from {how:?}, {status}");
                cases.push(case(name, move || answered(kind, how, status)));
            }
        }
    }
    play(cases);
}

/// The client never stops to send, as simple ones do that look for an answer at the end only.
fn answered_amid(kind: Kind, how: Early) {
    let scene = upstream(how, 413);
    scene.answers.set();
    let gateway = gateway(scene.address, how.http(), "");
    match &mut Caller::start(kind, &gateway) {
        Caller::One(stream) => {
            let mut writer = stream.try_clone().unwrap();
            let sends = std::thread::spawn(
                move || {
                    while writer.write_all(&[b'z'; 16 * 1024]).is_ok() {}
                },
            );
            let answer = Connection::over(stream.try_clone().unwrap())
                .unwrap()
                .answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (413, SAID));
            let _ = stream.shutdown(Shutdown::Both);
            sends.join().unwrap();
        }
        Caller::Two(wire) => {
            wire.wait("the end of the answer", |wire, _| {
                let done = wire.answers[&1].ended || wire.answers[&1].reset.is_some();
                if !done {
                    wire.some(1, usize::MAX);
                }
                done
            });
            let answer = wire.answers[&1].clone();
            assert_eq!((answer.status(), answer.text().as_str()), (413, SAID));
        }
        Caller::Gone => {}
    }
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn an_early_answer_reaches_a_client_that_goes_on_sending() {
    let mut cases = Vec::new();
    for kind in [Kind::One, Kind::Two] {
        for how in Early::ALL {
            let name = format!("{kind:?} from {how:?}");
            cases.push(case(name, move || answered_amid(kind, how)));
        }
    }
    play(cases);
}

/// An upstream of HTTP/1 that answers each head at once, and reads the body afterwards.
fn hasty() -> SocketAddr {
    serve(|mut stream, _| {
        let mut ahead = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut ahead) {
            let path = head.split(' ').nth(1).unwrap_or("no request").to_owned();
            let _ = stream.write_all(ok(&path).as_bytes());
            let length = value(&head, "content-length").unwrap_or("0");
            let length: usize = length.parse().unwrap();
            while ahead.len() < length {
                if read_more(&mut stream, &mut ahead).is_none() {
                    return;
                }
            }
            ahead.drain(..length);
        }
    })
}

/// An answer that leaves the connection open leaves it in order; one that closes it says so.
fn short_rest_of_one(gateway: &Gateway, path: &str) {
    let mut connection = gateway.connect();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    connection.send(head.as_bytes());
    connection.send(b"0123");
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, path));
    connection.send(b"456789");
    if answer.header("connection") == Some("close") {
        assert!(connection.rest().is_empty());
        return;
    }
    let next = connection.exchange(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(next.text(), "/next", "no byte of the rest is a request");
}

fn short_rest_of_two(wire: &mut Wire, stream: u32, path: &str) {
    wire.request(stream, "POST", path, &[("content-length", "10")]);
    wire.data(stream, b"0123", false);
    let answer = wire.answer(stream);
    assert_eq!((answer.status(), answer.text().as_str()), (200, path));
    assert!(matches!(answer.reset, None | Some(NO_ERROR)), "{answer:?}");
    if answer.reset.is_none() {
        wire.data(stream, b"456789", true);
    }
}

#[test]
fn a_short_rest_does_no_harm_to_what_follows() {
    let gateway = gateway(hasty(), "h1", "");
    let mut wire = Wire::client(&gateway);
    for round in 0..10 {
        let path = format!("/early/{round}");
        short_rest_of_one(&gateway, &path);
        // The upstream's connection is in order, or is not used again.
        assert_eq!(gateway.get("/next", "").text(), "/next", "{round}");
        let stream = 4 * round + 1;
        short_rest_of_two(&mut wire, stream, &path);
        assert_eq!(wire.get(stream + 2, "/next").text(), "/next", "{round}");
    }
    gateway.counts("http_server_active_requests", 0.0);
}
