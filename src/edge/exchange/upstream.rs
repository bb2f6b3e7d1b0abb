//! The upstream's side of a try: a kept or a new connection, by the protocol that the version
//! speaks.

use super::context::RequestContext;
use super::deadline::Late;
use super::failure::Failure;
use crate::config::service::UpstreamHttp;
use crate::edge::http1::upstream::Http1Upstream;
use crate::edge::http2::upstream::{Failed, Http2Pool, Http2Upstream};
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use crate::edge::rejection::Rejection;
use crate::edge::transport::{ConnectError, Connector, Peer, selected_h2};
use crate::reason::Reason;
use crate::upstream::EndpointState;
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, request, response};
use pingora::protocols::Stream;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// Connections to all upstreams.
pub struct Connections {
    connector: Connector,
    http2: Http2Pool,
}

/// Longest wait for a stream where no route says otherwise.
const SILENCE: Duration = Duration::from_mins(1);

/// Why a connection is not one of HTTP/2.
enum NotHttp2 {
    Connect(ConnectError),
    /// The upstream has chosen HTTP/1 in the handshake of TLS.
    Http1(Stream),
}

/// A connection for one try.
pub struct Connected {
    pub upstream: UpstreamStream,
    /// Whether the connection has served other requests before.
    pub reused: bool,
}

impl Connections {
    /// Keeps so many idle connections of HTTP/1 at most.
    pub fn new(pool_size: usize) -> Self {
        Self {
            connector: Connector::new(pool_size),
            http2: Http2Pool::default(),
        }
    }

    /// Finds a kept connection to the peer, or makes one. `careful`: the request must not be lost
    /// to a connection that the upstream has just closed.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(
        &self,
        peer: &Peer,
        careful: bool,
        context: &RequestContext,
    ) -> Result<Connected, Failure> {
        let connected = match peer.http() {
            UpstreamHttp::H1 => self.http1(peer, careful, context).await?,
            UpstreamHttp::Auto => match self.kept_http1(peer, careful, context) {
                Some(upstream) => Connected {
                    upstream,
                    reused: true,
                },
                None => Box::pin(self.http2(peer, context)).await?,
            },
            UpstreamHttp::H2 | UpstreamHttp::H2c => Box::pin(self.http2(peer, context)).await?,
        };
        if let Some(version) = context.version() {
            let count = match connected.reused {
                true => &version.pool.reused,
                false => &version.pool.made,
            };
            count.fetch_add(1, Relaxed);
        }
        Ok(connected)
    }

    async fn http1(
        &self,
        peer: &Peer,
        careful: bool,
        context: &RequestContext,
    ) -> Result<Connected, Failure> {
        if let Some(upstream) = self.kept_http1(peer, careful, context) {
            return Ok(Connected {
                upstream,
                reused: true,
            });
        }
        // Boxed, since most requests find a kept connection, and the future of a new one is large.
        let stream = Box::pin(self.connector.connect(peer)).await?;
        Ok(Connected {
            upstream: UpstreamStream::http1(stream),
            reused: false,
        })
    }

    fn kept_http1(
        &self,
        peer: &Peer,
        careful: bool,
        context: &RequestContext,
    ) -> Option<UpstreamStream> {
        let series = &context.version()?.pool;
        let stream = self.connector.reuse(peer, careful, series)?;
        Some(UpstreamStream::http1(stream))
    }

    /// Waits for a stream no longer than an upstream may be silent: one that allows no streams is.
    async fn http2(&self, peer: &Peer, context: &RequestContext) -> Result<Connected, Failure> {
        let over_tls = peer.has_tls();
        let scheme = match over_tls {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let connect = || async {
            let stream = self.connector.connect(peer).await;
            let stream = stream.map_err(NotHttp2::Connect)?;
            match over_tls && !selected_h2(&stream) {
                true => Err(NotHttp2::Http1(stream)),
                false => Ok(stream),
            }
        };
        let stream = self.http2.stream(peer.key(), scheme, peer.idle(), connect);
        let silence = context.route().map_or(SILENCE, |route| route.idle_timeout);
        let Ok(stream) = timeout(silence, stream).await else {
            return Err(Failure::Late(Late::Upstream));
        };
        match stream {
            Ok((stream, reused)) => Ok(Connected {
                upstream: UpstreamStream::Http2(Box::new(stream)),
                reused,
            }),
            Err(Failed::Connect(NotHttp2::Http1(stream))) if peer.http() == UpstreamHttp::Auto => {
                Ok(Connected {
                    upstream: UpstreamStream::http1(stream),
                    reused: false,
                })
            }
            Err(Failed::Connect(NotHttp2::Http1(_))) => {
                let what = "the upstream does not speak HTTP/2";
                Err(Failure::Upstream(UpstreamError::Malformed(what)))
            }
            Err(Failed::Connect(NotHttp2::Connect(error))) => Err(error.into()),
            Err(Failed::Handshake(error)) => Err(Failure::Upstream(error)),
        }
    }

    /// Keeps the connection of a try that has ended well.
    pub fn release(&self, upstream: UpstreamStream, peer: &Peer) {
        if let UpstreamStream::Http1(upstream) = upstream
            && upstream.is_reusable()
        {
            self.connector.release(upstream.into_stream(), peer);
        }
    }
}

