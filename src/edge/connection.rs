//! One client connection from accept to close: reads each head under its own deadline, refuses
//! what is malformed, and hands well-formed requests to the proxy one at a time.

use super::arrival::{Arrived, receive};
use super::drain::{Drain, Phase};
use super::facts::{Facts, socket_digest};
use super::head::{Head, Refused};
use super::next::{Next, next};
use super::road::Road;
use super::socket::Transport;
use super::waiting::Waiting;
use super::wire::ClientStream;
use super::{canonical, http2_connection, plain_answer};
use crate::config::Name;
use crate::reason::Reason;
use crate::snapshot::{Current, ListenerSettings};
use crate::telemetry::Metrics;
use bytes::BytesMut;
use futures::FutureExt;
use futures::future::maybe_done;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Longest wait for the rest of a refused request's body before the connection is given up.
pub const DRAIN_BODY: Duration = Duration::from_secs(2);

/// What every connection needs.
#[derive(Clone)]
pub struct Server {
    pub current: Current,
    pub proxy: Arc<HttpProxy<Road>>,
    pub metrics: Arc<Metrics>,
    /// How far the listener is on its way out.
    pub drain: Drain,
    /// Never true: the core would close after answers behind which another request waits.
    pub never: ShutdownWatch,
}

/// Serves a connection until either side ends it. Never panics outwards. `settings` count until
/// the live snapshot has others, and go on to count where it has none: the listener was closed.
pub async fn serve(
    server: Server,
    listener: Name,
    mut settings: Arc<ListenerSettings>,
    transport: Transport,
    peer: SocketAddr,
    mut waiting: Waiting,
) {
    let mut over = pin!(maybe_done(server.drain.reaches(Phase::Over)));
    let begun = tokio::select! {
        biased;
        begun = begin(&server, &listener, &settings, transport, peer, over.as_mut()) => begun,
        () = waiting.gives_way() => return settings.series.cut("gave_way"),
    };
    drop(waiting);
    let Some((mut stream, mut found)) = begun else {
        return;
    };
    loop {
        match found {
            Next::Request(head) => match request(&server, stream, head, &settings).await {
                Some(reusable) => stream = reusable,
                None => return,
            },
            Next::H2 => return http2_connection::serve(&server, stream, &settings).await,
            Next::NotH2 => return http2_connection::turn_away(*stream, &settings).await,
            Next::Refused(refused) => {
                let to_head = is_head(&stream.ahead);
                plain_answer::refuse(&server, *stream, refused, to_head).await;
                return;
            }
            Next::Closed => return,
        }
        if let Some(fresh) = server.current.load().listener(&listener) {
            settings = fresh;
        }
        found = next(&mut stream, &settings, false, over.as_mut()).await;
    }
}

/// Brings a connection to its first request. `None`: it ended before.
async fn begin(
    server: &Server,
    listener: &Name,
    settings: &ListenerSettings,
    transport: Transport,
    peer: SocketAddr,
    over: Pin<&mut impl Future<Output = ()>>,
) -> Option<(Box<ClientStream>, Next)> {
    let arrived = receive(listener, settings, transport, peer, server.drain.clone()).await?;
    let Arrived { socket, info, h2 } = arrived;
    let facts = Facts::new(info);
    let digest = socket_digest(socket.as_raw_fd(), facts.peer);
    let facts = facts.into_digest().ok()?;
    let drain = server.drain.clone();
    let mut stream = Box::new(ClientStream::new(socket, facts, digest, drain));
    stream.patience(settings.write_timeout, settings.min_body_rate);
    let found = match h2 {
        true => Next::H2,
        false => next(&mut stream, settings, true, over).await,
    };
    Some((stream, found))
}

/// Lets the proxy serve one request; returns the stream when another may follow.
async fn request(
    server: &Server,
    mut stream: Box<ClientStream>,
    head: Head,
    settings: &ListenerSettings,
) -> Option<Box<ClientStream>> {
    let bytes = take_head(&mut stream.ahead, head);
    let to_head = is_head(&bytes);
    let plain = || stream.facts().is_some_and(|facts| facts.scheme() == "http");
    let canonical = match head.https && plain() {
        true => Err(Refused::NOT_SECURE),
        false => canonical::head(bytes, &head),
    };
    let bytes = match canonical {
        Ok(bytes) => bytes,
        Err(refused) => {
            plain_answer::refuse(server, *stream, refused, to_head).await;
            return None;
        }
    };
    stream.begin(head.body, head.websocket);
    if server.drain.is_announced() {
        stream.lets_next_follow();
    }
    let rescue = stream.rescue();
    let mut session = ServerSession::new_http1(stream);
    session.set_read_timeout(Some(settings.idle_timeout));
    session.set_write_timeout(Some(settings.write_timeout));
    session.set_total_drain_timeout(Some(DRAIN_BODY));
    session.set_pipelined_prefix(bytes);
    let served = AssertUnwindSafe(server.proxy.process_new_http(session, &server.never));
    match served.catch_unwind().await {
        Ok(Some(reused)) => {
            let (stream, _) = reused.consume();
            let stream = stream.into_any().downcast::<ClientStream>().ok()?;
            stream.at_end().then_some(stream)
        }
        Ok(None) => {
            let mut stream = Box::new(rescue.lock().take()?);
            stream.flush().await.ok()?;
            stream.at_end().then_some(stream)
        }
        Err(_) => {
            server.metrics.panics.fetch_add(1, Relaxed);
            let stream = rescue.lock().take()?;
            plain_answer::refuse(server, stream, Refused::PANICKED, to_head).await;
            None
        }
    }
}

/// Whether these are the first bytes of a request for a head alone.
fn is_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}

/// Takes the head off the front; what follows it stays.
fn take_head(ahead: &mut BytesMut, head: Head) -> BytesMut {
    let mut bytes = if head.end >= ahead.len() {
        std::mem::take(ahead)
    } else {
        ahead.split_to(head.end)
    };
    bytes::Buf::advance(&mut bytes, head.start);
    bytes
}

impl Refused {
    const PANICKED: Self = Self {
        reason: Reason::InternalError,
        status: 500,
        detail: "the gateway failed",
    };
    /// RFC 9110, section 7.4.
    const NOT_SECURE: Self = Self {
        reason: Reason::BadRequest,
        status: 421,
        detail: "what is asked for is not served without TLS",
    };
}
