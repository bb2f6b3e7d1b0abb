//! Whole answers of success that come before the whole request: an upstream that reads on gets the
//! rest.

use super::early::limited;
use super::stub::{self, Notes, read_head, read_more, serve, value};
use super::wire::Wire;
use super::{case, gateway, play};
use crate::h2::{DATA, END_STREAM, HEADERS};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// An upstream that answers each head at once with this answer, reads on, and notes what comes.
fn reads_on(http: &'static str, answer: &'static str) -> (SocketAddr, Notes<String>) {
    let notes: Notes<String> = Notes::default();
    let told = notes.clone();
    let address = serve(move |mut stream, _| {
        if http == "h2c" {
            return reads_on_two(stream, answer, &told);
        }
        let mut ahead = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut ahead) {
            let _ = stream.write_all(answer.as_bytes());
            if head.contains("/slow") {
                std::thread::sleep(Duration::from_millis(700));
            }
            let chunked = value(&head, "transfer-encoding").is_some();
            let length: usize = match value(&head, "content-length") {
                Some(length) => length.parse().unwrap(),
                None => 0,
            };
            let end = |ahead: &[u8]| match chunked {
                true => {
                    let last = ahead.windows(5).position(|part| part == b"0\r\n\r\n");
                    last.map(|at| at + 5)
                }
                false => Some(length).filter(|length| ahead.len() >= *length),
            };
            let end = loop {
                if let Some(end) = end(&ahead) {
                    break end;
                }
                if read_more(&mut stream, &mut ahead).is_none() {
                    told.lock().unwrap().push(format!("cut at {}", ahead.len()));
                    return;
                }
            };
            let body: Vec<u8> = ahead.drain(..end).collect();
            let letters = body.iter().filter(|byte| matches!(byte, b'x' | b'y'));
            told.lock().unwrap().push(letters.count().to_string());
        }
    });
    (address, notes)
}

fn reads_on_two(stream: TcpStream, answer: &str, told: &Notes<String>) {
    let Some(mut wire) = Wire::server(stream, &[]) else {
        return;
    };
    let status = answer.split(' ').nth(1).unwrap();
    while !wire.closed {
        let Some(frame) = wire.next(stub::LOOK) else {
            continue;
        };
        let own = frame.stream;
        if frame.kind == HEADERS {
            let has_body = answer.ends_with("early");
            wire.headers(own, &[(":status", status)], !has_body);
            if has_body {
                wire.data(own, b"early", true);
            }
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            let length = wire.answers[&own].body.len();
            told.lock().unwrap().push(length.to_string());
        }
        if wire
            .answers
            .get(&own)
            .is_some_and(|own| own.reset.is_some())
        {
            told.lock().unwrap().push("reset".into());
        }
    }
}

const EARLY_ANSWERS: [(&str, u16, &str); 4] = [
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly",
        200,
        "early",
    ),
    (
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        202,
        "",
    ),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    (
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n",
        201,
        "",
    ),
];

