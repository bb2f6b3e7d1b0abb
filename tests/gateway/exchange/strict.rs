//! An upstream of HTTP/2 that is strict about its limits, refuses streams, or goes away.

use super::stub::{LOOK, Notes, serve};
use super::wire::{REFUSED_STREAM, Wire, field};
use crate::h2::{DATA, END_STREAM, HEADERS, RST_STREAM};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time that an answer takes, so that requests meet.
const WORK: Duration = Duration::from_millis(20);

/// Where an upstream is strict.
#[derive(Clone, Default)]
pub struct Rules {
    pub settings: Vec<(u16, u32)>,
    /// Streams at once; more are refused.
    pub streams: Option<usize>,
    /// Refuses each path once.
    pub refuses: bool,
    /// Announces its end with the first request of a connection.
    pub leaves: Option<Leaves>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
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
pub fn strict(rules: Rules) -> (SocketAddr, Notes<String>) {
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
