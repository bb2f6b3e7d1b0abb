//! WebSockets on their way through: bytes are passed on untouched, and only the ends of frames are
//! watched (RFC 6455, section 5.2), so that both sides can be told when the process leaves: close
//! 1001, "going away", instead of a connection that breaks.

use super::drain::{Drain, Phase};
use bytes::BytesMut;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use tokio::io::ReadBuf;

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

/// A connection that has become a WebSocket.
pub struct WebSocket {
    to_client: Frames,
    to_upstream: Frames,
    leaves: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    leaving: bool,
    told_client: bool,
    /// What is left of the goodbye to the upstream.
    goodbye: &'static [u8],
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket")
            .field("leaving", &self.leaving)
            .finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Begins with the answer that switches protocols, if it is one.
    pub fn begin(answer: &[u8], drain: &Drain) -> Option<Self> {
        let switched = answer.starts_with(b"HTTP/1.1 101");
        let end = memchr::memmem::find(answer, b"\r\n\r\n").filter(|_| switched)? + 4;
        let (head, frames) = answer.split_at_checked(end)?;
        let accepts = head.to_ascii_lowercase();
        memchr::memmem::find(&accepts, b"upgrade: websocket")?;
        let mut socket = Self {
            to_client: Frames::default(),
            to_upstream: Frames::default(),
            leaves: Box::pin(drain.reaches(Phase::Over)),
            leaving: false,
            told_client: false,
            goodbye: &GOING_AWAY_MASKED,
        };
        socket.to_client.follow(frames);
        Some(socket)
    }

    /// Bytes for the client. Returns whether they may go out: none do after the goodbye.
    pub fn passes_down(&mut self, bytes: &[u8]) -> bool {
        if !self.told_client {
            self.to_client.follow(bytes);
        }
        !self.told_client
    }

    /// Bytes from the client, for the upstream.
    pub fn passes_up(&mut self, bytes: &[u8]) {
        self.to_upstream.follow(bytes);
    }

    /// Looks whether the process leaves; then says goodbye to the client where a frame ends, and
    /// to the upstream in `buf`. `true`: what is in `buf` is all that the upstream will read.
    pub fn poll_goodbye(
        &mut self,
        cx: &mut Context<'_>,
        gathered: &mut BytesMut,
        buf: &mut ReadBuf<'_>,
    ) -> bool {
        if !self.leaving && self.leaves.as_mut().poll(cx).is_pending() {
            return false;
        }
        if !self.leaving {
            self.leaving = true;
            if !self.to_upstream.at_boundary() {
                self.goodbye = &[];
            }
        }
        self.tell_client(gathered);
        if !self.told_client {
            return false; // a frame is on its way; its end comes by `passes_down`
        }
        let said = self.goodbye.len().min(buf.remaining());
        let (now, later) = self.goodbye.split_at(said);
        buf.put_slice(now);
        self.goodbye = later;
        true
    }

    /// Says goodbye to the client if the process leaves and no frame is on its way.
    pub fn tell_client(&mut self, gathered: &mut BytesMut) {
        if self.leaving && !self.told_client && self.to_client.at_boundary() {
            gathered.extend_from_slice(&GOING_AWAY);
            self.told_client = true;
        }
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
