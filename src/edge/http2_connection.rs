//! One HTTP/2 connection from its preface to its close: streams are accepted, bounded, and handed
//! to the proxy one task each; a client that floods or idles is sent away (RFC 9113).

use super::connection::Server;
use super::drain::Phase;
use super::facts::Facts;
use super::frames::Alarm;
use super::head::Limits;
use super::http2_head::judge;
use super::stream::Exchange;
use super::wire::ClientStream;
use crate::snapshot::ListenerSettings;
use bytes::Bytes;
use futures::FutureExt;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Requests that are no requests (RFC 9113, section 8.1.1) before the connection is given up.
const MALFORMED_MAX: usize = 100;
/// Streams that a client opened and reset before they were looked at.
const PENDING_RESETS_MAX: usize = 100;
/// Streams whose resets are remembered, and for how long.
const RESETS_KEPT: usize = 50;
const RESETS_KEPT_FOR: Duration = Duration::from_secs(10);
/// Errors of the client's own making on streams, in all.
const STREAM_ERRORS_MAX: usize = 1024;
/// What waits to be written to one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Longest wait for a client that is sent away to take its GOAWAY.
const GOODBYE: Duration = Duration::from_secs(2);
/// How much longer than its deadline a stream may last before it is cut.
const GRACE: Duration = Duration::from_millis(500);

/// How much larger than allowed a head may be and still be answered with the reason; what is larger
/// gets the library's word for it, a bare 431.
const HEAD_MARGIN: usize = 2;

type Connection = h2::server::Connection<Box<ClientStream>, Bytes>;

/// Why a connection is being closed by the gateway.
enum Farewell {
    /// Streams in flight may end.
    Graceful,
    /// Now, with this reason.
    Abrupt(Reason, &'static str),
}

fn options(settings: &ListenerSettings) -> h2::server::Builder {
    let head = settings.max_head.saturating_mul(HEAD_MARGIN);
    let mut options = h2::server::Builder::new();
    options
        .max_concurrent_streams(settings.http2.max_streams.0)
        .initial_window_size(settings.http2.stream_window.0)
        .initial_connection_window_size(settings.http2.connection_window.0)
        .max_header_list_size(head.min(u32::MAX as usize) as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(STREAM_ERRORS_MAX))
        .max_concurrent_reset_streams(RESETS_KEPT)
        .reset_stream_duration(RESETS_KEPT_FOR);
    options
}

/// What a client whose preface is wrong is sent (RFC 9113, section 3.4): settings, which come first in
/// any case, and a GOAWAY with `PROTOCOL_ERROR` before any stream.
const NOT_H2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// Ends a connection whose first bytes only begin as the preface does.
pub async fn turn_away(mut stream: ClientStream, settings: &ListenerSettings) {
    settings.series.cut("http2_preface");
    // A client that takes nothing is not waited for.
    if let Ok(Ok(())) = timeout(GOODBYE, stream.send(NOT_H2)).await {
        stream.close_gently().await;
    }
}

/// Serves a connection until either side ends it. Never panics outwards.
pub async fn serve(server: &Server, mut stream: Box<ClientStream>, settings: &ListenerSettings) {
    let alarm = Arc::new(Alarm::default());
    stream.becomes_h2(alarm.clone(), settings.header_timeout);
    let carrier = stream.carrier();
    let shaken = options(settings).handshake(stream);
    let shaken = tokio::select! {
        shaken = timeout(settings.header_timeout, shaken) => shaken,
        () = server.drain.gives_up(Instant::now()) => return,
    };
    let Ok(Ok(connection)) = shaken else {
        settings.series.cut("http2_preface");
        return;
    };
    let streams = Streams {
        server,
        settings,
        carrier,
        active: Arc::default(),
    };
    streams.accept(connection, &alarm).await;
}

struct Streams<'a> {
    server: &'a Server,
    settings: &'a ListenerSettings,
    /// What each request's session carries of the connection.
    carrier: Digest,
    active: Arc<Active>,
}

