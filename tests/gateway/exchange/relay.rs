//! Interim answers and trailers, for each pair of protocols.

use super::stub::{self, Notes, read_head, read_more, serve, value};
use super::wire::{Wire, field};
use super::{case, config, gateway, play};
use crate::gateway::Gateway;
use crate::h2::{DATA, END_STREAM, HEADERS};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

const HTTP: [&str; 2] = ["h1", "h2c"];

/// An upstream of this protocol that answers with an interim answer and trailers. It notes the
/// trailers that it is sent.
fn upstream(http: &str) -> (SocketAddr, Notes<String>) {
    let notes: Notes<String> = Notes::default();
    let told = notes.clone();
    let two = http == "h2c";
    let address = serve(move |stream, _| match two {
        true => http2(stream, &told),
        false => http1(stream, &told),
    });
    (address, notes)
}

fn http1(mut stream: TcpStream, notes: &Notes<String>) {
    let mut ahead = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut ahead) {
        let expects = value(&head, "expect").is_some();
        if expects && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
            return;
        }
        if value(&head, "transfer-encoding").is_some() {
            // Chunks and trailers: the end is an empty line.
            while !ahead.windows(5).any(|window| window == b"\r\n0\r\n")
                || !ahead.ends_with(b"\r\n\r\n")
            {
                if read_more(&mut stream, &mut ahead).is_none() {
                    return;
                }
            }
            let text = String::from_utf8_lossy(&ahead).into_owned();
            let end = text.find("\r\n0\r\n").unwrap();
            for line in text[end + 5..].lines().filter(|line| !line.is_empty()) {
                notes.lock().unwrap().push(line.to_ascii_lowercase());
            }
            ahead.clear();
        } else if let Some(length) = value(&head, "content-length") {
            let length: usize = length.parse().unwrap();
            while ahead.len() < length {
                if read_more(&mut stream, &mut ahead).is_none() {
                    return;
                }
            }
            ahead.drain(..length);
        }
        let answer: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
            4\r\nsaid\r\n0\r\nX-Sum: 42\r\nX-Request-Id: 1\r\nX-Tyrian-Color: v9\r\nAge: 1\r\n\r\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn http2(stream: TcpStream, notes: &Notes<String>) {
    let Some(mut wire) = Wire::server(stream, &[]) else {
        return;
    };
    while !wire.closed {
        let Some(frame) = wire.next(stub::LOOK) else {
            continue;
        };
        let stream = frame.stream;
        if !matches!(frame.kind, HEADERS | DATA) {
            continue;
        }
        let request = wire.answers[&stream].clone();
        if request.heads.len() == 1
            && field(&request.heads[0], "expect").is_some()
            && request.body.is_empty()
        {
            wire.headers(stream, &[(":status", "100")], false);
        }
        if frame.flags & END_STREAM == 0 {
            continue;
        }
        if let Some(trailers) = request.heads.get(1) {
            let lines = trailers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"));
            notes.lock().unwrap().extend(lines);
        }
        let hints = [(":status", "103"), ("link", "</a.css>")];
        wire.headers(stream, &hints, false);
        wire.headers(stream, &[(":status", "200"), ("trailer", "x-sum")], false);
        wire.data(stream, b"said", false);
        let own = [
            ("x-request-id", "1"),
            ("x-tyrian-color", "v9"),
            ("age", "1"),
        ];
        wire.headers(stream, &[&[("x-sum", "42")], &own[..]].concat(), true);
    }
}

/// All that comes back on a connection that ends with the answer.
fn whole(gateway: &Gateway, request: &str) -> String {
    let mut connection = gateway.connect();
    connection.send(request.as_bytes());
    String::from_utf8(connection.rest()).unwrap()
}

fn statuses(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.starts_with("HTTP/1."));
    lines.filter_map(|line| line.split(' ').nth(1)).collect()
}

