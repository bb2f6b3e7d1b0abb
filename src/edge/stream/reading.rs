//! The body of a request over HTTP/2: read in pieces, and no longer or shorter than its head says.

use super::Exchange;
use bytes::{Bytes, BytesMut};
use h2::Reason;
use pingora::ErrorType::ReadError;
use pingora::{OrErr, Result};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bytes of a body that are kept for another try.
const REPLAY_MAX: usize = 64 * 1024;

/// The start of a body.
#[derive(Default)]
pub struct Replay {
    pub bytes: BytesMut,
    pub truncated: bool,
}

impl Replay {
    fn keep(&mut self, piece: &[u8]) {
        self.truncated |= self.bytes.len() + piece.len() > REPLAY_MAX;
        match self.truncated {
            true => self.bytes.clear(),
            false => self.bytes.extend_from_slice(piece),
        }
    }
}

impl Exchange {
    /// Waits until a request that says that it has no body has ended, which the library makes sure of:
    /// it resets a stream whose DATA contradict its length (RFC 9113, section 8.1.1). An upstream
    /// would take the head alone for the whole request. Returns whether the request is one.
    pub async fn is_whole(&mut self, limit: Duration) -> bool {
        if self.length != Some(0) || self.body.is_end_stream() {
            return true;
        }
        let ended = async {
            while let Some(piece) = self.body.data().await {
                if piece.is_err() {
                    return false;
                }
            }
            true
        };
        let ended = tokio::time::timeout(limit, ended).await;
        ended.unwrap_or_else(|_| {
            self.respond.send_reset(Reason::ENHANCE_YOUR_CALM);
            self.ended = true;
            false
        })
    }

    /// The next piece of the body. The one that makes it as long as the head says waits for the end of
    /// the stream: were it passed on before, the upstream would have a whole request though more DATA
    /// may show that it is malformed.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        until: Option<Instant>,
    ) -> Poll<Result<Option<Bytes>>> {
        loop {
            let Poll::Ready(piece) = self.body.poll_data(cx) else {
                self.pace.waits();
                return self.poll_late(cx, until).map(Err);
            };
            match self.took(piece)? {
                Some(piece) if self.may_be_the_last(&piece) => self.held = Some(piece),
                // An empty frame, maybe that of the end.
                Some(_) if self.held.is_some() => {}
                piece => {
                    let piece = self.held.take().or(piece);
                    if let Some(piece) = &piece {
                        self.read += piece.len();
                        if let Some(replay) = &mut self.replay {
                            replay.keep(piece);
                        }
                    }
                    return Poll::Ready(Ok(piece));
                }
            }
        }
    }

    fn may_be_the_last(&self, piece: &Bytes) -> bool {
        let read = (self.read + piece.len()) as u64;
        self.length == Some(read) && !self.body.is_end_stream()
    }

    fn took(&mut self, piece: Option<Result<Bytes, h2::Error>>) -> Result<Option<Bytes>> {
        let piece = piece
            .transpose()
            .or_err(ReadError, "while reading a body")?;
        if let Some(piece) = &piece {
            let pace = self.pace.got(piece.len());
            pace.or_err(ReadError, "while reading a body")?;
            let _ = self.body.flow_control().release_capacity(piece.len());
        }
        Ok(piece)
    }
}