/// The whole answer comes before the rest of the body is sent, and the rest arrives all the same.
fn reads_the_rest(http: &'static str, early: (&'static str, u16, &str), length: usize) {
    let (upstream, notes) = reads_on(http, early.0);
    let mut gateway = gateway(upstream, http, "");
    let (half, rest) = (vec![b'x'; length / 2], vec![b'y'; length - length / 2]);

    let mut one = gateway.connect();
    one.send(
        format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
    );
    one.send(&half);
    let answer = one.answer(false);
    // Clients that are told to close stop sending.
    let said = (answer.status, answer.header("connection"));
    assert_eq!(said, (early.1, Some("keep-alive")));
    one.send(&rest);

    let mut chunked = gateway.connect();
    chunked.send(b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.send(format!("{:x}\r\n", half.len()).as_bytes());
    chunked.send(&half);
    assert_eq!(chunked.answer(false).status, early.1);
    chunked.send(format!("\r\n{:x}\r\n", rest.len()).as_bytes());
    chunked.send(&rest);
    chunked.send(b"\r\n0\r\n\r\n");

    let mut wire = Wire::client(&gateway);
    wire.request(1, "POST", "/two", &[]);
    wire.all(1, &half);
    let answer = wire.answer(1);
    assert_eq!((answer.status(), answer.reset), (early.1, None));
    wire.all(1, &rest);
    wire.data(1, b"", true);

    for path in ["/one", "/chunked", "/two"] {
        let line = gateway.logged(|line| line["path"] == path);
        assert_eq!(line["reason"].as_str(), None, "{line}");
    }
    gateway.wait_for("all bodies", |_| notes.lock().unwrap().len() == 3);
    assert_eq!(*notes.lock().unwrap(), vec![length.to_string(); 3]);
    assert_eq!(wire.get(3, "/next").status(), early.1, "same connection");
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn an_upstream_that_has_answered_with_success_gets_the_rest() {
    let mut cases = Vec::new();
    for http in ["h1", "h2c"] {
        for early in EARLY_ANSWERS {
            for length in [10, 60_000] {
                let name = format!("{http}, {}, {length}", early.1);
                cases.push(case(name, move || reads_the_rest(http, early, length)));
            }
        }
    }
    play(cases);
}

/// A client that stops within its body, behind a whole answer, is waited for as within any body.
#[test]
fn a_rest_that_does_not_come_is_logged() {
    for http in ["h1", "h2c"] {
        let (upstream, _) = reads_on(http, EARLY_ANSWERS[0].0);
        let mut gateway = limited(upstream, http);
        let mut one = gateway.connect();
        one.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
        let answer = one.answer(false);
        assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
        assert!(one.rest().is_empty(), "the connection ends");
        let line = gateway.logged(|line| line["path"] == "/");
        let said = (line["status"].as_u64(), line["reason"].as_str());
        assert_eq!(said, (Some(200), Some("request_timeout")));
    }
}

/// A client that has sent everything, and has its whole answer, may go: the upstream gets the body.
#[test]
fn what_a_client_has_sent_arrives_though_it_leaves() {
    const LENGTH: usize = 2 << 20;
    let cases = [false, true].map(|half| {
        case(format!("half-closes: {half}"), move || {
            let (upstream, notes) = reads_on("h1", EARLY_ANSWERS[0].0);
            let mut gateway = gateway(upstream, "h1", "");
            let mut one = TcpStream::connect(gateway.address("web")).unwrap();
            let head =
                format!("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
            one.write_all(head.as_bytes()).unwrap();
            one.write_all(&vec![b'x'; LENGTH]).unwrap();
            let mut ahead = Vec::new();
            assert!(
                read_head(&mut one, &mut ahead)
                    .unwrap()
                    .starts_with("HTTP/1.1 200")
            );
            while ahead.len() < 5 {
                read_more(&mut one, &mut ahead).unwrap();
            }
            match half {
                true => one.shutdown(Shutdown::Write).unwrap(),
                false => drop(one),
            }
            gateway.wait_for("the body", |_| !notes.lock().unwrap().is_empty());
            assert_eq!(*notes.lock().unwrap(), [LENGTH.to_string()]);
        })
    });
    play(cases.into());
}

/// The limit of the whole ends with the answer.
#[test]
fn the_limit_of_a_request_ends_with_its_answer() {
    let (upstream, notes) = reads_on("h1", EARLY_ANSWERS[1].0);
    let mut gateway = gateway(upstream, "h1", "timeouts = { request = \"300ms\" }");
    let mut one = gateway.connect();
    one.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(one.answer(false).status, 202);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(60));
        one.send(b"x");
    }
    gateway.wait_for("the body", |_| !notes.lock().unwrap().is_empty());
    assert_eq!(*notes.lock().unwrap(), ["10"]);
    let line = gateway.logged(|line| line["path"] == "/");
    assert_eq!(line["reason"].as_str(), None, "{line}");
}

/// An upstream that says that it will close may read this request to its end all the same.
#[test]
fn an_upstream_that_will_close_gets_the_rest_until_it_does() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly";
    let (upstream, notes) = reads_on("h1", answer);
    let mut gateway = gateway(upstream, "h1", "");
    let mut one = gateway.connect();
    one.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nxxxxx");
    assert_eq!(one.answer(false).status, 200);
    one.send(b"yyyyy");
    gateway.wait_for("the body", |_| !notes.lock().unwrap().is_empty());
    assert_eq!(*notes.lock().unwrap(), ["10"]);
}
