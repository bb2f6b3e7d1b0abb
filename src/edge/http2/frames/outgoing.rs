//! What the HTTP/2 library sends, followed to the one frame in which it may be wrong, and to those
//! that end a stream.

use super::{GOAWAY, HEAD, Head, RST_STREAM};

/// The last byte of an error code (RFC 9113, section 7).
const PROTOCOL_ERROR: u8 = 1;
const COMPRESSION_ERROR: u8 = 9;

/// Follows the library's frames.
#[derive(Debug, Default)]
pub struct Outgoing {
    left: usize,
    head: [u8; HEAD],
    known: usize,
    /// Bytes of a GOAWAY's payload so far; the eighth is the end of its code.
    farewell: Option<usize>,
}

impl Outgoing {
    /// How many of the next bytes are of a payload in which nothing is looked at.
    pub fn passing(&self) -> usize {
        match self.farewell {
            None => self.left,
            Some(_) => 0,
        }
    }

    /// So many of these bytes have been sent.
    pub fn passes(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// `compression` tells whether a protocol error is one of compression; `reset` hears of streams
    /// that are.
    pub fn follow(
        &mut self,
        bytes: &mut [u8],
        compression: &dyn Fn() -> bool,
        reset: &mut dyn FnMut(u32),
    ) {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 && self.farewell.is_none() {
                let passed = self.left.min(bytes.len() - at);
                self.left -= passed;
                at += passed;
                continue;
            }
            let Some(byte) = bytes.get_mut(at) else {
                return;
            };
            at += 1;
            if let Some(seen) = self.farewell {
                if seen == 7 && *byte == PROTOCOL_ERROR && compression() {
                    *byte = COMPRESSION_ERROR;
                }
                self.left -= 1;
                self.farewell = (self.left > 0).then_some(seen + 1);
                continue;
            }
            if let Some(slot) = self.head.get_mut(self.known) {
                *slot = *byte;
            }
            self.known += 1;
            if self.known == HEAD {
                self.known = 0;
                let head = Head::of(self.head);
                self.left = head.length;
                if head.kind == RST_STREAM {
                    reset(head.stream);
                }
                self.farewell = (head.kind == GOAWAY && head.length > 0).then_some(0);
            }
        }
    }
}
