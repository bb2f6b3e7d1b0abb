//! One exchange on one stream of a connection.
//!
//! Reading and writing do not depend on each other: an upstream may answer before it has read the
//! request, and may then stop reading it (RFC 9113, section 8.1). What ends the stream is told by
//! the reading half, after all that the upstream sent before; the writing half only stops.

use super::claim::Lease;
use super::upload::Upload;
use super::{head, meaning};
use crate::edge::filters::grpc;
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::uri::Scheme;
use http::{HeaderMap, Method, request, response};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Head = Result<(response::Parts, Length), UpstreamError>;

/// A stream to an upstream. Its drop before the end of the exchange tells the upstream so.
pub struct Http2Upstream {
    scheme: Scheme,
    to_head: bool,
    sender: SendRequest<Bytes>,
    upload: Option<Upload>,
    answer: Answer,
    /// The upstream has said something: an interim answer, or the head of the final one.
    has_said: bool,
    /// A head that was looked at before it was asked for.
    next_head: Option<Head>,
    /// What the upstream is told if the exchange ends early.
    farewell: Reason,
    /// Last, so that the stream has ended when another request gets its place.
    lease: Lease,
}

/// The reading half.
enum Answer {
    /// The request has not been sent.
    Unasked,
    Awaited(ResponseFuture),
    Body(Body),
    Ended,
}

struct Body {
    stream: RecvStream,
    /// There must be no data.
    bare: bool,
    /// What of the window is given back once the next part is asked for.
    unreleased: usize,
    at_trailers: bool,
    /// Bytes that are to come, where the head says so and no trailers matter.
    left: Option<u64>,
    /// The end has been seen.
    ended: bool,
}

impl Http2Upstream {
    pub(super) fn new(sender: SendRequest<Bytes>, scheme: Scheme, lease: Lease) -> Self {
        Self {
            scheme,
            to_head: false,
            sender,
            upload: None,
            answer: Answer::Unasked,
            has_said: false,
            next_head: None,
            farewell: Reason::CANCEL,
            lease,
        }
    }

    /// Keeps new streams off the connection, since this one got no answer in time and the next
    /// might not either. Streams that are there go on.
    pub fn suspect(&self) {
        self.lease.retire();
    }

    fn malformed(&mut self, why: &'static str) -> UpstreamError {
        self.farewell = Reason::PROTOCOL_ERROR;
        UpstreamError::Malformed(why)
    }

    /// What has been answered, be it by an interim answer, has been processed.
    fn meaning(&self, error: &h2::Error) -> UpstreamError {
        match meaning(error) {
            UpstreamError::Unprocessed if self.has_said => UpstreamError::Reset,
            other => other,
        }
    }

