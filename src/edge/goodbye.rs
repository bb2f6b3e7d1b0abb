//! The end of a WebSocket when the process leaves: both sides get a close with 1001 ("going away",
//! RFC 6455, section 7.4.1) where a frame ends, instead of a connection that breaks off.

use super::drain::{Drain, Phase};
use super::websocket::{Frames, GOING_AWAY, GOING_AWAY_MASKED};
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
