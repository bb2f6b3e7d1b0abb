//! One HTTP/2 connection from its preface to its close: streams are accepted, bounded, and served
//! in one task each; a client that floods or idles is sent away (RFC 9113).

use super::downstream::Http2Stream;
use super::io::Http2Io;
use super::streams::Active;
use crate::edge::http1::request_head::Limits;
use crate::edge::http2::frames::Alarm;
use crate::edge::http2::request_head::judge;
use crate::edge::message::Handler;
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::drain::Phase;
use crate::edge::transport::socket::Socket;
use crate::snapshot::ListenerSettings;
use crate::telemetry::Metrics;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Requests that are malformed (RFC 9113, section 8.1.1) before the connection is given up.
const MALFORMED_MAX: usize = 100;
/// Streams that a client opened and reset before they were accepted.
const PENDING_RESETS_MAX: usize = 100;
/// Streams whose resets are remembered, and for how long.
const RESETS_KEPT: usize = 50;
const RESETS_KEPT_FOR: Duration = Duration::from_secs(10);
/// Errors of the client's own making on streams, in all.
const STREAM_ERRORS_MAX: usize = 1024;
/// Bytes that the library holds for one stream, until they are written.
pub const SEND_BUFFER: usize = 64 * 1024;
/// Longest wait for a client that is sent away to take its GOAWAY.
const GOODBYE: Duration = Duration::from_secs(2);
/// Longest wait for a client to close after it was turned away, and most bytes read meanwhile.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_READ_MAX: usize = 256 * 1024;

/// How much larger than allowed a head may be and still be answered with the reason; for a larger
/// one the library answers with a bare 431.
const HEAD_MARGIN: usize = 2;

type Connection = h2::server::Connection<Box<Http2Io>, Bytes>;

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
        .reset_stream_duration(RESETS_KEPT_FOR)
        .enable_connect_protocol();
    options
}

/// What a client whose preface is wrong is sent (RFC 9113, section 3.4): settings, which come first
/// in any case, and a GOAWAY with `PROTOCOL_ERROR` before any stream.
const NOT_H2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// Ends a connection whose first bytes only begin as the preface does.
pub async fn turn_away(mut socket: Socket, settings: &ListenerSettings) {
    settings.series.cut("http2_preface");
    let told = timeout(GOODBYE, async {
        socket.write_all(NOT_H2).await?;
        socket.flush().await?;
        socket.shutdown().await
    });
    // A client that takes nothing is not waited for.
    if !matches!(told.await, Ok(Ok(()))) {
        return;
    }
    // Bytes that are left unread would reset the connection before the client reads its GOAWAY.
    let rest = async {
        let (mut buffer, mut total) = ([0; 4096], 0);
        while total < LINGER_READ_MAX {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => total += read,
            }
        }
    };
    let _ = timeout(LINGER, rest).await;
}

/// Serves a connection until either side ends it. Never panics outwards. `ahead` has been read off
/// the socket already, the preface included.
pub async fn serve<H: Handler>(
    handler: &Arc<H>,
    socket: Socket,
    ahead: BytesMut,
    info: &Arc<ConnectionInfo>,
    settings: &ListenerSettings,
    metrics: &Arc<Metrics>,
) {
    let alarm = Arc::new(Alarm::default());
    let (head, write) = (settings.header_timeout, settings.write_timeout);
    let io = Box::new(Http2Io::new(socket, ahead, alarm.clone(), head, write));
    let shaken = options(settings).handshake(io);
    let shaken = tokio::select! {
        shaken = timeout(head, shaken) => shaken,
        () = info.drain.gives_up(Instant::now()) => return,
    };
    let Ok(Ok(connection)) = shaken else {
        settings.series.cut("http2_preface");
        return;
    };
    let streams = Streams {
        handler,
        info,
        settings,
        metrics,
        active: Arc::default(),
    };
    streams.accept(connection, &alarm).await;
}

struct Streams<'a, H> {
    handler: &'a Arc<H>,
    info: &'a Arc<ConnectionInfo>,
    settings: &'a ListenerSettings,
    metrics: &'a Arc<Metrics>,
    active: Arc<Active>,
}

impl<H: Handler> Streams<'_, H> {
    async fn accept(&self, mut connection: Connection, alarm: &Alarm) {
        let drain = &self.info.drain;
        let mut announced = pin!(drain.reaches(Phase::Announced));
        let mut over = pin!(drain.reaches(Phase::Over));
        // A client that came before the listener drained is told at once.
        let (mut malformed, mut asked) = (0, !drain.is_announced());
        let farewell = loop {
            let accepted = tokio::select! {
                biased;
                // A client that connects to a listener that drains gets one answer at least: sent
                // away at once, it would come again at once.
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

    /// Sends a GOAWAY, and lets streams in flight end if the farewell is graceful.
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

    /// Serves a stream in a task of its own. Returns whether it was a request; others end here.
    fn serve(&self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) -> bool {
        let (mut parts, body) = request.into_parts();
        let limits = Limits {
            bytes: self.settings.max_head,
            fields: self.settings.max_headers,
        };
        if judge(&mut parts, limits).is_err() {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return false;
        }
        let request = http::Request::from_parts(parts, body);
        let timer = self.active.timer();
        let limits = self.settings.into();
        let (mut request, mut stream) =
            Http2Stream::new(request, respond, self.info, limits, timer);
        let (active, guard) = (self.active.clone(), self.active.enter());
        let (handler, info) = (self.handler.clone(), self.info.clone());
        let metrics = self.metrics.clone();
        // Boxed where it is made: it would be copied on its way to the runtime otherwise.
        tokio::spawn(Box::pin(async move {
            let _guard = guard;
            let served = AssertUnwindSafe(handler.serve(&mut request, &mut stream, &info));
            if served.catch_unwind().await.is_err() {
                metrics.panics.fetch_add(1, Relaxed);
                return;
            }
            stream.finish().await;
            active.keep(stream.take_timer());
        }));
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
