//! The answer to a request over HTTP/2. Nothing of a body goes to the library before the client's
//! window has room for it, so that the library holds a bounded part of it.

use crate::edge::date;
use crate::edge::headers::{KEEP_ALIVE, PROXY_CONNECTION};
use crate::edge::http2::connection::SEND_BUFFER;
use crate::edge::message::{ClientError, Length};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use std::mem;
use std::task::{Context, Poll, ready};

/// How far an answer is.
enum State {
    /// No final head has been sent.
    Waiting,
    /// The body is on its way.
    Streaming,
    /// The end waits for the last part of the body, with these trailers behind it.
    Ending(Option<HeaderMap>),
    /// The end has been sent.
    Ended,
    /// The stream has been reset, by either side, or its connection is gone.
    Broken,
}

/// Writes an answer to its stream.
pub struct Answer {
    respond: SendResponse<Bytes>,
    /// Takes the body, once the head has been sent.
    writer: Option<SendStream<Bytes>>,
    /// The last part of the body, which may be sent together with the end.
    pending: Bytes,
    state: State,
    /// Bytes of the body that the library has taken, for which the client's window had room.
    taken: u64,
}

impl Answer {
    pub fn new(respond: SendResponse<Bytes>) -> Self {
        Self {
            respond,
            writer: None,
            pending: Bytes::new(),
            state: State::Waiting,
            taken: 0,
        }
    }

    /// Returns how much of the body the client's window has let through.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    pub fn send_interim(&mut self, mut head: response::Parts) -> Result<(), ClientError> {
        match self.state {
            State::Broken => return Err(ClientError::Gone),
            State::Waiting if head.status.is_informational() => {}
            _ => return Ok(()),
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(()); // which does not exist over HTTP/2 (RFC 9113, section 8.6)
        }
        strip(&mut head.headers);
        let sent = self
            .respond
            .send_informational(Response::from_parts(head, ()));
        self.check(sent)
    }

    pub fn send_head(
        &mut self,
        mut head: response::Parts,
        length: Length,
    ) -> Result<(), ClientError> {
        match self.state {
            State::Waiting => {}
            State::Broken => return Err(ClientError::Gone),
            _ => return Ok(()),
        }
        strip(&mut head.headers);
        match length {
            Length::Exact(length) => {
                let length = HeaderValue::from(length);
                head.headers.insert(header::CONTENT_LENGTH, length);
            }
            // RFC 9110, section 8.6: not with 204.
            Length::None if head.status != StatusCode::NO_CONTENT => {}
            Length::None | Length::Unknown => drop(head.headers.remove(header::CONTENT_LENGTH)),
        }
        if !head.headers.contains_key(header::DATE)
            && let Ok(now) = HeaderValue::from_bytes(&date::now())
        {
            head.headers.insert(header::DATE, now);
        }
        let ends = length == Length::None;
        let answer = Response::from_parts(head, ());
        let writer = self.respond.send_response(answer, ends);
        self.writer = Some(self.check(writer)?);
        self.state = match ends {
            true => State::Ended,
            false => State::Streaming,
        };
        Ok(())
    }

    /// Queues a part of the body; the one before goes to the library.
    pub fn send_data(&mut self, data: Bytes) -> Result<(), ClientError> {
        match self.state {
            State::Streaming if !data.is_empty() => {}
            State::Broken => return Err(ClientError::Gone),
            _ => return Ok(()),
        }
        let before = mem::replace(&mut self.pending, data);
        match before.is_empty() {
            true => Ok(()),
            false => self.write(before, false),
        }
    }

    pub fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), ClientError> {
        match self.state {
            State::Streaming => {}
            State::Broken => return Err(ClientError::Gone),
            _ => return Ok(()),
        }
        self.state = State::Ending(trailers.filter(|trailers| !trailers.is_empty()));
        match self.pending.is_empty() || self.room() >= self.pending.len() {
            true => self.conclude(),
            false => Ok(()),
        }
    }

    /// Ready when the window has room for all of the part that waits.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if matches!(self.state, State::Broken) {
            return Poll::Ready(Err(ClientError::Gone));
        }
        while !self.pending.is_empty() {
            let room = self.room();
            if room >= self.pending.len() {
                break;
            }
            if room > 0 {
                let part = self.pending.split_to(room);
                self.write(part, false)?;
                continue;
            }
            let Some(writer) = &mut self.writer else {
                break;
            };
            let room = ready!(writer.poll_capacity(cx));
            self.check(room.unwrap_or_else(|| Err(Reason::CANCEL.into())))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the library has all that was queued, and the window has room for it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        ready!(self.poll_ready(cx))?;
        if matches!(self.state, State::Ending(_)) {
            return Poll::Ready(self.conclude());
        }
        let rest = mem::take(&mut self.pending);
        Poll::Ready(match rest.is_empty() {
            true => Ok(()),
            false => self.write(rest, false),
        })
    }

    /// Ready once the stream has been reset, or its connection has ended.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, State::Broken) {
            return Poll::Ready(());
        }
        let reset = match &mut self.writer {
            Some(writer) => writer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        let _ = ready!(reset);
        if !self.has_ended() {
            self.state = State::Broken;
        }
        Poll::Ready(())
    }

    /// Resets the stream, unless the answer has ended.
    pub fn reset(&mut self, reason: Reason) {
        if !self.has_ended() {
            self.respond.send_reset(reason);
            self.state = State::Broken;
            self.pending = Bytes::new();
        }
    }

    /// Asks for room for the part that waits. Returns how much of it can be sent.
    fn room(&mut self) -> usize {
        let wanted = self.pending.len().min(SEND_BUFFER);
        self.writer.as_mut().map_or(0, |writer| {
            writer.reserve_capacity(wanted);
            writer.capacity()
        })
    }

    /// Sends what is left, and the end.
    fn conclude(&mut self) -> Result<(), ClientError> {
        let State::Ending(trailers) = mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        let rest = mem::take(&mut self.pending);
        let Some(mut trailers) = trailers else {
            return self.write(rest, true);
        };
        if !rest.is_empty() {
            self.write(rest, false)?;
        }
        strip(&mut trailers);
        let sent = match &mut self.writer {
            Some(writer) => writer.send_trailers(trailers),
            None => Ok(()),
        };
        self.check(sent)
    }

    fn write(&mut self, data: Bytes, end: bool) -> Result<(), ClientError> {
        self.taken += data.len() as u64;
        let sent = match &mut self.writer {
            Some(writer) => writer.send_data(data, end),
            None => Ok(()),
        };
        self.check(sent)
    }

    fn check<T>(&mut self, result: Result<T, h2::Error>) -> Result<T, ClientError> {
        result.map_err(|error| {
            tracing::debug!(%error, "an answer over HTTP/2 broke off");
            self.state = State::Broken;
            ClientError::Gone
        })
    }
}

impl Drop for Answer {
    /// An answer that breaks off is no answer: the client must not take it for its own wish, as
    /// gRPC does with CANCEL.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// Removes what belongs to one HTTP/1 connection (RFC 9113, section 8.2.2).
fn strip(headers: &mut HeaderMap) {
    for name in [
        &header::CONNECTION,
        &header::TRANSFER_ENCODING,
        &header::UPGRADE,
        &header::TE,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}
