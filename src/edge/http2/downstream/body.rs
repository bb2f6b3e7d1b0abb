//! The body of a request over HTTP/2: read in parts, and no longer or shorter than its head says.

use crate::edge::headers::content_length;
use crate::edge::message::{ClientError, Frame, Length};
use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a body that are read though its request has been answered.
const REST_MAX: usize = 64 * 1024;
/// Longest wait for these bytes.
const REST_TIMEOUT: Duration = Duration::from_secs(2);

type Part = Result<Option<Frame>, ClientError>;

/// Reads a request's body off its stream.
pub struct RequestBody {
    stream: RecvStream,
    /// How long the body is, as the head says.
    length: Option<u64>,
    read: u64,
    /// The last part of a body of that length, until it is certain that nothing follows.
    held: Bytes,
    /// Bytes of the part that was returned last. The client gets room for as many when the next
    /// part is asked for, since this one has been passed on then.
    lent: usize,
    /// Trailers behind a body that the head says is empty.
    trailers: Option<Box<HeaderMap>>,
    ended: bool,
}

impl RequestBody {
    pub fn new(stream: RecvStream, head: &HeaderMap) -> Self {
        Self {
            ended: stream.is_end_stream(),
            stream,
            length: content_length(head),
            read: 0,
            held: Bytes::new(),
            lent: 0,
            trailers: None,
        }
    }

    pub fn length(&self) -> Length {
        match self.length {
            _ if self.ended => Length::None,
            Some(0) => Length::None,
            Some(length) => Length::Exact(length),
            None => Length::Unknown,
        }
    }

    /// Whether nothing is left to read.
    pub fn is_read(&self) -> bool {
        let is_held = !self.held.is_empty() || self.trailers.is_some();
        self.ended || (!is_held && self.stream.is_end_stream())
    }

    /// Returns the next part. The one that makes the body as long as the head says waits for the
    /// end of the stream: were it passed on before, the upstream would have a whole request though
    /// more DATA may show that it is malformed (RFC 9113, section 8.1.1).
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        self.give_room();
        if let Some(trailers) = self.trailers.take() {
            self.ended = true;
            return Poll::Ready(Ok(Some(Frame::Trailers(*trailers))));
        }
        while !self.ended {
            let part = ready!(self.stream.poll_data(cx)).transpose();
            match part.map_err(|error| why(&error))? {
                Some(part) if part.is_empty() => {}
                Some(part) if self.may_be_the_last(&part) => self.held = part,
                Some(part) => return Poll::Ready(self.pass(part)),
                None if !self.held.is_empty() => {
                    let part = std::mem::take(&mut self.held);
                    return Poll::Ready(self.pass(part));
                }
                None => return self.poll_end(cx),
            }
        }
        Poll::Ready(Ok(None))
    }

    fn may_be_the_last(&self, part: &Bytes) -> bool {
        self.length == Some(self.read + part.len() as u64) && !self.stream.is_end_stream()
    }

    fn pass(&mut self, part: Bytes) -> Part {
        // The library resets a stream whose DATA is longer than its length.
        if !self.held.is_empty() {
            return Err(ClientError::Malformed);
        }
        self.read += part.len() as u64;
        self.lent = part.len();
        Ok(Some(Frame::Data(part)))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(|error| why(&error))?;
        self.ended = true;
        match self.length {
            Some(length) if length != self.read => Poll::Ready(Err(ClientError::Malformed)),
            _ => Poll::Ready(Ok(trailers.map(Frame::Trailers))),
        }
    }

    /// Lets the client send as much as has been passed on.
    fn give_room(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        if lent > 0 {
            // Fails only where the stream has been reset.
            let _ = self.stream.flow_control().release_capacity(lent);
        }
    }

    /// Ready once a body that its head says is empty has ended; the library resets a stream that
    /// contradicts its head. Returns whether trailers have come.
    pub fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ClientError>> {
        while self.length == Some(0) && !self.ended && self.trailers.is_none() {
            let part = ready!(self.stream.poll_data(cx)).transpose();
            if part.map_err(|error| why(&error))?.is_none() {
                let trailers = ready!(self.stream.poll_trailers(cx));
                self.trailers = trailers.map_err(|error| why(&error))?.map(Box::new);
                self.ended = self.trailers.is_none();
            }
        }
        Poll::Ready(Ok(self.trailers.is_some()))
    }

    /// Reads the rest of a body whose request has been answered, if it is small and comes soon.
    pub async fn drain(&mut self) {
        let left = self.length.map(|length| length.saturating_sub(self.read));
        if left.is_none_or(|left| left > REST_MAX as u64) {
            return;
        }
        let mut room = REST_MAX;
        let rest = async {
            while !self.is_read() && room > 0 {
                self.give_room();
                match poll_fn(|cx| self.stream.poll_data(cx)).await {
                    Some(Ok(part)) => {
                        self.lent = part.len();
                        room = room.saturating_sub(part.len());
                    }
                    Some(Err(_)) | None => return,
                }
            }
        };
        let _ = timeout(REST_TIMEOUT, rest).await;
    }

    /// Returns why a stream has been reset. What is left of its body is dropped.
    pub fn why_reset(&mut self, cx: &mut Context<'_>) -> ClientError {
        loop {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return why(&error),
                Poll::Ready(None) | Poll::Pending => return ClientError::Gone,
            }
        }
    }
}

/// The library itself resets streams whose messages are malformed.
fn why(error: &h2::Error) -> ClientError {
    match error.is_reset() && error.is_library() {
        true => ClientError::Malformed,
        false => ClientError::Gone,
    }
}