impl Streams<'_> {
    async fn accept(&self, mut connection: Connection, alarm: &Alarm) {
        let mut announced = pin!(self.server.drain.reaches(Phase::Announced));
        let mut over = pin!(self.server.drain.reaches(Phase::Over));
        // A client that came before the listener drained is told at once.
        let (mut malformed, mut asked) = (0, !self.server.drain.is_announced());
        let farewell = loop {
            let accepted = tokio::select! {
                biased;
                // Who connects to a listener that drains gets one answer at least: sent away at
                // once, it would come again at once.
                () = &mut announced, if asked => break Farewell::Graceful,
                () = &mut over => break Farewell::Graceful,
                fault = alarm.rings() => break Farewell::Abrupt(fault.reason, fault.why),
                accepted = connection.accept() => accepted,
                () = self.active.idles(self.settings.idle_timeout) => break Farewell::Graceful,
            };
            match accepted {
                Some(Ok((request, respond))) => {
                    asked = true;
                    malformed += usize::from(!self.serve(request, respond));
                }
                None => return,
                Some(Err(error)) => return self.broken(&error),
            }
            if malformed > MALFORMED_MAX {
                break Farewell::Abrupt(Reason::ENHANCE_YOUR_CALM, "http2_malformed");
            }
        };
        self.part(connection, farewell).await;
    }

    /// Says goodbye, and lets streams in flight end if that is how it is.
    async fn part(&self, mut connection: Connection, farewell: Farewell) {
        let limit = match farewell {
            Farewell::Abrupt(reason, why) => {
                self.settings.series.cut(why);
                connection.abrupt_shutdown(reason);
                GOODBYE
            }
            Farewell::Graceful => {
                connection.graceful_shutdown();
                Duration::MAX
            }
        };
        let rest = async {
            loop {
                let accepted = tokio::select! {
                    accepted = connection.accept() => accepted,
                    // It does not answer our ping, and nothing is left to end.
                    () = self.active.idles(GOODBYE) => return,
                };
                match accepted {
                    // Sent before our GOAWAY was seen.
                    Some(Ok((request, respond))) => drop(self.serve(request, respond)),
                    None | Some(Err(_)) => return,
                }
            }
        };
        let _ = timeout(limit, rest).await;
    }

    /// Each stream has facts of its own: one stream's deadline must not end the others.
    fn digest(&self) -> Arc<Digest> {
        let own = Facts::in_digest_of(&self.carrier).and_then(|facts| facts.of_stream().ok());
        Arc::new(Digest {
            proxy_digest: own.or_else(|| self.carrier.proxy_digest.clone()),
            ..self.carrier.clone()
        })
    }

    /// Hands a stream to the proxy. Returns whether it was a request; others end here.
    fn serve(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> bool {
        let (mut parts, body) = request.into_parts();
        let limits = Limits {
            bytes: self.settings.max_head,
            fields: self.settings.max_headers,
        };
        if judge(&mut parts, limits).is_err() {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return false;
        }
        let guard = self.active.enter();
        let server = self.server.clone();
        let series = self.settings.series.clone();
        let digest = self.digest();
        let request = Request::from_parts(parts, body);
        let mut exchange = Exchange::new(request, respond, digest.clone(), self.settings);
        let limit = self.settings.header_timeout;
        tokio::spawn(async move {
            let _guard = guard;
            if !exchange.is_whole(limit).await {
                return;
            }
            let session = ServerSession::new_custom(Box::new(exchange));
            let served = AssertUnwindSafe(server.proxy.process_new_http(session, &server.never));
            tokio::select! {
                served = served.catch_unwind() => {
                    if served.is_err() {
                        server.metrics.panics.fetch_add(1, Relaxed);
                    }
                }
                // The core's own limits are per read: an upstream that drips its head would
                // outlive any of them.
                () = late(&digest) => series.cut("http2_stream_late"),
            }
        });
        true
    }

    fn broken(&self, error: &h2::Error) {
        if error.is_remote() || error.is_io() {
            return; // the client has gone
        }
        let why = match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => "http2_flood",
            Some(Reason::COMPRESSION_ERROR) => "http2_compression",
            Some(Reason::FLOW_CONTROL_ERROR) => "http2_flow_control",
            Some(Reason::FRAME_SIZE_ERROR) => "http2_frame_size",
            _ => "http2_protocol",
        };
        self.settings.series.cut(why);
        tracing::debug!(%error, "HTTP/2 connection ended");
    }
}

/// Returns well after the deadline of a stream, if it ever has one.
async fn late(digest: &Digest) {
    loop {
        let deadline = Facts::in_digest_of(digest).and_then(Facts::deadline);
        match deadline {
            Some(deadline) => {
                let end = deadline + GRACE;
                tokio::time::sleep_until(end.into()).await;
                let now = Facts::in_digest_of(digest).and_then(Facts::deadline);
                if now == Some(deadline) {
                    return;
                }
            }
            None => sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Streams in flight.
#[derive(Debug, Default)]
struct Active {
    count: AtomicUsize,
    none: Notify,
}

impl Active {
    fn enter(self: &Arc<Self>) -> Guard {
        self.count.fetch_add(1, Relaxed);
        Guard(self.clone())
    }

    /// Returns once there has been none for so long.
    async fn idles(&self, how_long: Duration) {
        while self.count.load(Relaxed) != 0 {
            self.none.notified().await;
        }
        sleep(how_long).await;
    }
}

/// Counts a stream as in flight until it is dropped.
struct Guard(Arc<Active>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}
