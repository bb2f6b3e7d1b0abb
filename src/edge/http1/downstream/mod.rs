//! A client connection of HTTP/1 as the client's side of one exchange after the other (RFC 9112).

mod answer;
mod end;
mod input;
mod request;
#[cfg(test)]
mod tests;

use super::canonicalize;
use super::output::Output;
use crate::edge::http1::request_head::{Head, Refused};
use crate::edge::message::{ClientError, ClientLimits, Downstream, Frame, Length, Request};
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::socket::Socket;
use crate::edge::transport::timer::Timer;
use crate::edge::transport::websocket::Goodbye;
use crate::reason::Reason;
use answer::Answer;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version, response};
use input::Input;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// One connection, from head to head.
#[derive(Debug)]
pub struct Http1Client {
    socket: Socket,
    info: Arc<ConnectionInfo>,
    input: Input,
    output: Output,
    answer: Answer,
    /// Whether another request may follow the one in progress.
    keeps: bool,
    /// The body of the request in progress will be read to its end behind the answer.
    reads_rest: bool,
    /// The connection cannot be used any more.
    broken: bool,
    /// Set once the connection has become a WebSocket.
    goodbye: Option<Box<Goodbye>>,
    /// Rings when the next head has taken too long.
    timer: Timer,
}

impl Http1Client {
    /// `ahead` has been read off the socket already.
    pub fn new(socket: Socket, ahead: BytesMut, info: Arc<ConnectionInfo>) -> Self {
        Self {
            socket,
            info,
            input: Input::new(ahead),
            output: Output::default(),
            answer: Answer::new(Version::HTTP_11, false),
            keeps: true,
            reads_rest: false,
            broken: false,
            goodbye: None,
            timer: Timer::default(),
        }
    }

    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// What has been read, and not yet taken.
    pub fn ahead(&self) -> &[u8] {
        &self.input.ahead
    }