    fn poll_next_head(&mut self, cx: &mut Context<'_>) -> Poll<Head> {
        let Answer::Awaited(response) = &mut self.answer else {
            return Poll::Ready(Err(UpstreamError::Closed));
        };
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            let (head, ()) = interim.map_err(|error| self.meaning(&error))?.into_parts();
            self.has_said = true;
            let checked = head::check_interim(&head);
            checked.map_err(|why| self.malformed(why))?;
            return Poll::Ready(Ok((head, Length::None)));
        }
        let answer = ready!(Pin::new(response).poll(cx));
        let (head, stream) = answer.map_err(|error| self.meaning(&error))?.into_parts();
        self.has_said = true;
        let checked = head::check(&head.headers);
        checked.map_err(|why| self.malformed(why))?;
        let ended = stream.is_end_stream();
        let length = head::length(&head, self.to_head, ended);
        self.answer = match ended {
            true => Answer::Ended,
            false => Answer::Body(Body {
                stream,
                bare: head::is_bare(head.status),
                unreleased: 0,
                at_trailers: false,
                left: match length {
                    Length::None => Some(0),
                    // The end of a call is in its trailers.
                    Length::Exact(length) if !grpc::is_grpc(&head.headers) => Some(length),
                    Length::Exact(_) | Length::Unknown => None,
                },
                ended: false,
            }),
        };
        Poll::Ready(Ok((head, length)))
    }

    /// Writes what is pending.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        let Some(upload) = &mut self.upload else {
            return Poll::Ready(Ok(()));
        };
        ready!(upload.poll(cx));
        if upload.is_stopped() && matches!(self.answer, Answer::Awaited(_)) {
            return Poll::Ready(self.look_ahead(cx));
        }
        Poll::Ready(Ok(()))
    }

    /// Whether an answer comes although its upstream reads no more of the request.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        if self.next_head.is_none()
            && let Poll::Ready(head) = self.poll_next_head(cx)
        {
            self.next_head = Some(head);
        }
        match self.next_head {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Body {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, h2::Error>> {
        let polled = self.poll_stream(cx);
        match &polled {
            Poll::Ready(Ok(Some(Frame::Data(data)))) => {
                let length = data.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
            }
            // When a connection ends, the library forgets that an answer had ended on it whose
            // request was still on its way.
            Poll::Ready(Err(error))
                if meaning(error) == UpstreamError::Closed
                    && (self.ended || self.left == Some(0)) =>
            {
                return Poll::Ready(Ok(None));
            }
            _ => {}
        }
        if self.left.is_none() {
            self.ended |= self.stream.is_end_stream();
        }
        polled
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, h2::Error>> {
        if self.unreleased > 0 {
            // It fails for more than was received, which this is not.
            let _ = self.stream.flow_control().release_capacity(self.unreleased);
            self.unreleased = 0;
        }
        while !self.at_trailers {
            match ready!(self.stream.poll_data(cx)).transpose()? {
                // An empty part says nothing, and would end a body that goes on in chunks.
                Some(data) if data.is_empty() => {}
                Some(data) => {
                    self.unreleased = data.len();
                    return Poll::Ready(Ok(Some(Frame::Data(data))));
                }
                None => self.at_trailers = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(Ok(trailers.map(Frame::Trailers)))
    }
}

impl Upstream for Http2Upstream {
    fn send_head(&mut self, head: &request::Parts, body: Length) -> Result<(), UpstreamError> {
        let request = head::request(head, &self.scheme, body);
        let empty = body == Length::None;
        // A gRPC request ends with a DATA frame, also where that is all of its body: "Requests" in
        // gRPC's PROTOCOL-HTTP2.md. Some servers wait for it.
        let end_in_data = empty && grpc::is_grpc(&head.headers);
        match self.sender.send_request(request, empty && !end_in_data) {
            Ok((response, stream)) => {
                let mut upload = Upload::new(stream, empty && !end_in_data);
                if end_in_data {
                    upload.end(None);
                }
                self.to_head = head.method == Method::HEAD;
                self.upload = Some(upload);
                self.answer = Answer::Awaited(response);
                Ok(())
            }
            // The connection has ended, is ending, or has no stream numbers left.
            Err(error) => {
                tracing::debug!(%error, "HTTP/2 connection takes no request");
                self.suspect();
                Err(UpstreamError::Unprocessed)
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        self.poll_write(cx)
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), UpstreamError> {
        let upload = self.upload.as_mut();
        match upload.is_some_and(|upload| upload.data(data)) {
            true => Ok(()),
            // Out of turn: a body with a gap would be worse than none.
            false => Err(UpstreamError::Closed),
        }
    }

    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), UpstreamError> {
        if let Some(upload) = &mut self.upload {
            upload.end(trailers.map(head::trailers));
        }
        Ok(())
    }

    /// Ready once the library has all: it writes on its own, and does not say when.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        self.poll_write(cx)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Head> {
        match self.next_head.take() {
            Some(head) => Poll::Ready(head),
            None => self.poll_next_head(cx),
        }
    }

    fn taken(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::taken)
    }

    fn reads_on(&self) -> bool {
        self.upload
            .as_ref()
            .is_some_and(|upload| !upload.is_stopped())
    }

    fn poll_refuses(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.upload {
            Some(upload) => upload.poll_stopped(cx),
            None => Poll::Ready(()),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, UpstreamError>> {
        let Answer::Body(body) = &mut self.answer else {
            return Poll::Ready(Ok(None));
        };
        let bare = body.bare;
        match ready!(body.poll(cx)) {
            Ok(Some(Frame::Data(_))) if bare => {
                Poll::Ready(Err(self.malformed("an answer that has no content has some")))
            }
            Ok(Some(Frame::Trailers(trailers))) => {
                head::check(&trailers).map_err(|why| self.malformed(why))?;
                self.answer = Answer::Ended;
                Poll::Ready(Ok(Some(Frame::Trailers(trailers))))
            }
            Ok(Some(data)) => Poll::Ready(Ok(Some(data))),
            Ok(None) => {
                self.answer = Answer::Ended;
                Poll::Ready(Ok(None))
            }
            Err(error) => Poll::Ready(Err(self.meaning(&error))),
        }
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        let read = matches!(self.answer, Answer::Ended) || self.is_read();
        if let Some(upload) = &mut self.upload
            && !(read && upload.is_over())
        {
            upload.reset(self.farewell);
        }
    }
}

impl Http2Upstream {
    /// Whether all of the answer has come, though its end was not asked for.
    fn is_read(&self) -> bool {
        match &self.answer {
            Answer::Body(body) => body.stream.is_end_stream(),
            Answer::Unasked | Answer::Awaited(_) | Answer::Ended => false,
        }
    }
}
