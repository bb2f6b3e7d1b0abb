//! The states of streams (RFC 9113, section 5.1), as far as frames make them.

use super::{CLOSED, DATA, END_STREAM, Fault, HEADERS, Head, PROTOCOL, RST_STREAM, WINDOW_UPDATE};
use std::collections::VecDeque;

/// Streams that have ended lately, and are told from those that never were.
const RECENT: usize = 64;
/// Open streams that are known; more than a listener ever allows.
const OPEN_MAX: usize = 4096;
/// Streams that the gateway has reset lately: frames of theirs may still be on their way.
const RESET: usize = 256;

/// The streams of one connection.
#[derive(Debug, Default)]
pub struct Streams {
    /// Highest so far.
    last: u32,
    /// Neither the client has ended them nor the gateway.
    pub open: Vec<u32>,
    /// Those that the client has ended lately, and those that the gateway has ended first.
    recent: VecDeque<u32>,
    reset: VecDeque<u32>,
    /// The highest of those that are not known any more: what still comes of them is the library's
    /// to judge.
    forgotten: u32,
}

impl Streams {
    /// Judges a frame by the state of its stream. Returns whether it has opened it.
    ///
    /// # Errors
    /// When it must not come.
    pub fn judge(&mut self, head: Head) -> Result<bool, Fault> {
        let Head { kind, stream, .. } = head;
        let idle = stream > self.last;
        match kind {
            HEADERS if idle => {
                if stream.is_multiple_of(2) {
                    return Err(PROTOCOL);
                }
                self.last = stream;
                match self.open.len() < OPEN_MAX {
                    true => self.open.push(stream),
                    false => self.forgotten = stream,
                }
            }
            DATA | RST_STREAM | WINDOW_UPDATE if idle && stream != 0 => return Err(PROTOCOL),
            DATA | HEADERS if !self.open.contains(&stream) && !self.may_come_late(stream) => {
                let known = kind == DATA || self.recent.contains(&stream);
                return Err(if known { CLOSED } else { PROTOCOL });
            }
            _ => {}
        }
        let ends = match kind {
            DATA | HEADERS => head.has(END_STREAM),
            RST_STREAM => true,
            _ => false,
        };
        if ends && self.close(stream) {
            push(&mut self.recent, stream, RECENT);
        }
        Ok(kind == HEADERS && idle)
    }

    /// The gateway ends a stream, whatever of it is still to come.
    pub fn reset(&mut self, stream: u32) {
        if self.close(stream)
            && let Some(oldest) = push(&mut self.reset, stream, RESET)
        {
            self.forgotten = oldest.max(self.forgotten);
        }
    }

    /// Returns whether it was open.
    fn close(&mut self, stream: u32) -> bool {
        let at = self.open.iter().position(|open| *open == stream);
        at.map(|at| self.open.swap_remove(at)).is_some()
    }

    /// Whether the gateway has ended the stream before the client did: frames that were on their
    /// way then are no fault.
    fn may_come_late(&self, stream: u32) -> bool {
        let known = self.reset.contains(&stream) || stream <= self.forgotten;
        known && !self.recent.contains(&stream)
    }
}

/// Remembers a stream, and returns the one that is forgotten for it.
fn push(list: &mut VecDeque<u32>, stream: u32, most: usize) -> Option<u32> {
    let oldest = match list.len() < most {
        true => None,
        false => list.pop_front(),
    };
    list.push_back(stream);
    oldest
}
