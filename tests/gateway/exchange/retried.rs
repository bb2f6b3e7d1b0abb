//! `per_try` and `request` hold while the gateway is blocked in writing, and what may be repeated
//! is.

use super::gateway;
use super::stub::{self, Notes, serve};
use super::wire::{CANCEL, INITIAL_WINDOW_SIZE, Wire, field};
use crate::h2::{DATA, END_STREAM, HEADERS};
use std::net::{SocketAddr, TcpStream};

const BODY: &str = "small enough to be at hand for another try";

/// What became of a try: its path, its body, the code that reset it.
type Try = (String, Vec<u8>, Option<u32>);

/// An upstream of HTTP/2 that gives no window to the first `blocked` streams of all.
fn reluctant(blocked: usize) -> (SocketAddr, Notes<Try>) {
    let tries: Notes<Try> = Notes::default();
    let noted = tries.clone();
    let address = serve(move |stream, _| listen(stream, blocked, &noted));
    (address, tries)
}

fn listen(stream: TcpStream, blocked: usize, tries: &Notes<Try>) {
    let Some(mut wire) = Wire::server(stream, &[(INITIAL_WINDOW_SIZE, 0)]) else {
        return;
    };
    let mut own: Vec<(u32, usize)> = Vec::new();
    while !wire.closed {
        let Some(frame) = wire.next(stub::LOOK) else {
            continue;
        };
        let stream = frame.stream;
        let path = wire
            .answers
            .get(&stream)
            .and_then(|seen| seen.heads.first());
        let warms = path.and_then(|head| field(head, ":path")) == Some("/warm");
        if frame.kind == HEADERS && !warms && !own.iter().any(|(known, _)| *known == stream) {
            let path = field(&wire.answers[&stream].heads[0], ":path").unwrap_or_default();
            let mut tries = tries.lock().unwrap();
            own.push((stream, tries.len()));
            tries.push((path.to_owned(), Vec::new(), None));
            if tries.len() > blocked {
                wire.allow(stream, 1 << 16);
            }
        }
        for (stream, number) in &own {
            let seen = &wire.answers[stream];
            let noted = &mut tries.lock().unwrap()[*number];
            (noted.1, noted.2) = (seen.body.clone(), seen.reset);
        }
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        let number = own.iter().find(|(known, _)| *known == stream);
        if ends && number.is_none_or(|(_, number)| *number >= blocked) {
            stub::answer(&mut wire, stream, "taken");
        }
    }
}

/// Asks on a connection to the upstream whose settings are known: until then bodies pass (RFC 9113,
/// section 6.9.2).
fn ask(gateway: &crate::gateway::Gateway, method: &str) -> crate::client::Answer {
    assert_eq!(gateway.get("/warm", "").status, 200);
    let request = format!(
        "{method} /small HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    gateway.connect().exchange(request.as_bytes())
}

#[test]
fn a_try_that_is_blocked_in_writing_is_followed_by_another_one() {
    let (upstream, tries) = reluctant(1);
    let retry = "retry = { attempts = 2, on = [\"timeout\"], per_try = \"400ms\" }";
    let mut gateway = gateway(upstream, "h2c", retry);
    let answer = ask(&gateway, "PUT");
    assert_eq!((answer.status, answer.text().as_str()), (200, "taken"));
    let mut told = Vec::new();
    gateway.wait_for("the end of the first try", |_| {
        told = tries.lock().unwrap().clone();
        told[0].2.is_some()
    });
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].1.len(), told[0].2), (0, Some(CANCEL)));
    assert_eq!((told[1].1.as_slice(), told[1].2), (BODY.as_bytes(), None));
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn the_limit_of_a_try_holds_for_each_of_them() {
    let (upstream, tries) = reluctant(3);
    let retry = "retry = { attempts = 3, on = [\"timeout\"], per_try = \"300ms\" }";
    let mut gateway = gateway(upstream, "h2c", retry);
    let answer = ask(&gateway, "PUT");
    let told = (answer.status, answer.reason());
    assert_eq!(told, (504, "upstream_timeout".to_owned()));
    gateway.wait_for("the end of all tries", |_| {
        let tries = tries.lock().unwrap();
        tries.len() == 3 && tries.iter().all(|tried| tried.2.is_some())
    });
    // A method that is not idempotent has one.
    let answer = ask(&gateway, "POST");
    assert_eq!((answer.status, answer.text().as_str()), (200, "taken"));
    let (upstream, tries) = reluctant(1);
    let gateway = super::gateway(upstream, "h2c", retry);
    assert_eq!(ask(&gateway, "POST").status, 504);
    assert_eq!(tries.lock().unwrap().len(), 1);
}

#[test]
fn the_limit_of_a_request_counts_all_tries() {
    let (upstream, tries) = reluctant(usize::MAX);
    let service = "timeouts = { request = \"700ms\" }\n\
                   retry = { attempts = 10, on = [\"timeout\"], per_try = \"300ms\" }";
    let gateway = gateway(upstream, "h2c", service);
    let answer = ask(&gateway, "PUT");
    let told = (answer.status, answer.reason());
    assert_eq!(told, (504, "upstream_timeout".to_owned()));
    let tries = tries.lock().unwrap().len();
    assert!((2..=3).contains(&tries), "{tries} tries in 700 ms");
    gateway.counts("http_server_active_requests", 0.0);
}