#[test]
fn interim_answers_reach_clients_that_know_them() {
    let cases = HTTP.map(|http| {
        case(format!("from {http}"), move || {
            let (upstream, _) = upstream(http);
            let gateway = gateway(upstream, http, "");
            let text = whole(
                &gateway,
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            );
            assert_eq!(statuses(&text), ["103", "200"], "{text}");
            assert!(
                text.to_ascii_lowercase().contains("link: </a.css>"),
                "{text}"
            );
            let text = whole(&gateway, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
            assert_eq!(statuses(&text), ["200"], "HTTP/1.0 has none: {text}");
            assert!(text.ends_with("said"), "{text}");
            let mut wire = Wire::client(&gateway);
            let answer = wire.get(1, "/");
            assert_eq!((answer.interim(), answer.status()), (vec![103], 200));
            assert_eq!(field(&answer.heads[0], "link"), Some("</a.css>"));
            assert_eq!(answer.text(), "said");
        })
    });
    play(cases.into());
}

#[test]
fn a_client_that_expects_to_be_told_to_go_on_is_told_once() {
    let cases = HTTP.map(|http| {
        case(format!("from {http}"), move || {
            let (upstream, _) = upstream(http);
            let gateway = gateway(upstream, http, "");
            for _ in 0..2 {
                let mut one = gateway.connect();
                let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
                one.send(format!("{head}Content-Length: 2\r\n\r\n").as_bytes());
                assert_eq!(one.head().unwrap().status, 100);
                one.send(b"hi");
                assert_eq!(one.head().unwrap().status, 103);
                let answer = one.answer(false);
                assert_eq!((answer.status, answer.text().as_str()), (200, "said"));
            }
            let mut wire = Wire::client(&gateway);
            wire.request(1, "POST", "/", &[("expect", "100-continue")]);
            wire.wait("100", |wire, _| wire.answers[&1].interim() == [100]);
            wire.data(1, b"hi", true);
            let answer = wire.answer(1);
            assert_eq!((answer.interim(), answer.status()), (vec![100, 103], 200));
        })
    });
    play(cases.into());
}

#[test]
fn trailers_pass_in_both_directions() {
    let cases = HTTP.map(|http| {
        [
            case(format!("HTTP/1 to {http}"), move || {
                let (upstream, notes) = upstream(http);
                let gateway = gateway(upstream, http, "");
                let text = whole(
                    &gateway,
                    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\nTE: trailers\r\n\
                     Transfer-Encoding: chunked\r\nTrailer: x-check\r\n\r\n\
                     2\r\nhi\r\n0\r\nX-Check: 7\r\n\r\n",
                );
                assert_eq!(statuses(&text).last(), Some(&"200"), "{text}");
                let lower = text.to_ascii_lowercase();
                let end = lower.rsplit("\r\n0\r\n").next().unwrap();
                let seen = (notes.lock().unwrap().join(", "), end.to_owned());
                assert_eq!(seen, ("x-check: 7".into(), "x-sum: 42\r\n\r\n".into()));
            }),
            case(format!("HTTP/2 to {http}"), move || {
                let (upstream, notes) = upstream(http);
                let gateway = gateway(upstream, http, "");
                let mut wire = Wire::client(&gateway);
                let fields = [("te", "trailers"), ("trailer", "x-check")];
                wire.request(1, "POST", "/", &fields);
                wire.data(1, b"hi", false);
                wire.headers(1, &[("x-check", "7")], true);
                let answer = wire.answer(1);
                assert_eq!((answer.status(), answer.text().as_str()), (200, "said"));
                let trailers = answer.heads.last().unwrap();
                assert_eq!(*trailers, [("x-sum".to_owned(), "42".to_owned())]);
                assert_eq!(notes.lock().unwrap().join(", "), "x-check: 7");
            }),
        ]
    });
    play(cases.into_iter().flatten().collect());
}

/// Trailers that a stranger may not send: fields of proxies and of the gateway, look-alikes, what
/// the head alone may say, and a key.
const STRANGE: [&str; 19] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "forwarded",
    "x-real-ip",
    "x-client-cert-name",
    "x-forwarded-client-cert",
    "x-request-id",
    "via",
    "traceparent",
    "baggage",
    "authorization",
    "cookie",
    "x-user",
    "x_user",
    "x_real_ip",
    "x-tyrian-color",
    "x-tyrian-mirrored",
    "x-key",
    "content-length",
];

#[test]
fn trailers_of_strangers_say_nothing_of_proxies_or_of_the_gateway() {
    let cases = HTTP.map(|http| {
        case(format!("to {http}"), move || {
            let (upstream, notes) = upstream(http);
            let keys = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(keys.path(), format!("acme:{}\n", "0".repeat(64))).unwrap();
            let file = keys.path();
            let config = format!(
                "{}[api_keys.partners]\nfile = {file:?}\nheader = \"x-key\"\nforward = \"x-user\"\n",
                config(upstream, http, "")
            );
            let gateway = Gateway::start(&config);
            let lines = STRANGE.map(|name| format!("{name}: 1\r\n"));
            let text = whole(
                &gateway,
                &format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                     Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{}X-Check: 7\r\n\r\n",
                    lines.concat()
                ),
            );
            assert_eq!(statuses(&text).last(), Some(&"200"), "{text}");
            assert_eq!(notes.lock().unwrap().join(", "), "x-check: 7");
            notes.lock().unwrap().clear();
            let mut wire = Wire::client(&gateway);
            wire.request(1, "POST", "/", &[]);
            wire.data(1, b"hi", false);
            let mut fields: Vec<_> = STRANGE.iter().map(|name| (*name, "1")).collect();
            fields.retain(|(name, _)| *name != "content-length");
            fields.push(("x-check", "7"));
            wire.headers(1, &fields, true);
            assert_eq!(wire.answer(1).status(), 200);
            assert_eq!(notes.lock().unwrap().join(", "), "x-check: 7");
        })
    });
    play(cases.into());
}
