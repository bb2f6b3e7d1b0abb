//! Upstreams of HTTP/2 with small limits, and such as refuse streams or go away: each request is
//! served, and no limit is exceeded.

use super::strict::{Leaves, Rules, strict};
use super::wire::{HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, Wire};
use super::{case, gateway, play};
use crate::gateway::Gateway;
use std::sync::Barrier;

const BURST: usize = 20;
const GET: (&str, &str) = ("GET", "");
const POST: (&str, &str) = ("POST", "a body that is small enough to be at hand");

/// Fails unless all are served; what they were answered otherwise is told with its count.
fn assert_served(answers: &[(u16, String)], expected: impl Fn(usize) -> String) {
    let wrong = answers.iter().enumerate();
    let wrong = wrong.filter(|(at, answer)| **answer != (200, expected(*at)));
    let wrong: Vec<_> = wrong.map(|(_, answer)| answer).collect();
    let (first, total) = (wrong.first(), answers.len());
    assert!(
        wrong.is_empty(),
        "{} of {total}, such as {first:?}",
        wrong.len()
    );
}

fn expected(wave: usize, at: usize, body: &str) -> String {
    format!("/{wave}/{at} {}", body.len())
}

/// Requests of clients of HTTP/1, all at once, each on a fresh connection.
fn burst_one(gateway: &Gateway, wave: usize, (method, body): (&str, &str)) {
    let together = Barrier::new(BURST);
    let ask = |at: usize| {
        let mut connection = gateway.connect();
        let request = format!(
            "{method} /{wave}/{at} HTTP/1.1\r\nHost: a\r\nCookie: side=new; user=u{at}\r\n\
             X-Long: {}\r\nContent-Length: {}\r\n\r\n{body}",
            "long ".repeat(20),
            body.len()
        );
        together.wait();
        let answer = connection.exchange(request.as_bytes());
        (answer.status, answer.text())
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..BURST).map(|at| scope.spawn(move || ask(at))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_served(&answers, |at| expected(wave, at, body));
}

/// The same on one connection of HTTP/2.
fn burst_two(gateway: &Gateway, wave: usize, (method, body): (&str, &str)) {
    let mut wire = Wire::client(gateway);
    let stream = |at: usize| 2 * at as u32 + 1;
    for at in 0..BURST {
        let more = [("cookie", "side=new"), ("x-long", "long long long long")];
        wire.request(stream(at), method, &format!("/{wave}/{at}"), &more);
        if method == "POST" {
            wire.data(stream(at), body.as_bytes(), true);
        }
    }
    let answers: Vec<_> = (0..BURST)
        .map(|at| {
            let answer = wire.answer(stream(at));
            (answer.status(), answer.text())
        })
        .collect();
    assert_served(&answers, |at| expected(wave, at, body));
}

/// Bursts of both protocols, with and without bodies, before and after the settings are known.
fn bursts(rules: Rules) -> Vec<String> {
    let (upstream, notes) = strict(rules);
    let gateway = gateway(upstream, "h2c", "");
    for (wave, request) in [GET, POST, GET, POST].into_iter().enumerate() {
        match wave {
            0 | 1 => burst_one(&gateway, wave, request),
            _ => burst_two(&gateway, wave, request),
        }
    }
    gateway.counts("http_server_active_requests", 0.0);
    let notes = notes.lock().unwrap();
    notes.clone()
}

/// The same where the first burst comes over HTTP/2.
fn bursts_of_streams(rules: Rules) -> Vec<String> {
    let (upstream, notes) = strict(rules);
    let gateway = gateway(upstream, "h2c", "");
    for (wave, request) in [POST, GET].into_iter().enumerate() {
        burst_two(&gateway, wave, request);
    }
    let notes = notes.lock().unwrap();
    notes.clone()
}

#[test]
fn few_streams_at_once_are_enough_for_a_burst() {
    let mut cases = Vec::new();
    for streams in [1, 2] {
        let rules = Rules {
            settings: vec![(MAX_CONCURRENT_STREAMS, streams)],
            streams: Some(streams as usize),
            ..Rules::default()
        };
        let first = rules.clone();
        cases.push(case(
            format!("{streams} streams, HTTP/1 first"),
            move || {
                assert_eq!(
                    bursts(first),
                    [""; 0],
                    "a limit that is acknowledged is exceeded"
                );
            },
        ));
        cases.push(case(
            format!("{streams} streams, HTTP/2 first"),
            move || {
                assert_eq!(bursts_of_streams(rules), [""; 0], "a limit is exceeded");
            },
        ));
    }
    play(cases);
}

#[test]
fn small_windows_and_no_header_table_are_enough_for_a_burst() {
    let settings = [
        ("a window of 1", vec![(INITIAL_WINDOW_SIZE, 1)]),
        ("a window of 16", vec![(INITIAL_WINDOW_SIZE, 16)]),
        ("no header table", vec![(HEADER_TABLE_SIZE, 0)]),
        (
            "all of them",
            vec![
                (HEADER_TABLE_SIZE, 0),
                (INITIAL_WINDOW_SIZE, 1),
                (MAX_CONCURRENT_STREAMS, 2),
            ],
        ),
    ];
    let cases = settings.map(|(name, settings)| {
        let streams = settings
            .iter()
            .find(|(id, _)| *id == MAX_CONCURRENT_STREAMS);
        let streams = streams.map(|(_, most)| *most as usize);
        case(name, move || {
            let rules = Rules {
                settings,
                streams,
                ..Rules::default()
            };
            assert_eq!(bursts(rules), [""; 0]);
        })
    });
    play(cases.into());
}

#[test]
fn no_frame_is_longer_than_allowed() {
    // `Wire` fails on a frame that is too long.
    let (upstream, _) = strict(Rules::default());
    let gateway = gateway(upstream, "h2c", "");
    let body = "b".repeat(300_000);
    let request = format!(
        "POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = gateway.connect().exchange(request.as_bytes());
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "/long 300000")
    );
    let mut wire = Wire::client(&gateway);
    wire.request(1, "POST", "/long", &[]);
    let mut left = body.len();
    wire.wait("windows for the whole body", |wire, _| {
        left -= wire.some(1, left);
        left == 0
    });
    wire.data(1, &[], true);
    assert_eq!(wire.answer(1).text(), "/long 300000");
}

