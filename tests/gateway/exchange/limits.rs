//! Upstreams of HTTP/2 with small limits, and such as refuse streams or go away: each request is
//! served, and no limit is exceeded.

use super::stub::{LOOK, Notes, serve};
use super::wire::{
    HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, REFUSED_STREAM, Wire, field,
};
use super::{case, gateway, play};
use crate::gateway::Gateway;
use crate::h2::{DATA, END_STREAM, HEADERS, RST_STREAM};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

const BURST: usize = 20;
/// Time that an answer takes, so that requests meet.
const WORK: Duration = Duration::from_millis(20);

/// Where an upstream is strict.
#[derive(Clone, Default)]
struct Rules {
    settings: Vec<(u16, u32)>,
    /// Streams at once; more are refused.
    streams: Option<usize>,
    /// Refuses each path once.
    refuses: bool,
    /// Announces its end with the first request of a connection.
    leaves: Option<Leaves>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// On every connection; the request is still served.
    After,
    /// On the first connection; the request is not served.
    Before,
}

struct Strict {
    wire: Wire,
    rules: Rules,
    notes: Notes<String>,
    open: Vec<u32>,
    due: Vec<(Instant, u32)>,
    left: bool,
    number: usize,
}

/// Notes what the gateway must not do, and paths that it has refused.
fn strict(rules: Rules) -> (SocketAddr, Notes<String>) {
    let notes: Notes<String> = Notes::default();
    let told = notes.clone();
    let address = serve(move |stream, number| {
        if let Some(mut strict) = Strict::new(stream, number, &rules, &told) {
            strict.run();
        }
    });
    (address, notes)
}

impl Strict {
    fn new(stream: TcpStream, number: usize, rules: &Rules, notes: &Notes<String>) -> Option<Self> {
        Some(Self {
            wire: Wire::server(stream, &rules.settings)?,
            rules: rules.clone(),
            notes: notes.clone(),
            open: Vec::new(),
            due: Vec::new(),
            left: false,
            number,
        })
    }

    fn run(&mut self) {
        while !self.wire.closed {
            let wait = match self.due.is_empty() {
                true => 50 * LOOK,
                false => LOOK,
            };
            if let Some(frame) = self.wire.next(wait) {
                let stream = frame.stream;
                match frame.kind {
                    HEADERS if !self.open.contains(&stream) && !self.begin(stream) => continue,
                    RST_STREAM => self.open.retain(|own| *own != stream),
                    _ => {}
                }
                let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
                if ends && self.open.contains(&stream) {
                    self.due.push((Instant::now() + WORK, stream));
                }
            }
            let now = Instant::now();
            while let Some(at) = self.due.iter().position(|(when, _)| *when <= now) {
                let (_, stream) = self.due.remove(at);
                self.answer(stream);
            }
        }
    }

    /// Whether the stream is to be served.
    fn begin(&mut self, stream: u32) -> bool {
        let path = field(&self.wire.answers[&stream].heads[0], ":path");
        let path = path.unwrap_or_default().to_owned();
        let full = self
            .rules
            .streams
            .is_some_and(|most| self.open.len() >= most);
        if full && self.wire.acknowledged {
            let open = self.open.len();
            self.note(format!("{path} is one more than {open} streams"));
        }
        let first = self.rules.refuses && !self.notes.lock().unwrap().contains(&path);
        if first {
            self.note(path);
        }
        if full || first {
            self.wire.reset(stream, REFUSED_STREAM);
            return false;
        }
        if self.left {
            return false; // the gateway has been told that it is not processed
        }
        match self.rules.leaves {
            Some(Leaves::After) => self.leave(stream),
            Some(Leaves::Before) if self.number == 0 => {
                self.leave(stream.saturating_sub(2));
                return false;
            }
            _ => {}
        }
        self.open.push(stream);
        true
    }

    fn note(&self, what: String) {
        self.notes.lock().unwrap().push(what);
    }

    fn leave(&mut self, last: u32) {
        self.left = true;
        self.wire.go_away(last);
    }

    fn answer(&mut self, stream: u32) {
        self.open.retain(|own| *own != stream);
        let request = self.wire.answers[&stream].clone();
        let path = field(&request.heads[0], ":path").unwrap_or_default();
        super::stub::answer(
            &mut self.wire,
            stream,
            &format!("{path} {}", request.body.len()),
        );
    }
}

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
