//! Interim answers: how many of them an upstream may send, and what they say of the request.

use super::stub::{Notes, read_head, serve};
use super::wire::{Answer, REFUSED_STREAM, Wire, field};
use super::{GUARD, case, gateway, play};
use crate::h2::HEADERS;
use std::io::Write;
use std::net::SocketAddr;

/// An upstream that sends so many interim answers before the final one, each with a field of so
/// many bytes.
fn hinting(http: &str, count: usize, length: usize) -> SocketAddr {
    let value = "h".repeat(length);
    match http {
        "h1" => serve(move |mut stream, _| {
            let mut ahead = Vec::new();
            while read_head(&mut stream, &mut ahead).is_some() {
                let hint = format!("HTTP/1.1 103 Early Hints\r\nX-Hint: {value}\r\n\r\n");
                let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                for _ in 0..count {
                    if stream.write_all(hint.as_bytes()).is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(last.as_bytes());
            }
        }),
        _ => serve(move |stream, _| {
            let Some(mut wire) = Wire::server(stream, &[]) else {
                return;
            };
            while !wire.closed {
                let asked = wire.next(GUARD).filter(|frame| frame.kind == HEADERS);
                let Some(own) = asked.map(|frame| frame.stream) else {
                    continue;
                };
                for _ in 0..count {
                    wire.headers(own, &[(":status", "103"), ("x-hint", &value)], false);
                }
                wire.headers(own, &[(":status", "200")], true);
            }
        }),
    }
}

fn answer(http: &str, count: usize, length: usize) -> Answer {
    let gateway = gateway(hinting(http, count, length), http, "");
    Wire::client(&gateway).get(1, "/")
}

#[test]
fn interim_answers_are_bounded_in_number_and_size() {
    let mut cases = Vec::new();
    for http in ["h1", "h2c"] {
        cases.push(case(format!("100 from {http}"), move || {
            let answer = answer(http, 100, 1);
            assert_eq!((answer.status(), answer.interim().len()), (200, 100));
        }));
        for (count, length, passed) in [(101, 1, 100), (100, 15_000, 17)] {
            let name = format!("{count} of {length} bytes from {http}");
            cases.push(case(name, move || {
                let answer = answer(http, count, length);
                let told = (answer.status(), answer.reason());
                assert_eq!(told, (502, "upstream_protocol".to_owned()));
                assert_eq!(answer.interim().len(), passed);
            }));
        }
    }
    play(cases);
}

/// An upstream that has answered anything has begun to process the request: its refusal of the
/// stream does not allow another try of a method that is not idempotent.
#[test]
fn a_stream_that_is_refused_behind_an_interim_answer_is_not_asked_for_again() {
    let paths: Notes<String> = Notes::default();
    let noted = paths.clone();
    let upstream = serve(move |stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        while !wire.closed {
            let asked = wire.next(GUARD).filter(|frame| frame.kind == HEADERS);
            let Some(own) = asked.map(|frame| frame.stream) else {
                continue;
            };
            let path = field(&wire.answers[&own].heads[0], ":path")
                .unwrap()
                .to_owned();
            noted.lock().unwrap().push(path);
            wire.headers(own, &[(":status", "103")], false);
            wire.reset(own, REFUSED_STREAM);
        }
    });
    let gateway = gateway(upstream, "h2c", "");
    let mut wire = Wire::client(&gateway);
    wire.request(1, "POST", "/once", &[]);
    wire.data(1, b"x", true);
    let answer = wire.answer(1);
    let told = (answer.status(), answer.reason());
    assert_eq!(told, (502, "upstream_reset".to_owned()));
    assert_eq!(*paths.lock().unwrap(), ["/once"]);
}
