//! WebSockets on their way through: bytes are passed on untouched, and only the ends of frames are
//! watched (RFC 6455, section 5.2), so that both sides can be told when the process leaves: close
//! 1001, "going away", instead of a connection that breaks.

use super::drain::{Drain, Phase};
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Close, 1001.
pub const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same from a client: masked, with a mask of zeros.
pub const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];
/// Longest head of a frame.
const HEAD_MAX: usize = 14;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; HEAD_MAX],
    known: usize,
    /// Bytes of the payload still to come.
    left: u64,
}

impl Frames {
    pub fn at_boundary(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() as u64);
                self.left -= passed;
                bytes = bytes.get(passed as usize..).unwrap_or(&[]);
                continue;
            }
            if let Some(slot) = self.head.get_mut(self.known) {
                *slot = *first;
            }
            self.known += 1;
            bytes = rest;
            if let Some(length) = self.payload() {
                (self.known, self.left) = (0, length);
            }
        }
    }

    /// The length of the payload, once the head is whole.
    fn payload(&self) -> Option<u64> {
        let [_, second, rest @ ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (more, length) = match second & 0x7f {
            126 => (
                2,
                rest.first_chunk()
                    .map(|b| u64::from(u16::from_be_bytes(*b))),
            ),
            127 => (8, rest.first_chunk().map(|b| u64::from_be_bytes(*b))),
            short => (0, Some(u64::from(short))),
        };
        (self.known >= 2 + more + mask).then_some(length.unwrap_or(0))
    }
}

/// Follows the frames of both directions.
pub struct Goodbye {
    to_client: Frames,
    to_upstream: Frames,
    leaves: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    leaving: bool,
    /// The client has been told: it gets nothing more.
    told: bool,
    /// What the upstream is told still.
    rest: &'static [u8],
    /// Waits to tell the upstream, once the client has been told.
    waits: Option<Waker>,
}

impl fmt::Debug for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goodbye")
            .field("leaving", &self.leaving)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl Goodbye {
    pub fn new(drain: &Drain) -> Self {
        Self {
            to_client: Frames::default(),
            to_upstream: Frames::default(),
            leaves: Box::pin(drain.reaches(Phase::Over)),
            leaving: false,
            told: false,
            rest: &GOING_AWAY_MASKED,
            waits: None,
        }
    }

    /// Whether the process leaves.
    pub fn poll_leaving(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.leaving && self.leaves.as_mut().poll(cx) == Poll::Ready(()) {
            self.leaving = true;
            if !self.to_upstream.at_boundary() {
                self.rest = &[];
            }
        }
        if self.leaving && !self.told {
            self.waits = Some(cx.waker().clone());
        }
        self.leaving
    }

    /// Returns the close for the client, once it is due.
    pub fn for_client(&mut self) -> Option<Bytes> {
        if !self.leaving || self.told || !self.to_client.at_boundary() {
            return None;
        }
        self.told = true;
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
        Some(Bytes::from_static(&GOING_AWAY))
    }

    /// Whether the client has been told, so that the upstream gets nothing of it any more.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Returns the close for the upstream, once.
    pub fn for_upstream(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| Bytes::from_static(rest))
    }

    /// Bytes for the client are on their way. Returns whether they may go out.
    pub fn passes_to_client(&mut self, data: &[u8]) -> bool {
        if !self.told {
            self.to_client.follow(data);
        }
        !self.told
    }

    /// Bytes for the upstream are on their way.
    pub fn passes_to_upstream(&mut self, data: &[u8]) {
        self.to_upstream.follow(data);
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    #[test]
    fn ends_of_frames_are_found_however_they_are_cut() {
        let mut bytes = vec![0x81, 0x03, b'a', b'b', b'c'];
        bytes.extend([0x82, 126, 0x01, 0x00]);
        bytes.extend([7; 256]);
        bytes.extend([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]);
        bytes.extend(vec![9; 65536]);
        bytes.extend([0x89, 0x80, 1, 2, 3, 4]);
        for cut in [1, 2, 3, 5, 1000, 100_000] {
            let mut frames = Frames::default();
            for part in bytes.chunks(cut) {
                frames.follow(part);
            }
            assert!(frames.at_boundary(), "{cut}");
        }
        let mut frames = Frames::default();
        frames.follow(&bytes[..4]);
        assert!(!frames.at_boundary());
        frames.follow(&bytes[4..6]);
        assert!(!frames.at_boundary());
    }
}