#[test]
fn a_stream_that_is_refused_is_asked_for_once_more() {
    let mut cases = Vec::new();
    for request in [GET, POST] {
        for kind in [1, 2] {
            cases.push(case(format!("{} of HTTP/{kind}", request.0), move || {
                let (upstream, notes) = strict(Rules {
                    refuses: true,
                    ..Rules::default()
                });
                let gateway = gateway(upstream, "h2c", "");
                match kind {
                    1 => burst_one(&gateway, 0, request),
                    _ => burst_two(&gateway, 0, request),
                }
                assert_eq!(notes.lock().unwrap().len(), BURST, "each was refused once");
            }));
        }
    }
    play(cases);
}

#[test]
fn an_upstream_that_goes_away_costs_no_request() {
    let mut cases = Vec::new();
    for request in [GET, POST] {
        cases.push(case(format!("{} served before", request.0), move || {
            let (upstream, _) = strict(Rules {
                leaves: Some(Leaves::After),
                ..Rules::default()
            });
            let gateway = gateway(upstream, "h2c", "");
            let (method, body) = request;
            let ask = |at: usize| {
                let length = body.len();
                let text = format!(
                    "{method} /0/{at} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                let answer = gateway.connect().exchange(text.as_bytes());
                (answer.status, answer.text())
            };
            let answers: Vec<_> = (0..BURST).map(ask).collect();
            assert_served(&answers, |at| expected(0, at, body));
        }));
        for kind in [1, 2] {
            let name = format!("{} of HTTP/{kind}, not served before", request.0);
            cases.push(case(name, move || {
                let (upstream, _) = strict(Rules {
                    leaves: Some(Leaves::Before),
                    ..Rules::default()
                });
                let gateway = gateway(upstream, "h2c", "");
                match kind {
                    1 => burst_one(&gateway, 0, request),
                    _ => burst_two(&gateway, 0, request),
                }
            }));
        }
    }
    play(cases);
}
