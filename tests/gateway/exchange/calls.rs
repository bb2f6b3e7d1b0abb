//! What of a call of gRPC the upstream is told, and its client.

use super::stub::{Notes, serve};
use super::wire::{Answer, Fields, Wire, field};
use super::{GUARD, gateway};
use crate::gateway::Gateway;
use crate::h2::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, block, frame};
use std::net::SocketAddr;

const MESSAGE: &[u8] = b"\0\0\0\0\x01x";

/// An upstream that ends each call at once, with these trailers behind it.
fn ends_with(trailers: &[(&'static str, String)]) -> (SocketAddr, Notes<Fields>) {
    let heads: Notes<Fields> = Notes::default();
    let noted = heads.clone();
    let trailers = trailers.to_vec();
    let address = serve(move |stream, _| {
        let Some(mut wire) = Wire::server(stream, &[]) else {
            return;
        };
        while !wire.closed {
            let asked = wire.next(GUARD).filter(|frame| frame.kind == HEADERS);
            let Some(own) = asked.map(|frame| frame.stream) else {
                continue;
            };
            noted
                .lock()
                .unwrap()
                .push(wire.answers[&own].heads[0].clone());
            let kind = ("content-type", "application/grpc");
            wire.headers(own, &[(":status", "200"), kind], false);
            let fields: Vec<_> = trailers
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            long_headers(&mut wire, own, &fields);
        }
    });
    (address, heads)
}

/// The last header section of a stream, in as many frames as it needs.
fn long_headers(wire: &mut Wire, stream: u32, fields: &[(&str, &str)]) {
    let block = block(fields);
    let pieces: Vec<_> = block.chunks(16_384).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let first = if at == 0 { END_STREAM } else { 0 };
        let last = if at + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        wire.send(&frame(kind, first | last, stream, piece));
    }
}

fn call(gateway: &Gateway, timeout: Option<&str>) -> Answer {
    let mut wire = Wire::client(gateway);
    let mut fields = vec![("content-type", "application/grpc"), ("te", "trailers")];
    fields.extend(timeout.map(|timeout| ("grpc-timeout", timeout)));
    wire.request(1, "POST", "/t.T/Call", &fields);
    wire.data(1, MESSAGE, true);
    wire.answer(1)
}

/// The timeout that the upstream is told, in its unit.
fn passed_on(service: &str, timeout: Option<&str>) -> Option<(u64, String)> {
    let (upstream, heads) = ends_with(&[("grpc-status", "0".to_owned())]);
    let gateway = gateway(upstream, "h2c", service);
    let answer = call(&gateway, timeout);
    assert_eq!(field(&answer.heads[1], "grpc-status"), Some("0"));
    let heads = heads.lock().unwrap();
    let told = field(&heads[0], "grpc-timeout")?;
    let (number, unit) = told.split_at(told.len() - 1);
    Some((number.parse().unwrap(), unit.to_owned()))
}

/// `timeouts.request` bounds the head of a stream, and what the client wants all of it.
#[test]
fn an_upstream_is_told_the_deadline_of_the_client_alone() {
    let route = "timeouts = { request = \"2s\" }";
    let (millis, unit) = passed_on(route, Some("30S")).unwrap();
    assert_eq!(unit, "m");
    assert!((20_000..=30_000).contains(&millis), "{millis}");
    assert_eq!(passed_on(route, None), None);
    let (millis, _) = passed_on("timeouts = { request = \"90s\" }", Some("30S")).unwrap();
    assert!((20_000..=30_000).contains(&millis), "{millis}");
}

#[test]
fn a_long_deadline_is_passed_on_in_a_unit_that_fits() {
    let (seconds, unit) = passed_on("", Some("48H")).unwrap();
    assert_eq!(unit, "S");
    let wanted = 48 * 3600;
    assert!((wanted - 60..=wanted).contains(&seconds), "{seconds}");
}

#[test]
fn the_status_of_a_call_reaches_browsers_before_all_other_trailers() {
    let long = "x".repeat(40_000);
    let trailers = [
        ("x-one", long.clone()),
        ("x-two", long),
        ("grpc-message", "no such thing".to_owned()),
        ("grpc-status", "5".to_owned()),
    ];
    let (upstream, _) = ends_with(&trailers);
    let gateway = gateway(upstream, "h2c", "");
    let head = format!(
        "POST /t.T/Call HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\n\
         Content-Length: {}\r\n\r\n",
        MESSAGE.len()
    );
    let answer = gateway
        .connect()
        .exchange(&[head.as_bytes(), MESSAGE].concat());
    let told = String::from_utf8_lossy(&answer.body[5..]).into_owned();
    let begins = "grpc-status: 5\r\ngrpc-message: no such thing\r\nx-one: ";
    assert!(told.starts_with(begins), "{told:.100}");
}
