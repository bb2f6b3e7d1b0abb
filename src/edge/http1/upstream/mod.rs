//! One try over an HTTP/1.1 connection to an upstream.
//!
//! A request and its answer are independent of each other: an answer may begin, and even end,
//! before the request has been sent (RFC 9112, section 9.5). An upstream that refuses a body often
//! answers and closes at once, so that writes fail while the answer is on its way. A failed write
//! is therefore not an error of the exchange: what remains of the request is discarded, and the
//! answer is read. If there is none, reading reports that the connection has ended.

mod chunked;
mod framing;
mod head;
mod input;
mod reading;
mod request;
mod sending;

use super::output::Output;
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use chunked::Step;
use head::Reader;
use http::{HeaderMap, Method, request as http_request, response};
use input::Input;
use pingora::protocols::Stream;
use reading::Reading;
use request::Asked;
use sending::Sending;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// A request that is sent over a connection, and its answer.
#[derive(Debug)]
pub struct Http1Upstream<S = Stream> {
    io: S,
    output: Output,
    input: Input,
    sending: Sending,
    reading: Reading,
    asked: Asked,
    /// The upstream keeps the connection open behind the answer.
    keeps: bool,
    received: bool,
}

impl<S> Http1Upstream<S> {
    /// Takes a connection on which nothing is on its way, in either direction.
    pub fn new(io: S) -> Self {
        Self {
            io,
            output: Output::default(),
            input: Input::default(),
            sending: Sending::Head,
            reading: Reading::Head(Reader::default()),
            asked: Asked::default(),
            keeps: false,
            received: false,
        }
    }

    /// Whether another request may be sent over the connection: this one and its answer have gone
    /// over it to their ends, nothing came behind, and both sides keep it open.
    pub fn is_reusable(&self) -> bool {
        self.is_sent() && self.is_read() && self.keeps && !self.asked.close && self.input.is_empty()
    }

    /// Whether all of the request has left this process.
    pub fn is_sent(&self) -> bool {
        self.sending == Sending::Nothing && self.output.is_flushed()
    }

    /// Whether all of the answer has been handed over.
    pub const fn is_read(&self) -> bool {
        matches!(self.reading, Reading::Nothing)
    }

    /// Whether any byte of an answer has come.
    pub const fn has_received(&self) -> bool {
        self.received
    }

    /// Gives the connection back. The buffers are dropped.
    pub fn into_stream(self) -> S {
        self.io
    }

    fn fail<T>(&mut self, error: UpstreamError) -> Poll<Result<T, UpstreamError>> {
        self.reading = Reading::Failed(error);
        Poll::Ready(Err(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1Upstream<S> {
    /// Reads once. Returns whether anything came; `false` is the end of the connection.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, UpstreamError>> {
        match ready!(self.input.poll_fill(&mut self.io, cx)) {
            Ok(0) => Poll::Ready(Ok(false)),
            Ok(_) => {
                self.received = true;
                Poll::Ready(Ok(true))
            }
            Err(_) => self.fail(UpstreamError::Closed),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Upstream for Http1Upstream<S> {
    fn send_head(&mut self, head: &http_request::Parts, body: Length) -> Result<(), UpstreamError> {
        // Tunnels are not asked for: a positive answer would have another framing.
        if self.sending != Sending::Head || head.method == Method::CONNECT {
            return Err(UpstreamError::Closed);
        }
        self.asked = request::write(self.output.small(), head, body);
        self.sending = match body {
            Length::None => Sending::Nothing,
            Length::Exact(length) => Sending::Exact(length),
            Length::Unknown => Sending::Chunks,
        };
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        match ready!(self.output.poll_room(&mut self.io, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(self.failed_write()),
        }
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), UpstreamError> {
        self.queue_body(data)
    }

    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), UpstreamError> {
        match self.sending {
            Sending::Discarded => return Ok(()),
            Sending::Raw => self.output.end(),
            Sending::Chunks => request::write_trailers(self.output.small(), trailers.as_ref()),
            Sending::Exact(0) | Sending::Nothing => {}
            Sending::Head | Sending::Exact(_) => return Err(UpstreamError::Closed),
        }
        self.sending = Sending::Nothing;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        match ready!(self.output.poll_flush(&mut self.io, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(self.failed_write()),
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Length), UpstreamError>> {
        loop {
            match self.next_head() {
                Ok(Some(head)) => return Poll::Ready(Ok(self.follow(head))),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
            if !ready!(self.poll_fill(cx))? {
                let error = self.cut_head();
                return self.fail(error);
            }
        }
    }

    fn taken(&self) -> u64 {
        self.output.written()
    }

    fn reads_on(&self) -> bool {
        self.keeps && self.sending != Sending::Discarded
    }

    fn poll_refuses(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sending == Sending::Discarded {
            return Poll::Ready(());
        }
        // Its end, or bytes that belong to no answer. One that only says that it will close takes no
        // further request (RFC 9112, section 9.6); this one it may read until it does.
        self.poll_fill(cx).map(drop)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, UpstreamError>> {
        loop {
            match self.next_frame() {
                Ok(Step::Frame(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(Step::End) => break,
                Ok(Step::More) => {}
                Err(error) => return self.fail(error),
            }
            if !ready!(self.poll_fill(cx))? {
                match self.ends_by_close() {
                    true => break,
                    false => return self.fail(UpstreamError::Closed),
                }
            }
        }
        self.reading = Reading::Nothing;
        Poll::Ready(Ok(None))
    }
}

#[cfg(test)]
mod tests;
