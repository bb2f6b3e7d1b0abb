//! One stream of HTTP/2 as the proxy core serves it: its session of the kind that it calls custom.
//!
//! The core has one of its own for HTTP/2, which takes requests off a connection itself (pingora
//! 0.9.1): nobody hears of those that it refuses, interim answers are dropped, nothing bounds the
//! wait for a body, and an answer that breaks off looks like one that was called off.

mod reading;
mod session;

use super::facts::Facts;
use super::fields::content_length;
use super::pace::Pace;
use super::timer::Timer;
use crate::snapshot::ListenerSettings;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use pingora::ErrorType::{H2Error, InternalError, ReadError, ReadTimedout, WriteError};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::http::v2;
use pingora::{Error, OrErr, Result};
use reading::Replay;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// What belongs to one HTTP/1 connection (RFC 9113, section 8.2.2).
static OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request, and the way to answer it.
pub struct Exchange {
    head: RequestHeader,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Takes the answer's body, once its head has been sent.
    writer: Option<SendStream<Bytes>>,
    /// The head of the final answer.
    answered: Option<Box<ResponseHeader>>,
    /// The answer has been sent to its end.
    ended: bool,
    read: usize,
    /// How long the body is, as the head says.
    length: Option<u64>,
    /// The last piece of a body of that length, until it is certain that nothing follows.
    held: Option<Bytes>,
    sent: usize,
    replay: Option<Replay>,
    digest: Arc<Digest>,
    /// Rings when the exchange, or the wait for its body, has taken too long.
    timer: Timer,
    pace: Pace,
    /// Longest wait for a part of the body, until there is an answer.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl Exchange {
    pub fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        digest: Arc<Digest>,
        settings: &ListenerSettings,
    ) -> Self {
        let (head, body) = request.into_parts();
        Self {
            length: content_length(&head.headers),
            held: None,
            head: head.into(),
            body,
            respond,
            writer: None,
            answered: None,
            ended: false,
            read: 0,
            sent: 0,
            replay: None,
            digest,
            timer: Timer::default(),
            pace: Pace::new(settings.min_body_rate),
            read_timeout: Some(settings.idle_timeout),
            write_timeout: Some(settings.write_timeout),
            drain_timeout: Some(super::connection::DRAIN_BODY),
        }
    }

    /// Fails once the exchange has taken too long, or the wait that ends at `until`.
    fn poll_late(&mut self, cx: &mut Context<'_>, until: Option<Instant>) -> Poll<Box<Error>> {
        let deadline = Facts::in_digest_of(&self.digest).and_then(Facts::deadline);
        let Some(first) = [deadline, until].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        ready!(self.timer.poll_passed(cx, first));
        Poll::Ready(match deadline == Some(first) {
            true => {
                let cause = io::Error::new(io::ErrorKind::TimedOut, "the exchange took too long");
                Error::because(ReadError, "while serving a stream", cause)
            }
            false => Error::explain(ReadTimedout, "while waiting for the body"),
        })
    }

    /// Waits for the client to give up, which may never be.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Box<Error>> {
        let reset = match &mut self.writer {
            Some(writer) => writer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        match reset {
            Poll::Pending => self.poll_late(cx, None),
            Poll::Ready(Ok(reason)) => {
                Poll::Ready(Error::explain(H2Error, format!("the client: {reason}")))
            }
            Poll::Ready(Err(error)) => {
                Poll::Ready(Error::because(H2Error, "while waiting for the end", error))
            }
        }
    }

    fn answer(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.answered.is_some() {
            return Ok(());
        }
        for name in &OF_A_CONNECTION {
            head.remove_header(name);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Error::e_explain(InternalError, "a stream does not switch protocols");
        }
        if head.status.is_informational() {
            let interim = Response::from_parts(head.as_owned_parts(), ());
            let told = self.respond.send_informational(interim);
            return down(told.or_err(WriteError, "while writing an interim answer"));
        }
        head.insert_header(header::DATE, get_cached_date())?;
        let answer = Response::from_parts(head.as_owned_parts(), ());
        let writer = self.respond.send_response(answer, end);
        self.writer = Some(down(writer.or_err(WriteError, "while writing an answer"))?);
        self.answered = Some(head);
        self.ended = end;
        Ok(())
    }

    async fn write(&mut self, data: Bytes, end: bool) -> Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) else {
            return Ok(());
        };
        let length = data.len();
        let facts = Facts::in_digest_of(&self.digest);
        if let Some(facts) = facts {
            facts.waits_for_client();
        }
        let written = v2::write_body(writer, data, end, self.write_timeout).await;
        if let Some(facts) = facts {
            facts.hears();
        }
        down(written)?;
        self.sent += length;
        self.ended = end;
        Ok(())
    }

    fn end_with(&mut self, trailers: HeaderMap) -> Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) else {
            return Ok(());
        };
        let sent = writer.send_trailers(trailers);
        down(sent.or_err(WriteError, "while writing trailers"))?;
        self.ended = true;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) else {
            return Ok(());
        };
        let sent = writer.send_data(Bytes::new(), true);
        down(sent.or_err(WriteError, "while ending an answer"))?;
        self.ended = true;
        Ok(())
    }

    /// Writes what the core has for the client. Returns whether that was the end of the answer.
    async fn pass(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ends = false;
        for task in tasks {
            ends |= match task {
                HttpTask::Header(head, end) => {
                    self.answer(head, end)?;
                    end
                }
                HttpTask::Body(data, end) => {
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        self.write(data, end).await?;
                    }
                    end
                }
                HttpTask::Trailer(Some(trailers)) => {
                    self.end_with(*trailers)?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::UpgradedBody(..) => {
                    return Error::e_explain(InternalError, "a stream does not switch protocols");
                }
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if ends {
            self.end()?;
        }
        Ok(ends)
    }
}

impl Drop for Exchange {
    /// An answer that breaks off is no answer: the client must not take it for its own wish, as gRPC
    /// does with CANCEL.
    fn drop(&mut self) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// Writing fails by the client's doing.
fn down<T>(result: Result<T>) -> Result<T> {
    result.map_err(Error::into_down)
}
