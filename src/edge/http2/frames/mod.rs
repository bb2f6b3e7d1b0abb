//! Frames of HTTP/2 on their way: what a client sends is judged before the HTTP/2 library sees it,
//! by the rules for which the library has one error code where RFC 9113 has several.
//!
//! The library checks what needs its state (windows, header blocks, messages); this checks frames
//! for size, order and place, and streams for being open. What is left for the library to call a
//! protocol error is header blocks: malformed ones, and ones that cannot be decompressed, which
//! have a code of their own.

mod block;
mod outgoing;
mod streams;

use super::frame_budget::{Allowances, Kind};
use crate::edge::transport::socket::Socket;
use crate::edge::transport::timer::Timer;
use block::{can_be_decompressed, is_pseudo};
use h2::Reason;
use outgoing::Outgoing;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use streams::Streams;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

/// What a client sends in place of frames first (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// A frame's head: length, kind, flags, stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// Largest frame: what both sides begin with, and this one never raises.
const LENGTH_MAX: usize = 16_384;
/// Bytes of a payload that are looked at.
const LOOKED_AT: usize = 6;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    fn of(bytes: [u8; HEAD]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = bytes;
        Self {
            length: u32::from_be_bytes([0, high, middle, low]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Why a client is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// For the counter.
    pub why: &'static str,
}

const PROTOCOL: Fault = Fault {
    reason: Reason::PROTOCOL_ERROR,
    why: "http2_protocol",
};
const SIZE: Fault = Fault {
    reason: Reason::FRAME_SIZE_ERROR,
    why: "http2_frame_size",
};
const FLOW: Fault = Fault {
    reason: Reason::FLOW_CONTROL_ERROR,
    why: "http2_flow_control",
};
const CLOSED: Fault = Fault {
    reason: Reason::STREAM_CLOSED,
    why: "http2_stream_closed",
};
/// A header block that does not come to its end (`clients.header_timeout`).
const SLOW: Fault = Fault {
    reason: Reason::ENHANCE_YOUR_CALM,
    why: "http2_header_timeout",
};

/// Where whoever drives the connection hears of a fault.
#[derive(Debug, Default)]
pub struct Alarm {
    fault: Mutex<Option<Fault>>,
    told: Notify,
}

impl Alarm {
    /// Waits until there is a fault.
    pub async fn rings(&self) -> Fault {
        loop {
            self.told.notified().await;
            if let Some(fault) = *self.fault.lock() {
                return fault;
            }
        }
    }
}

/// Follows one client's frames.
#[derive(Debug)]
pub struct Frames {
    /// Bytes of the preface or of a payload that are still to come.
    left: usize,
    head: [u8; HEAD],
    known: usize,
    current: Head,
    /// The first bytes of the payload, as far as they matter.
    payload: [u8; LOOKED_AT],
    seen: usize,
    /// Whether the client's settings have come, which must be first.
    settled: bool,
    /// Whose header block is not complete.
    block: Option<u32>,
    /// The last header block, for when the connection ends over it.
    fields: Vec<u8>,
    /// Whether it is that of trailers.
    trailers: bool,
    streams: Streams,
    /// How long a header block may take, and until when the current one may.
    header_timeout: Duration,
    block_until: Option<Instant>,
    timer: Timer,
    allowances: Allowances,
    alarm: Arc<Alarm>,
    tripped: bool,
    outgoing: Outgoing,
}

impl Frames {
    pub fn new(alarm: Arc<Alarm>, header_timeout: Duration) -> Self {
        Self {
            left: PREFACE,
            head: [0; HEAD],
            known: 0,
            current: Head::of([0; HEAD]),
            payload: [0; LOOKED_AT],
            seen: LOOKED_AT, // the preface is no payload
            settled: false,
            block: None,
            fields: Vec::new(),
            trailers: false,
            streams: Streams::default(),
            header_timeout,
            block_until: None,
            timer: Timer::default(),
            allowances: Allowances::default(),
            alarm,
            tripped: false,
            outgoing: Outgoing::default(),
        }
    }

    /// Reads on, up to a fault; nothing more after it.
    pub fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.tripped {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if Pin::new(socket).poll_read(cx, buf)?.is_pending() {
            if let Some(until) = self.block_until {
                ready!(self.timer.poll_passed(cx, until));
                self.trip(SLOW);
            }
            return Poll::Pending;
        }
        let fresh = buf.filled().get(before..).unwrap_or(&[]);
        let good = self.follow(fresh);
        if good == 0 && self.tripped {
            buf.set_filled(before);
            return Poll::Pending;
        }
        buf.set_filled(before + good);
        Poll::Ready(Ok(()))
    }

    /// Looks at what has been read. Returns how many bytes of it may be passed on.
    pub fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.left {
                0 => self.take_head(rest),
                _ => self.take_payload(rest),
            };
            match taken {
                Ok(taken) => at += taken,
                Err(fault) => {
                    self.trip(fault);
                    return at;
                }
            }
        }
        self.watch_block();
        at
    }

    fn trip(&mut self, fault: Fault) {
        self.tripped = true;
        *self.alarm.fault.lock() = Some(fault);
        self.alarm.told.notify_one();
    }

    /// A header block that has begun has so long, as a head of HTTP/1 has.
    fn watch_block(&mut self) {
        let within = self.left > 0 && matches!(self.current.kind, HEADERS | CONTINUATION);
        match self.settled && (within || self.block.is_some()) {
            false => self.block_until = None,
            true if self.block_until.is_some() => {}
            true => self.block_until = Instant::now().checked_add(self.header_timeout),
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let wanted = (HEAD - self.known).min(bytes.len());
        let slots = self.head.iter_mut().skip(self.known);
        slots.zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        self.known += wanted;
        if self.known == HEAD {
            self.known = 0;
            self.current = Head::of(self.head);
            self.left = self.current.length;
            self.seen = 0;
            self.judge(self.current)?;
        }
        Ok(wanted)
    }

    fn take_payload(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if self.seen == LOOKED_AT {
            let taken = self.left.min(bytes.len());
            self.left -= taken;
            self.keep(bytes.get(..taken).unwrap_or(&[]));
            return Ok(taken);
        }
        let wanted = (LOOKED_AT - self.seen).min(self.left).min(bytes.len());
        let slots = self.payload.iter_mut().skip(self.seen);
        slots
            .zip(bytes.iter().take(wanted))
            .for_each(|(slot, byte)| *slot = *byte);
        self.seen += wanted;
        self.left -= wanted;
        self.keep(bytes.get(..wanted).unwrap_or(&[]));
        if self.seen == LOOKED_AT || self.left == 0 {
            self.judge_payload()?;
            // Settings are entries of this size, each looked at.
            self.seen = match self.current.kind {
                SETTINGS => 0,
                _ => LOOKED_AT,
            };
        }
        Ok(wanted)
    }

    /// Keeps a piece of a header block, as far as one fits into a frame.
    fn keep(&mut self, piece: &[u8]) {
        if matches!(self.current.kind, HEADERS | CONTINUATION) {
            let room = LENGTH_MAX.saturating_sub(self.fields.len());
            let own = piece.get(..room.min(piece.len())).unwrap_or(piece);
            self.fields.extend_from_slice(own);
        }
    }

    fn judge(&mut self, head: Head) -> Result<(), Fault> {
        let Head {
            length,
            kind,
            stream,
            ..
        } = head;
        if length > LENGTH_MAX {
            return Err(SIZE);
        }
        if !std::mem::replace(&mut self.settled, true) && kind != SETTINGS {
            return Err(PROTOCOL);
        }
        if let Some(block) = self.block
            && (kind != CONTINUATION || stream != block)
        {
            return Err(PROTOCOL);
        }
        let place = match kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => stream != 0,
            SETTINGS | PING | GOAWAY => stream == 0,
            PUSH_PROMISE => false,
            _ => true,
        };
        let size = match kind {
            PRIORITY => length == 5,
            RST_STREAM | WINDOW_UPDATE => length == 4,
            SETTINGS if head.has(ACK) => length == 0,
            SETTINGS => length.is_multiple_of(6),
            PING => length == 8,
            GOAWAY => length >= 8,
            _ => true,
        };
        match (place, size) {
            (false, _) => return Err(PROTOCOL),
            (_, false) => return Err(SIZE),
            _ => {}
        }
        self.judge_stream(head)?;
        match Kind::of(&head) {
            Some(kind) if !self.allowances.take(kind) => Err(Fault {
                reason: Reason::ENHANCE_YOUR_CALM,
                why: kind.name(),
            }),
            _ => Ok(()),
        }
    }

    fn judge_stream(&mut self, head: Head) -> Result<(), Fault> {
        let Head { kind, stream, .. } = head;
        if kind == CONTINUATION && self.block.is_none() {
            return Err(PROTOCOL);
        }
        let opens = self.streams.judge(head)?;
        if kind == HEADERS {
            self.fields.clear();
            self.trailers = !opens;
        }
        if matches!(kind, HEADERS | CONTINUATION) {
            self.block = (!head.has(END_HEADERS)).then_some(stream);
        }
        Ok(())
    }

    fn judge_payload(&self) -> Result<(), Fault> {
        let head = self.current;
        let [first, second, third, fourth, fifth, sixth] = self.payload;
        match head.kind {
            DATA | HEADERS if head.has(PADDED) => {
                let own = if head.kind == HEADERS && head.has(WITH_PRIORITY) {
                    6
                } else {
                    1
                };
                match usize::from(first) + own > head.length {
                    true => Err(PROTOCOL),
                    false => Ok(()),
                }
            }
            // What a priority comes before is not in sight; the library drops such fields.
            HEADERS if head.has(WITH_PRIORITY) => Ok(()),
            HEADERS if self.trailers && is_pseudo(self.payload) => Err(PROTOCOL),
            WINDOW_UPDATE => match u32::from_be_bytes([first & 0x7f, second, third, fourth]) {
                0 => Err(PROTOCOL),
                _ => Ok(()),
            },
            SETTINGS if self.seen == LOOKED_AT => {
                let value = u32::from_be_bytes([third, fourth, fifth, sixth]);
                match u16::from_be_bytes([first, second]) {
                    0x2 if value > 1 => Err(PROTOCOL),
                    0x4 if value > 0x7fff_ffff => Err(FLOW),
                    0x5 if !(16_384..=0x00ff_ffff).contains(&value) => Err(PROTOCOL),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// How many of the bytes that the library sends next need no look ([`Frames::sends`]).
    pub fn passing(&self) -> usize {
        self.outgoing.passing()
    }

    /// So many of these bytes have been sent.
    pub fn passes(&mut self, bytes: usize) {
        self.outgoing.passes(bytes);
    }

    /// Looks at what the library sends; a protocol error of its own becomes what it is, and streams
    /// that it resets are not open any more.
    pub fn sends(&mut self, bytes: &mut [u8]) {
        let (tripped, fields) = (self.tripped, &self.fields);
        let compression = || !tripped && !can_be_decompressed(fields);
        let streams = &mut self.streams;
        self.outgoing
            .follow(bytes, &compression, &mut |stream| streams.reset(stream));
    }
}

#[cfg(test)]
mod tests;
