//! One stream of HTTP/2 as the client's side of an exchange.

mod answer;
mod body;
mod websocket;

use crate::edge::http1::request_head::Refused;
use crate::edge::http2::request_head::asks_for_websocket;
use crate::edge::message::{ClientError, ClientLimits, Downstream, Frame, Length, Request};
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::timer::Timer;
use crate::edge::transport::websocket::Goodbye;
use answer::Answer;
use body::RequestBody;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, response};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Whether a stream becomes a WebSocket.
enum Switch {
    No,
    /// The client asks for one; nothing of it is read before the answer.
    Offered(Arc<ConnectionInfo>),
    Done(Box<Goodbye>),
}

/// A request's body, and the way to answer it.
///
/// An answer has been sent once [`Downstream::poll_flush`] was ready behind its end. A stream that
/// is dropped before is reset with `INTERNAL_ERROR`.
pub struct Http2Stream {
    body: RequestBody,
    answer: Answer,
    switch: Switch,
    timer: Timer,
}

impl Http2Stream {
    /// Takes a stream whose head has been judged ([`crate::edge::http2::request_head::judge`]).
    /// Returns its request, a refused one too: the refusal is in the head's extensions.
    pub fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        connection: &Arc<ConnectionInfo>,
        limits: ClientLimits,
        timer: Timer,
    ) -> (Request, Self) {
        let (mut head, stream) = request.into_parts();
        let body = RequestBody::new(stream, &head.headers);
        let refused = head.extensions.get::<Refused>().is_some();
        let websocket = !refused && asks_for_websocket(&head);
        if websocket {
            websocket::offer(&mut head);
        }
        let length = match websocket {
            true => Length::None,
            false => body.length(),
        };
        let switch = match websocket {
            true => Switch::Offered(connection.clone()),
            false => Switch::No,
        };
        let answer = Answer::new(respond);
        let request = Request {
            head,
            body: length,
            websocket,
            connects: websocket,
            limits,
        };
        let stream = Self {
            body,
            answer,
            switch,
            timer,
        };
        (request, stream)
    }

    /// Ends the stream. The rest of an upload is read if it is little; otherwise the library asks
    /// the client to stop it: a stream that is dropped while its client sends, and whose answer has
    /// ended, is reset with `NO_ERROR` (RFC 9113, section 8.1).
    pub async fn finish(&mut self) {
        if self.answer.has_ended() {
            self.body.drain().await;
        }
    }

    /// Gives the timer back, for another stream.
    pub fn take_timer(&mut self) -> Timer {
        std::mem::take(&mut self.timer)
    }

    /// Tells the client that the process leaves, where a frame for it has ended.
    fn tell_client(&mut self) -> Result<(), ClientError> {
        match &mut self.switch {
            Switch::Done(goodbye) => match goodbye.for_client() {
                Some(close) => self.answer.send_data(close),
                None => Ok(()),
            },
            Switch::No | Switch::Offered(_) => Ok(()),
        }
    }
}

impl Downstream for Http2Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>> {
        match &mut self.switch {
            Switch::No => return self.body.poll_frame(cx),
            Switch::Offered(_) => return Poll::Ready(Ok(None)),
            Switch::Done(goodbye) => {
                if goodbye.poll_leaving(cx) {
                    self.tell_client()?;
                }
            }
        }
        let Switch::Done(goodbye) = &mut self.switch else {
            return Poll::Ready(Ok(None));
        };
        if goodbye.is_told() {
            return Poll::Ready(Ok(goodbye.for_upstream().map(Frame::Data)));
        }
        // A WebSocket has no trailers.
        match ready!(self.body.poll_frame(cx))? {
            Some(Frame::Data(data)) => {
                goodbye.passes_to_upstream(&data);
                Poll::Ready(Ok(Some(Frame::Data(data))))
            }
            Some(Frame::Trailers(_)) | None => Poll::Ready(Ok(None)),
        }
    }

    fn is_read(&self) -> bool {
        matches!(self.switch, Switch::Offered(_)) || self.body.is_read()
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ClientError>> {
        match self.switch {
            Switch::No => self.body.poll_whole(cx),
            Switch::Offered(_) | Switch::Done(_) => Poll::Ready(Ok(false)),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        ready!(self.answer.poll_reset(cx));
        Poll::Ready(self.body.why_reset(cx))
    }

    fn send_interim(&mut self, head: response::Parts) -> Result<(), ClientError> {
        self.answer.send_interim(head)
    }

    fn send_head(&mut self, head: response::Parts, length: Length) -> Result<(), ClientError> {
        self.answer.send_head(head, length)
    }

    fn switch(&mut self, mut head: response::Parts) -> Result<(), ClientError> {
        websocket::accept(&mut head);
        self.answer.send_head(head, Length::Unknown)?;
        if let Switch::Offered(connection) = &self.switch {
            let goodbye = Goodbye::new(&connection.drain);
            self.switch = Switch::Done(Box::new(goodbye));
        }
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.answer.poll_ready(cx)
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), ClientError> {
        if let Switch::Done(goodbye) = &mut self.switch
            && !goodbye.passes_to_client(&data)
        {
            return Ok(()); // nothing follows the close
        }
        self.answer.send_data(data)?;
        self.tell_client()
    }

    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), ClientError> {
        self.answer.send_end(trailers)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.answer.poll_flush(cx)
    }

    fn abort(&mut self) {
        self.answer.reset(Reason::INTERNAL_ERROR);
    }

    fn close_after(&mut self) {}

    fn reads_rest(&mut self) {}

    fn taken(&self) -> u64 {
        self.answer.taken()
    }

    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}