    /// Gives up the connection, with what has been read off it.
    pub fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.input.ahead)
    }

    /// Whether the kernel has nothing from the client, not even its end.
    pub fn is_quiet(&self) -> bool {
        self.socket.is_quiet()
    }

    /// Reads more of a head. 0: the client has closed.
    ///
    /// # Errors
    /// `TimedOut` once `deadline` has passed.
    pub fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(read) = self.input.poll_head(&mut self.socket, cx) {
            return Poll::Ready(read);
        }
        ready!(self.timer.poll_passed(cx, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Begins the exchange whose head is complete in [`Self::ahead`].
    ///
    /// # Errors
    /// When the request is refused. Nothing more can be read then.
    pub fn begin(&mut self, head: &Head, limits: ClientLimits) -> Result<Request, Refused> {
        let ahead = &mut self.input.ahead;
        let mut bytes = match head.end >= ahead.len() {
            true => std::mem::take(ahead),
            false => ahead.split_to(head.end),
        };
        bytes.advance(head.start.min(bytes.len()));
        if head.https && self.info.secured.is_none() {
            return Err(NOT_SECURE);
        }
        let bytes = canonicalize::head(bytes, head)?.freeze();
        let (request, wishes) = request::read(&bytes, head, limits)?;
        self.input.begin(head.body, wishes.expects);
        let to_head = request.head.method == Method::HEAD;
        self.answer = Answer::new(request.head.version, to_head);
        (self.keeps, self.broken, self.reads_rest) = (wishes.keeps, false, false);
        Ok(request)
    }

    /// Whether another request may follow, as far as is known before the answer's head.
    fn may_keep(&self) -> bool {
        // A request that has arrived already is answered, though the listener drains.
        let follows = self.input.is_read() && !self.input.ahead.is_empty();
        let ends = self.reads_rest || self.input.is_drainable();
        self.keeps && ends && (follows || !self.info.closes())
    }

    fn check(&self) -> Result<(), ClientError> {
        match self.broken {
            true => Err(ClientError::Gone),
            false => Ok(()),
        }
    }

    fn broke<T>(&mut self, _: io::Error) -> Result<T, ClientError> {
        self.broken = true;
        self.output.discard();
        Err(ClientError::Gone)
    }

    /// Tells the client that the process leaves, where a frame for it has ended.
    fn tell_client(&mut self) {
        let close = self
            .goodbye
            .as_mut()
            .and_then(|goodbye| goodbye.for_client());
        if let Some(close) = close {
            self.answer.data(&mut self.output, close);
        }
    }

    /// Looks whether the process leaves.
    fn poll_leaving(&mut self, cx: &mut Context<'_>) {
        let leaving = self
            .goodbye
            .as_mut()
            .is_some_and(|goodbye| goodbye.poll_leaving(cx));
        if leaving {
            self.tell_client();
        }
    }

    /// Reads from a client that speaks WebSocket.
    fn poll_switched(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        self.poll_leaving(cx);
        let told = self
            .goodbye
            .as_ref()
            .is_some_and(|goodbye| goodbye.is_told());
        if told {
            // Nothing else makes the exchange write.
            if let Poll::Ready(Err(error)) = self.output.poll_flush(&mut self.socket, cx) {
                return Poll::Ready(self.broke(error));
            }
            let close = self
                .goodbye
                .as_mut()
                .and_then(|goodbye| goodbye.for_upstream());
            return Poll::Ready(Ok(close.map(Frame::Data)));
        }
        let frame = ready!(self.input.poll_frame(&mut self.socket, cx));
        if let (Ok(Some(Frame::Data(data))), Some(goodbye)) = (&frame, &mut self.goodbye) {
            goodbye.passes_to_upstream(data);
        }
        Poll::Ready(frame)
    }
}

impl Downstream for Http1Client {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        match self.goodbye {
            None => self.input.poll_frame(&mut self.socket, cx),
            Some(_) => self.poll_switched(cx),
        }
    }

    fn is_read(&self) -> bool {
        self.input.is_read()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        self.input.poll_gone(&mut self.socket, cx)
    }

    fn send_interim(&mut self, head: response::Parts) -> Result<(), ClientError> {
        self.check()?;
        if head.status == StatusCode::CONTINUE {
            self.input.asked();
        }
        self.answer.interim(&mut self.output, &head);
        Ok(())
    }

    fn send_head(&mut self, head: response::Parts, length: Length) -> Result<(), ClientError> {
        self.check()?;
        if self.answer.is_due() {
            let keeps = self.may_keep();
            self.keeps = self.answer.head(&mut self.output, &head, length, keeps);
        }
        Ok(())
    }

    fn switch(&mut self, head: response::Parts) -> Result<(), ClientError> {
        self.check()?;
        self.keeps = false;
        self.answer.switch(&mut self.output, &head);
        self.input.switch();
        self.goodbye = Some(Box::new(Goodbye::new(&self.info.drain)));
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.check()?;
        match ready!(self.output.poll_room(&mut self.socket, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(self.broke(error)),
        }
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), ClientError> {
        self.check()?;
        if let Some(goodbye) = &mut self.goodbye
            && !goodbye.passes_to_client(&data)
        {
            return Ok(()); // nothing follows the goodbye
        }
        self.keeps &= self.answer.data(&mut self.output, data);
        self.tell_client();
        Ok(())
    }

    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), ClientError> {
        self.check()?;
        if !self.answer.end(&mut self.output, trailers.as_ref()) {
            self.abort();
        }
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.check()?;
        self.poll_leaving(cx);
        match ready!(self.output.poll_flush(&mut self.socket, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(self.broke(error)),
        }
    }

    fn abort(&mut self) {
        if self.answer.is_whole() && self.output.is_flushed() {
            self.keeps = false;
            return;
        }
        (self.broken, self.keeps) = (true, false);
        if self.answer.ends_by_close() {
            self.output.discard();
            self.socket.reset_on_close();
        }
    }

    fn close_after(&mut self) {
        self.keeps = false;
    }

    fn reads_rest(&mut self) {
        self.reads_rest = true;
    }

    fn taken(&self) -> u64 {
        self.output.written()
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// RFC 9110, section 7.4.
const NOT_SECURE: Refused = Refused {
    reason: Reason::BadRequest,
    status: 421,
    detail: "what is asked for is not served without TLS",
};
