//! How requests and answers end over HTTP/2, where the end is a flag of its own.

use super::stub::{Notes, serve};
use super::wire::{Answer, CANCEL, INITIAL_WINDOW_SIZE, Wire, field};
use super::{GUARD, case, config, gateway, play};
use crate::gateway::Gateway;
use crate::h2::{DATA, HEADERS};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

const PROTOCOL_ERROR: u32 = 1;
const LENGTH: usize = 40_000;

/// An upstream that answers before the request has ended, and then ends its connection.
fn leaves(announces: bool, pause: Duration) -> SocketAddr {
    serve(move |stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        wire.wait("a request", |wire, _| !wire.answers.is_empty());
        let length = LENGTH.to_string();
        let mut fields = vec![(":status", "413")];
        fields.extend(announces.then_some(("content-length", length.as_str())));
        wire.headers(1, &fields, false);
        let body = vec![b'z'; LENGTH];
        let pieces: Vec<_> = body.chunks(16_000).collect();
        for (at, piece) in pieces.iter().enumerate() {
            wire.data(1, piece, at + 1 == pieces.len());
        }
        std::thread::sleep(pause);
        wire.socket().shutdown(Shutdown::Write).unwrap();
        while !wire.closed {
            wire.next(GUARD);
        }
    })
}

fn refused_upload(upstream: SocketAddr, window: u32) -> Answer {
    let gateway = gateway(upstream, "h2c", "");
    let settings = [(INITIAL_WINDOW_SIZE, window)];
    let mut wire = Wire::client_with(gateway.address("web"), &settings);
    wire.request(1, "POST", "/up", &[]);
    wire.data(1, b"a part", false);
    // A slow client takes the rest when the upstream has long left.
    wire.wait("what the window allows", |wire, _| {
        wire.answers[&1].body.len() >= LENGTH.min(window as usize)
    });
    std::thread::sleep(Duration::from_millis(300));
    wire.allow(1, LENGTH as u32);
    wire.answer(1)
}

#[test]
fn a_whole_early_answer_outlives_its_connection() {
    const WIDE: u32 = 65_535;
    let later = Duration::from_millis(200);
    let mut cases = Vec::new();
    for (name, announces, pause, window) in [
        ("a slow client", true, Duration::ZERO, 1000),
        ("a fast client", true, Duration::ZERO, WIDE),
        ("without a length", false, later, WIDE),
    ] {
        cases.push(case(name, move || {
            let answer = refused_upload(leaves(announces, pause), window);
            assert_eq!((answer.status(), answer.body.len()), (413, LENGTH));
            assert!(answer.ended, "{:?}", answer.reset);
        }));
    }
    play(cases);
}

/// An upstream that answers `HEAD` without an end, and all else at once. Notes how its streams end.
fn open_ended() -> (SocketAddr, Notes<Option<u32>>) {
    let resets: Notes<Option<u32>> = Notes::default();
    let noted = resets.clone();
    let address = serve(move |stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        while !wire.closed {
            let frame = wire.next(GUARD);
            if let Some(reset) = wire.answers.get(&1).and_then(|seen| seen.reset) {
                *noted.lock().unwrap() = vec![Some(reset)];
            }
            let Some(own) = frame.filter(|frame| frame.kind == HEADERS) else {
                continue;
            };
            let head = &wire.answers[&own.stream].heads[0];
            let ends = field(head, ":method") != Some("HEAD");
            wire.headers(own.stream, &[(":status", "200")], ends);
        }
    });
    (address, resets)
}

#[test]
fn the_end_of_an_answer_to_head_is_not_waited_for() {
    let (upstream, resets) = open_ended();
    let mut gateway = gateway(upstream, "h2c", "max_in_flight = 1");
    let mut wire = Wire::client(&gateway);
    let fields = [
        (":method", "HEAD"),
        (":scheme", "http"),
        (":path", "/head"),
        (":authority", "a.example"),
    ];
    wire.headers(1, &fields, true);
    assert_eq!(wire.answer(1).status(), 200);
    let line = gateway.logged(|line| line["path"] == "/head");
    assert_eq!(line["reason"].as_str(), None, "{line}");
    assert_eq!(wire.get(3, "/next").status(), 200, "its place is free");
    gateway.wait_for("the end of the stream", |_| {
        *resets.lock().unwrap() == [Some(CANCEL)]
    });
}

/// An upstream of HTTP/2 that notes the trailers of each request, and answers it.
fn noting() -> (SocketAddr, Notes<Option<String>>) {
    let trailers: Notes<Option<String>> = Notes::default();
    let noted = trailers.clone();
    let address = serve(move |stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        while !wire.closed {
            let frame = wire.next(GUARD);
            let whole = frame.filter(|frame| matches!(frame.kind, HEADERS | DATA));
            let Some(own) = whole.map(|frame| frame.stream) else {
                continue;
            };
            let asked = &wire.answers[&own];
            if asked.ended {
                let last = asked.heads.get(1);
                let last = last.and_then(|fields| field(fields, "x-sum"));
                noted.lock().unwrap().push(last.map(ToOwned::to_owned));
                wire.headers(own, &[(":status", "200")], true);
            }
        }
    });
    (address, trailers)
}

const EMPTY: [(&str, &str); 1] = [("content-length", "0")];

#[test]
fn a_request_without_a_body_that_does_not_end_is_refused_and_told() {
    let (upstream, asked) = noting();
    let text = config(upstream, "h2c", "");
    let limited = text.replace("trust = []", "header_timeout = \"1s\"");
    assert_ne!(text, limited);
    let mut gateway = Gateway::start(&limited);
    let mut wire = Wire::client(&gateway);
    wire.request(1, "POST", "/open", &EMPTY);
    gateway.counts("http_server_active_requests", 1.0);
    let answer = wire.answer(1);
    let told = (answer.status(), answer.reason());
    assert_eq!(told, (408, "request_timeout".to_owned()));
    let line = gateway.logged(|line| line["path"] == "/open");
    assert_eq!(line["reason"], "request_timeout", "{line}");
    // One that has a body after all is malformed.
    wire.request(3, "POST", "/more", &EMPTY);
    wire.data(3, b"x", true);
    assert_eq!(wire.answer(3).reset, Some(PROTOCOL_ERROR));
    let line = gateway.logged(|line| line["path"] == "/more");
    assert_eq!(line["reason"], "bad_request", "{line}");
    wire.request(5, "POST", "/left", &EMPTY);
    wire.reset(5, CANCEL);
    let line = gateway.logged(|line| line["path"] == "/left");
    assert_eq!(line["reason"], "client_closed", "{line}");
    assert!(asked.lock().unwrap().is_empty(), "the upstream was asked");
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn trailers_behind_an_empty_body_reach_the_upstream() {
    let (upstream, trailers) = noting();
    let gateway = gateway(upstream, "h2c", "");
    let mut wire = Wire::client(&gateway);
    wire.request(1, "POST", "/", &EMPTY);
    wire.headers(1, &[("x-sum", "abc")], true);
    assert_eq!(wire.answer(1).status(), 200);
    wire.request(3, "POST", "/", &EMPTY);
    wire.data(3, b"", true);
    assert_eq!(wire.answer(3).status(), 200);
    let trailers = trailers.lock().unwrap();
    assert_eq!(*trailers, [Some("abc".to_owned()), None]);
}
