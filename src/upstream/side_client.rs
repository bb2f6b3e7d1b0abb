//! Requests that the gateway sends to an endpoint beside traffic (copies, for a mirror), over
//! connections of their own that are kept: TLS and protocol are those of traffic.

use super::endpoint::EndpointState;
use super::reach;
use crate::config::service::UpstreamHttp;
use crate::tls::UpstreamTls;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most connections to one endpoint that are kept while unused.
const KEPT_MAX: usize = 32;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What is sent.
#[derive(Debug, Clone)]
pub struct SideRequest {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// With `Host`; without fields that are about a connection.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends requests beside traffic to one endpoint.
#[derive(Debug)]
pub struct SideClient {
    endpoint: Arc<EndpointState>,
    tls: Option<Arc<UpstreamTls>>,
    http2: bool,
    idle: Duration,
    kept: Mutex<Vec<(Sender, Instant)>>,
}

/// A connection that can take a request. Each carries one at a time, also where the protocol could
/// do more: few are needed, and a slow answer holds up no other request.
#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection whose answer is being read.
#[derive(Debug)]
pub struct Used<'e> {
    client: &'e SideClient,
    sender: Sender,
}

impl Used<'_> {
    /// The answer has been read to its end: the connection may be used again.
    pub fn keep(self) {
        let mut kept = self.client.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push((self.sender, Instant::now()));
        }
    }
}

impl SideClient {
    pub(super) fn new(
        endpoint: Arc<EndpointState>,
        tls: Option<Arc<UpstreamTls>>,
        http: UpstreamHttp,
        idle: Duration,
    ) -> Self {
        Self {
            endpoint,
            tls,
            // A version that speaks both is asked by the older one.
            http2: speaks_http2(http),
            idle,
            kept: Mutex::default(),
        }
    }

    /// Whether it connects as these settings say.
    pub(super) fn goes_by(
        &self,
        tls: Option<&Arc<UpstreamTls>>,
        http: UpstreamHttp,
        idle: Duration,
    ) -> bool {
        let same_tls = match (&self.tls, tls) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_tls && self.http2 == speaks_http2(http) && self.idle == idle
    }

    /// Sends one, over a kept connection or a new one. Takes as long as it takes.
    ///
    /// # Errors
    /// When there is no connection, or it breaks before the head of an answer.
    pub async fn send(
        &self,
        request: &SideRequest,
    ) -> Result<(Response<Incoming>, Used<'_>), Failed> {
        while let Some(mut sender) = self.take() {
            // A connection that has ended meanwhile gives its place to the next one, unless the
            // request may have arrived, and must not arrive twice.
            if sender.ready().await.is_err() {
                continue;
            }
            match self.over(&mut sender, request).await {
                Ok(answer) => return Ok((answer, self.used(sender))),
                Err(error) if request.method.is_idempotent() || never_left(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut sender = self.connect().await?;
        sender.ready().await?;
        let answer = self.over(&mut sender, request).await?;
        Ok((answer, self.used(sender)))
    }

    fn used(&self, sender: Sender) -> Used<'_> {
        Used {
            client: self,
            sender,
        }
    }

    /// The connection that was used last, if it was lately.
    fn take(&self) -> Option<Sender> {
        let mut kept = self.kept.lock();
        let (sender, since) = kept.pop()?;
        if since.elapsed() > self.idle {
            kept.clear();
            return None;
        }
        Some(sender)
    }

    async fn connect(&self) -> Result<Sender, Failed> {
        let alpn: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
        let stream = reach::connect_as_traffic(&self.endpoint, self.tls.as_deref(), alpn).await?;
        let stream = TokioIo::new(stream);
        // A connection ends when its sender is dropped.
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Sender::Http1(sender))
        }
    }

    async fn over(
        &self,
        sender: &mut Sender,
        request: &SideRequest,
    ) -> Result<Response<Incoming>, Failed> {
        let mut sent = Request::new(Full::new(request.body.clone()));
        *sent.method_mut() = request.method.clone();
        *sent.headers_mut() = request.headers.clone();
        match sender {
            Sender::Http1(sender) => {
                *sent.uri_mut() = request.target.parse()?;
                Ok(sender.send_request(sent).await?)
            }
            Sender::Http2(sender) => {
                let host = sent.headers_mut().remove(header::HOST);
                let host = host
                    .as_ref()
                    .map_or(Ok(self.endpoint.host()), |host| host.to_str())?;
                let scheme = self.tls.as_ref().map_or("http", |_| "https");
                let uri = Uri::builder().scheme(scheme).authority(host);
                *sent.uri_mut() = uri.path_and_query(request.target.as_str()).build()?;
                Ok(sender.send_request(sent).await?)
            }
        }
    }
}

const fn speaks_http2(http: UpstreamHttp) -> bool {
    matches!(http, UpstreamHttp::H2 | UpstreamHttp::H2c)
}

fn never_left(error: &Failed) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_canceled)
}

impl Sender {
    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }
}
