//! One client connection from accept to close: reads each head under its own deadline, refuses
//! what is malformed, and hands well-formed requests to the proxy one at a time.

use super::arrival::{Arrived, receive};
use super::drain::{Drain, LAST_WORD, Phase};
use super::facts::socket_digest;
use super::head::{Head, Limits, Refused, Scanner};
use super::road::Road;
use super::socket::Transport;
use super::wire::ClientStream;
use super::{canonical, http2, plain_answer};
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
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What of it no request of HTTP/1 begins with, since the method is reserved for it.
const H2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";
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

/// What reading for the next request has come to.
enum Next {
    Request(Head),
    H2,
    /// What began as the preface of HTTP/2 is none.
    NotH2,
    Refused(Refused),
    Closed,
}

/// Serves a connection until either side ends it. Never panics outwards. `settings` count until
/// the live snapshot has others, and go on to count where it has none: the listener was closed.
pub async fn serve(
    server: Server,
    listener: Name,
    mut settings: Arc<ListenerSettings>,
    transport: Transport,
    peer: SocketAddr,
) {
    let arrived = receive(&listener, &settings, transport, peer, server.drain.clone()).await;
    let Some(Arrived { socket, facts, h2 }) = arrived else {
        return;
    };
    let digest = socket_digest(socket.as_raw_fd(), facts.peer);
    let Ok(facts) = facts.into_digest() else {
        return;
    };
    let mut stream = Box::new(ClientStream::new(
        socket,
        facts,
        digest,
        server.drain.clone(),
    ));
    stream.patience(settings.write_timeout, settings.min_body_rate);
    if h2 {
        return http2::serve(&server, stream, &settings).await;
    }
    let mut first = true;
    let mut over = pin!(maybe_done(server.drain.reaches(Phase::Over)));
    loop {
        if let Some(fresh) = server.current.load().listener(&listener) {
            settings = fresh;
        }
        match next(&mut stream, &settings, first, over.as_mut()).await {
            Next::Request(head) => match request(&server, stream, head, &settings).await {
                Some(reusable) => stream = reusable,
                None => return,
            },
            Next::H2 => return http2::serve(&server, stream, &settings).await,
            Next::NotH2 => return http2::turn_away(*stream, &settings).await,
            Next::Refused(refused) => {
                let to_head = is_head(&stream.ahead);
                plain_answer::refuse(&server, *stream, refused, to_head).await;
                return;
            }
            Next::Closed => return,
        }
        first = false;
    }
}

/// Reads until a head is complete, the client is gone, or time is up: the listener's, or that of
/// a connection that must end.
async fn next(
    stream: &mut ClientStream,
    settings: &ListenerSettings,
    first: bool,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> Next {
    let limits = Limits {
        bytes: settings.max_head,
        fields: settings.max_headers,
    };
    let mut scanner = Scanner::default();
    let mut deadline = None;
    loop {
        if !stream.ahead.is_empty() {
            deadline.get_or_insert_with(|| Instant::now() + settings.header_timeout);
            let preface = match first && settings.h2c {
                true => Preface::of(&stream.ahead),
                false => Preface::None,
            };
            match preface {
                Preface::Whole => return Next::H2,
                Preface::Wrong => return Next::NotH2,
                Preface::Begun => {}
                Preface::None if !settings.h1 => return Next::Refused(Refused::H1_NOT_SERVED),
                Preface::None => match scanner.scan(&stream.ahead, limits) {
                    Ok(Some(head)) => return Next::Request(head),
                    Ok(None) => {}
                    Err(refused) => return Next::Refused(refused),
                },
            }
        }
        let over = over.as_mut();
        if let Some(ended) = read_more(stream, settings, deadline, first, over).await {
            let begun = first && settings.h2c && stream.ahead.starts_with(H2_PREFACE_LINE);
            return match ended {
                Next::Refused(_) if begun => Next::NotH2,
                ended => ended,
            };
        }
    }
}

/// `None`: there is more to look at.
async fn read_more(
    stream: &mut ClientStream,
    settings: &ListenerSettings,
    deadline: Option<Instant>,
    first: bool,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> Option<Next> {
    // A half-read head is waited for, whatever the listener's phase is.
    let read = match deadline {
        Some(deadline) => poll_fn(|cx| stream.poll_ahead(cx, deadline)).await,
        None => {
            let wait = match first {
                true => settings.header_timeout,
                false => settings.idle_timeout,
            };
            quiet(stream, wait, over.as_mut()).await
        }
    };
    match read {
        Ok(0) => Some(Next::Closed),
        Ok(_) => None,
        Err(error) if deadline.is_some() && error.kind() == ErrorKind::TimedOut => {
            Some(Next::Refused(Refused::TOO_SLOW))
        }
        Err(_) => Some(Next::Closed),
    }
}

/// Waits for the first bytes of a head, no longer than `wait`. Once the connection must end, it is
/// given up [`LAST_WORD`] after this wait began, and not before a last look: what has arrived is
/// served.
async fn quiet(
    stream: &mut ClientStream,
    wait: Duration,
    mut over: Pin<&mut impl Future<Output = ()>>,
) -> io::Result<usize> {
    let since = Instant::now();
    let (until, mut last, mut looked) = (since + wait, since + LAST_WORD, false);
    poll_fn(|cx| {
        if let Poll::Ready(read) = stream.poll_ahead(cx, until) {
            return Poll::Ready(read);
        }
        ready!(over.as_mut().poll(cx));
        let read = ready!(stream.poll_ahead(cx, last.min(until)));
        // The runtime may not have heard yet of what the kernel has.
        if read.is_ok() || looked || stream.is_quiet() {
            return Poll::Ready(read);
        }
        looked = true;
        last = Instant::now() + LAST_WORD;
        stream.poll_ahead(cx, last)
    })
    .await
}

/// What the first bytes of a connection have of the HTTP/2 preface.
enum Preface {
    None,
    Begun,
    Whole,
    /// They begin as it does, and go on otherwise.
    Wrong,
}

impl Preface {
    fn of(bytes: &[u8]) -> Self {
        let length = bytes.len().min(H2_PREFACE.len());
        match bytes.get(..length) == H2_PREFACE.get(..length) {
            true if length == H2_PREFACE.len() => Self::Whole,
            true => Self::Begun,
            false if bytes.starts_with(H2_PREFACE_LINE) => Self::Wrong,
            false => Self::None,
        }
    }
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
        Ok(reused) => {
            let (stream, _) = reused?.consume();
            let stream = stream.into_any().downcast::<ClientStream>().ok()?;
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
    const TOO_SLOW: Self = Self {
        reason: Reason::RequestTimeout,
        status: 408,
        detail: "the request head took too long",
    };
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
    const H1_NOT_SERVED: Self = Self {
        reason: Reason::BadRequest,
        status: 505,
        detail: "only HTTP/2 is served here",
    };
}
