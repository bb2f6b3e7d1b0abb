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
pub struct Errand {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// With `Host`; without fields that are about a connection.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Errands to one endpoint.
#[derive(Debug)]
pub struct Errands {
    endpoint: Arc<EndpointState>,
    tls: Option<Arc<UpstreamTls>>,
    http2: bool,
    idle: Duration,
    kept: Mutex<Vec<(Sender, Instant)>>,
}

/// A connection that can take a request.
#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Many(http2::SendRequest<Full<Bytes>>),
}

/// A connection whose answer is being read.
#[derive(Debug)]
pub struct Used<'e> {
    errands: &'e Errands,
    sender: Sender,
}

impl Used<'_> {
    /// The answer has been read to its end: the connection may be used again.
    pub fn keep(self) {
        let mut kept = self.errands.kept.lock();
        if kept.len() < KEPT_MAX {
            kept.push((self.sender, Instant::now()));
        }
    }
}

impl Errands {
    pub(super) fn new(
        endpoint: Arc<EndpointState>,
        tls: Option<Arc<UpstreamTls>>,
        http: UpstreamHttp,
        idle: Duration,
    ) -> Self {
        Self {
            endpoint,
            tls,
            // Whoever offers both is content with the older one.
            http2: matches!(http, UpstreamHttp::H2 | UpstreamHttp::H2c),
            idle,
            kept: Mutex::default(),
        }
    }

    /// Sends one, over a kept connection or a new one. Takes as long as it takes.
    ///
    /// # Errors
    /// When there is no connection, or it breaks before the head of an answer.
    pub async fn send(&self, errand: &Errand) -> Result<(Response<Incoming>, Used<'_>), Failed> {
        while let Some(mut sender) = self.take() {
            // A connection that has ended meanwhile gives its place to the next one, unless the
            // errand may have arrived, and must not arrive twice.
            if sender.ready().await.is_err() {
                continue;
            }
            match self.over(&mut sender, errand).await {
                Ok(answer) => return Ok((answer, self.used(sender))),
                Err(error) if errand.method.is_idempotent() || never_left(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut sender = self.connect().await?;
        sender.ready().await?;
        let answer = self.over(&mut sender, errand).await?;
        Ok((answer, self.used(sender)))
    }

    fn used(&self, sender: Sender) -> Used<'_> {
        let errands = self;
        Used { errands, sender }
    }

    /// The connection that was used last, if it was lately.
    fn take(&self) -> Option<Sender> {
        let mut kept = self.kept.lock();
        let (sender, since) = kept.pop()?;
        if since.elapsed() > self.idle {
            kept.clear();
            return None;
        }
        if let Sender::Many(many) = &sender {
            // One connection carries them all.
            kept.push((Sender::Many(many.clone()), since));
            if many.is_closed() {
                kept.clear();
                return None;
            }
        }
        Some(sender)
    }

    async fn connect(&self) -> Result<Sender, Failed> {
        let alpn: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
        let stream = reach::connect_as_traffic(&self.endpoint, self.tls.as_deref(), alpn).await?;
        let stream = TokioIo::new(stream);
        // A connection ends when nobody can send over it any more.
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(Sender::Many(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Sender::One(sender))
        }
    }

    async fn over(
        &self,
        sender: &mut Sender,
        errand: &Errand,
    ) -> Result<Response<Incoming>, Failed> {
        let mut request = Request::new(Full::new(errand.body.clone()));
        *request.method_mut() = errand.method.clone();
        *request.headers_mut() = errand.headers.clone();
        match sender {
            Sender::One(sender) => {
                *request.uri_mut() = errand.target.parse()?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Many(sender) => {
                let host = request.headers_mut().remove(header::HOST);
                let host = host
                    .as_ref()
                    .map_or(Ok(self.endpoint.host()), |host| host.to_str())?;
                let scheme = self.tls.as_ref().map_or("http", |_| "https");
                let uri = Uri::builder().scheme(scheme).authority(host);
                *request.uri_mut() = uri.path_and_query(errand.target.as_str()).build()?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

fn never_left(error: &Failed) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_canceled)
}

impl Sender {
    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::One(sender) => sender.ready().await,
            Self::Many(sender) => sender.ready().await,
        }
    }
}
