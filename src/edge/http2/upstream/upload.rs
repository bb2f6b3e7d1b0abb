//! The body of a request on its way into a stream, as far as the upstream's windows allow.

use super::SEND_BUFFER;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use std::mem::take;
use std::task::{Context, Poll, ready};

/// The sending half of a stream.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    /// What has been queued and not been given to the library.
    pending: Bytes,
    end: End,
    /// Bytes that the windows have let through.
    taken: u64,
}

#[derive(Default)]
enum End {
    Open,
    /// Queued behind the data, with the trailers.
    Queued(Option<HeaderMap>),
    #[default]
    Sent,
    /// The stream takes no more, since the upstream or the connection has ended it.
    Stopped,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self {
            stream,
            pending: Bytes::new(),
            end: if ended { End::Sent } else { End::Open },
            taken: 0,
        }
    }

    /// Queues data; one that is stopped drops it. Returns whether it could: not while other data is
    /// pending, nor after the end.
    pub(super) fn data(&mut self, data: Bytes) -> bool {
        match self.end {
            End::Open if self.pending.is_empty() => {
                self.pending = data;
                true
            }
            End::Stopped => true,
            End::Open | End::Queued(_) | End::Sent => false,
        }
    }

    /// Queues the end.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.end, End::Open) {
            self.end = End::Queued(trailers.filter(|trailers| !trailers.is_empty()));
        }
    }

    /// Ready once nothing is pending. An upload that cannot go on is stopped, and nothing is
    /// pending then: the reading half says why.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.pending.is_empty() {
            let wanted = self.pending.len().min(SEND_BUFFER);
            self.stream.reserve_capacity(wanted);
            let mut room = self.stream.capacity();
            if room == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(capacity)) => room = capacity,
                    None | Some(Err(_)) => return self.stop(),
                }
            }
            let piece = self.pending.split_to(room.min(self.pending.len()));
            self.taken += piece.len() as u64;
            let last = self.pending.is_empty() && matches!(self.end, End::Queued(None));
            if self.stream.send_data(piece, last).is_err() {
                return self.stop();
            }
            if last {
                self.end = End::Sent;
            }
        }
        match take(&mut self.end) {
            End::Queued(trailers) => self.finish(trailers),
            other => {
                self.end = other;
                Poll::Ready(())
            }
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Poll<()> {
        let sent = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            // An empty frame needs no window.
            None => self.stream.send_data(Bytes::new(), true),
        };
        match sent {
            Ok(()) => Poll::Ready(()),
            Err(_) => self.stop(),
        }
    }

    fn stop(&mut self) -> Poll<()> {
        self.pending = Bytes::new();
        self.end = End::Stopped;
        Poll::Ready(())
    }

    /// Ready once the stream takes no more.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_stopped() {
            let _ = ready!(self.stream.poll_reset(cx));
            let _ = self.stop();
        }
        Poll::Ready(())
    }

    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.end, End::Stopped)
    }

    /// Whether the upstream has all of the body, or wants no more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.end, End::Sent | End::Stopped)
    }

    /// Ends the stream on both sides, and drops what has not been written.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}