/// Describes the connection to an endpoint.
///
/// # Errors
/// When the endpoint has no address yet, or does not speak what the request needs.
pub fn peer(
    endpoint: &EndpointState,
    websocket: bool,
    context: &RequestContext,
) -> Result<Peer, Rejection> {
    let nowhere = || Rejection::new(Reason::NoHealthyEndpoint, "the endpoint has no address");
    let (Some(address), Some(version)) = (endpoint.place(), context.version()) else {
        return Err(nowhere());
    };
    let http = match (version.http, websocket) {
        // A WebSocket begins with an upgrade, which HTTP/1.1 alone has.
        (UpstreamHttp::Auto, true) => UpstreamHttp::H1,
        (UpstreamHttp::H2 | UpstreamHttp::H2c, true) => {
            let what = "the upstream speaks HTTP/2, and is not offered WebSocket";
            return Err(Rejection::new(Reason::UpstreamProtocol, what));
        }
        (http, _) => http,
    };
    let (connect, idle) = match (context.route(), context.service()) {
        (Some(route), Some(service)) => (route.connect_timeout, service.pool_idle),
        _ => return Err(nowhere()),
    };
    let peer = Peer::new(
        address,
        endpoint.host(),
        version.tls.as_ref(),
        http,
        connect,
        idle,
    );
    peer.ok_or_else(nowhere)
}

/// The stream of one try, by its protocol.
pub enum UpstreamStream {
    Http1(Box<Http1Upstream>),
    Http2(Box<Http2Upstream>),
}

impl UpstreamStream {
    fn http1(stream: Stream) -> Self {
        Self::Http1(Box::new(Http1Upstream::new(stream)))
    }

    /// The upstream was silent: its connection gets no new requests where it is shared.
    pub fn suspect(&self) {
        if let Self::Http2(stream) = self {
            stream.suspect();
        }
    }
}

/// Calls the protocol's own method.
macro_rules! each {
    ($self:ident, $upstream:ident => $call:expr) => {
        match $self {
            UpstreamStream::Http1($upstream) => $call,
            UpstreamStream::Http2($upstream) => $call,
        }
    };
}

impl Upstream for UpstreamStream {
    fn send_head(&mut self, head: &request::Parts, body: Length) -> Result<(), UpstreamError> {
        each!(self, upstream => upstream.send_head(head, body))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        each!(self, upstream => upstream.poll_ready(cx))
    }

    fn send_data(&mut self, data: Bytes) -> Result<(), UpstreamError> {
        each!(self, upstream => upstream.send_data(data))
    }

    fn send_end(&mut self, trailers: Option<HeaderMap>) -> Result<(), UpstreamError> {
        each!(self, upstream => upstream.send_end(trailers))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        each!(self, upstream => upstream.poll_flush(cx))
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Length), UpstreamError>> {
        each!(self, upstream => upstream.poll_head(cx))
    }

    fn taken(&self) -> u64 {
        each!(self, upstream => upstream.taken())
    }

    fn reads_on(&self) -> bool {
        each!(self, upstream => upstream.reads_on())
    }

    fn poll_refuses(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        each!(self, upstream => upstream.poll_refuses(cx))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, UpstreamError>> {
        each!(self, upstream => upstream.poll_frame(cx))
    }
}
