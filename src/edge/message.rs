//! The seam between protocols and the exchange: what a request, a body and an answer are, whatever
//! protocol carries them.
//!
//! A client protocol implements [`Downstream`], an upstream protocol [`Upstream`]. The exchange
//! drives both from one task: it polls, and what it sends is queued until it asks for a flush.
//! Deadlines, silence and rates are the exchange's, so that they are the same for all protocols.

use super::transport::connection_info::ConnectionInfo;
use super::transport::timer::Timer;
use crate::snapshot::ListenerSettings;
use bytes::Bytes;
use http::{HeaderMap, request, response};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A part of a body, or the trailers behind it.
#[derive(Debug)]
pub enum Frame {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// How much content a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// No content at all: no body follows the head.
    None,
    /// So many bytes.
    Exact(u64),
    /// As much as comes until the end.
    Unknown,
}

/// A request as a client protocol hands it over, in the one form that all protocols share: the
/// target is in origin form (or `*`), the host stands in the target's authority (HTTP/2) or in
/// `Host`, and the lines of `Connection` and `Cookie` are one each.
#[derive(Debug)]
pub struct Request {
    pub head: request::Parts,
    pub body: Length,
    /// The client offers to speak WebSocket: `Connection`, `Upgrade` and `Sec-WebSocket-Key` stand
    /// in the head as HTTP/1.1 has them (RFC 6455, section 4.1), also where HTTP/2 asked (RFC
    /// 8441).
    pub websocket: bool,
    /// The offer is an extended CONNECT: to it, any status of success says that the protocols have
    /// been switched (RFC 9110, section 9.3.6).
    pub connects: bool,
    pub limits: ClientLimits,
}

/// What is asked of a client while a request is served.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Longest wait for the end of a request that says that it has no body.
    pub head_wait: Duration,
    /// Longest wait for a part of the request's body.
    pub body_wait: Duration,
    /// Fewest bytes of body a second; 0: any.
    pub min_body_rate: u64,
    /// Longest time in which the client takes nothing of the answer.
    pub write_wait: Duration,
}

impl From<&ListenerSettings> for ClientLimits {
    fn from(settings: &ListenerSettings) -> Self {
        Self {
            head_wait: settings.header_timeout,
            body_wait: settings.idle_timeout,
            min_body_rate: settings.min_body_rate,
            write_wait: settings.write_timeout,
        }
    }
}

/// Why the client's side has ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// The client has closed its connection, or reset its stream.
    Gone,
    /// The body is not what its framing allows.
    Malformed,
}

/// Why the upstream's side has ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamError {
    /// The connection ended, or broke.
    Closed,
    /// The upstream has reset the stream.
    Reset,
    /// The upstream says that it has not processed the request, so that any may be sent once more
    /// (RFC 9113, section 8.7).
    Unprocessed,
    /// The answer is not what the protocol allows.
    Malformed(&'static str),
}

/// The client's side of one exchange.
pub trait Downstream: Send {
    /// Returns the next part of the request's body; `None` at its end. After [`Downstream::switch`]
    /// the parts are the bytes of the other protocol, and `None` says that the client sends no
    /// more.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, ClientError>>;

    /// Whether nothing of the request's body is left to read.
    fn is_read(&self) -> bool;

    /// Ready once a request whose head says that it has no body has ended, where the head does not
    /// end it by itself (HTTP/2). Returns whether trailers are there, for [`Self::poll_frame`].
    fn poll_whole(&mut self, _: &mut Context<'_>) -> Poll<Result<bool, ClientError>> {
        Poll::Ready(Ok(false))
    }

    /// Ready once the client has left. Takes nothing off the body, nor of a request that follows.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<ClientError>;

    /// Queues an interim answer (1xx without 101). Clients of HTTP/1.0 get none.
    ///
    /// # Errors
    /// When the client has left.
    fn send_interim(&mut self, head: response::Parts) -> Result<(), ClientError>;

    /// Queues the head of the final answer; fields of framing (`Content-Length`,
    /// `Transfer-Encoding`, `Connection`, `Date`) are set by the protocol. With [`Length::None`]
    /// the answer ends here, and a `Content-Length` in the head stays as it is (answers to `HEAD`,
    /// 304).
    ///
    /// # Errors
    /// When the client has left.
    fn send_head(&mut self, head: response::Parts, length: Length) -> Result<(), ClientError>;

    /// Queues the answer that switches to WebSocket (a head of 101 as the upstream gave it): 101
    /// over HTTP/1.1, 200 over HTTP/2.
    ///
    /// # Errors
    /// When the client has left.
    fn switch(&mut self, head: response::Parts) -> Result<(), ClientError>;

    /// Ready when another part of the answer can be queued.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>>;

    /// Queues a part of the answer's body.
    ///
    /// # Errors
    /// When the client has left.
    fn send_data(&mut self, data: Bytes) -> Result<(), ClientError>;

    /// Queues the end of the answer, with its trailers. After a switch: half-closes.
    ///
    /// # Errors
    /// When the client has left.
    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), ClientError>;

    /// Ready once all that was queued has left this process, as far as the protocol can tell.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>>;

    /// Breaks the exchange off in a way that no client takes for a whole answer. An answer that has
    /// left as a whole stays one: then only the connection ends (HTTP/1).
    fn abort(&mut self);

    /// The connection ends after this answer (HTTP/1); no meaning for a protocol with streams.
    fn close_after(&mut self);

    /// The rest of the request will be read to its end behind the answer, however much it is, so that
    /// the connection need not end for it (HTTP/1). Said before the head of the answer.
    fn reads_rest(&mut self);

    /// Returns a number that grows whenever the client takes something.
    fn taken(&self) -> u64;

    /// Returns the timer of the connection, or of its stream: one for all waits, one after the
    /// other.
    fn timer(&mut self) -> &mut Timer;
}

/// The upstream's side of one try.
pub trait Upstream: Send {
    /// Queues the head of the request. `body` says how its body is framed.
    ///
    /// # Errors
    /// When the connection is not usable any more.
    fn send_head(&mut self, head: &request::Parts, body: Length) -> Result<(), UpstreamError>;

    /// Ready when another part of the body can be queued.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>>;

    /// Queues a part of the body.
    ///
    /// # Errors
    /// When the connection is not usable any more.
    fn send_data(&mut self, data: Bytes) -> Result<(), UpstreamError>;

    /// Queues the end of the body, with its trailers. After a switch: half-closes.
    ///
    /// # Errors
    /// When the connection is not usable any more.
    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), UpstreamError>;

    /// Ready once all that was queued has left this process, as far as the protocol can tell.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>>;

    /// Returns the next head of the answer, interim ones (1xx) too. The final one is the last.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Length), UpstreamError>>;

    /// Returns a number that grows whenever the upstream takes something.
    fn taken(&self) -> u64;

    /// Whether nothing that the upstream has said so far speaks against its reading the rest of the
    /// request behind a whole answer.
    fn reads_on(&self) -> bool;

    /// Ready once the upstream reads no more of the request. Asked for behind the end of an answer
    /// that came early: the rest of the request goes on for as long as this is pending.
    fn poll_refuses(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Returns the next part of the answer's body; `None` at its end. After a head of 101, the
    /// bytes of the other protocol.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, UpstreamError>>;
}

/// Serves the requests that client protocols read.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. An answer without an end is broken off once this returns.
    fn serve<D: Downstream>(
        &self,
        request: &mut Request,
        downstream: &mut D,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = ()> + Send;
}
