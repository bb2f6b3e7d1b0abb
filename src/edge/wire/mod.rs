//! The client's socket as the proxy sees it: it hands over exactly one request, no byte more.
//!
//! The connection reads heads itself; what it read beyond a head waits here in `ahead`. While a
//! body is read, only the body's bytes are let through; once it is over, reading tells nothing but
//! that the client has gone, and a pipelined request stays where it is for the next turn.
//!
//! **Invariant:** bytes behind the end of a request are never seen by whoever serves it.

mod digest;
mod read;
mod write;

use super::drain::Drain;
use super::facts::Facts;
use super::failure::is_quiet;
use super::frames::{Alarm, Frames};
use super::head::Body;
use super::http1::chunked::Decoder;
use super::pace::Pace;
use super::socket::Socket;
use super::timer::Timer;
use super::websocket::WebSocket;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, SocketDigest};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Sleep;

/// Longest time in which a client takes nothing, before its listener's setting is known.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes there is room for whenever a head is read.
const READ_AHEAD: usize = 2048;

/// What may be read by whoever serves the current request.
#[derive(Debug)]
enum Allowance {
    /// Everything: HTTP/2, or a connection that has changed protocols.
    Anything,
    /// This many bytes of body.
    Length(u64),
    Chunked(Decoder),
    /// The request is over.
    Nothing,
}

/// Whether the connection changes protocols.
#[derive(Debug)]
enum Switch {
    No,
    /// The client has offered to.
    Offered,
    WebSocket(Box<WebSocket>),
}

/// A client connection.
#[derive(Debug)]
pub struct ClientStream {
    socket: Socket,
    /// Read from the socket, not yet handed on.
    pub ahead: BytesMut,
    allowance: Allowance,
    /// Written by the proxy, not yet sent.
    gathered: BytesMut,
    /// Whether anything of the current answer has been sent or gathered.
    answered: bool,
    /// Watches over the frames of an HTTP/2 client.
    frames: Option<Box<Frames>>,
    facts: Arc<ProxyDigest>,
    digest: Arc<SocketDigest>,
    /// Rings when the next head, or the exchange in progress, has taken too long.
    timer: Timer,
    pace: Pace,
    /// Set while a connection may become a WebSocket, or has become one.
    websocket: Switch,
    drain: Drain,
    /// Longest time in which the client takes nothing of what waits for it.
    write_timeout: Duration,
    /// Fires when the client has taken nothing for so long.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Takes the socket back where the request could not give it back itself.
    rescue: Rescue,
}

/// Where the socket is left when a panic unwinds, so that the request can still be answered, or when
/// the core would close a connection that is kept.
pub type Rescue = Arc<parking_lot::Mutex<Option<ClientStream>>>;

impl ClientStream {
    pub fn new(
        socket: Socket,
        facts: Arc<ProxyDigest>,
        digest: Arc<SocketDigest>,
        drain: Drain,
    ) -> Self {
        Self {
            socket,
            ahead: BytesMut::new(),
            allowance: Allowance::Nothing,
            gathered: BytesMut::new(),
            answered: false,
            frames: None,
            facts,
            digest,
            timer: Timer::default(),
            pace: Pace::default(),
            websocket: Switch::No,
            drain,
            write_timeout: WRITE_TIMEOUT,
            stalled: None,
            rescue: Rescue::default(),
        }
    }

    /// Sets how long the client may take nothing of what waits for it, and how many bytes of a
    /// body it must send a second.
    pub fn patience(&mut self, write_timeout: Duration, min_body_rate: u64) {
        self.write_timeout = write_timeout;
        self.pace = Pace::new(min_body_rate);
    }

    /// The next request begins: what may be read of it, besides its head. Who offers a WebSocket waits
    /// for the answer before anything else than HTTP comes (RFC 6455, section 4.1).
    pub fn begin(&mut self, body: Body, websocket: bool) {
        self.answered = false;
        if let Some(facts) = self.facts() {
            facts.set_limits(None, None);
        }
        self.pace.restart();
        self.websocket = match websocket {
            true => Switch::Offered,
            false => Switch::No,
        };
        self.allowance = match body {
            Body::None => Allowance::Nothing,
            Body::Length(length) => Allowance::Length(length),
            Body::Chunked => Allowance::Chunked(Decoder::default()),
        };
    }

    /// Keeps the connection for a request that waits behind the one that has begun, though its
    /// listener drains: it has arrived.
    pub fn lets_next_follow(&self) {
        let waits = matches!(self.allowance, Allowance::Nothing) && !self.ahead.is_empty();
        if let Some(facts) = self.facts() {
            facts.set_followed(waits);
        }
    }

    /// Whether the kernel has nothing from the client, not even its end.
    pub fn is_quiet(&self) -> bool {
        is_quiet(self.socket.as_raw_fd())
    }

    /// From here on the connection is HTTP/2's; `alarm` rings at what the library must not see.
    pub fn becomes_h2(&mut self, alarm: Arc<Alarm>, header_timeout: Duration) {
        let mut frames = Frames::new(alarm, header_timeout);
        let good = frames.follow(&self.ahead);
        self.ahead.truncate(good);
        self.frames = Some(Box::new(frames));
        self.allowance = Allowance::Anything;
    }

    /// Whether the request has been read to its end, so that another one may follow.
    pub fn at_end(&self) -> bool {
        matches!(self.allowance, Allowance::Nothing | Allowance::Length(0))
    }

    /// Reads more of a head into `ahead`. 0: the client has closed.
    ///
    /// # Errors
    /// `TimedOut` once `deadline` has passed.
    pub fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
    ) -> Poll<io::Result<usize>> {
        self.ahead.reserve(READ_AHEAD);
        let read = pin!(self.socket.read_buf(&mut self.ahead));
        if let Poll::Ready(read) = read.poll(cx) {
            return Poll::Ready(read);
        }
        ready!(self.timer.poll_passed(cx, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends bytes past the gathering, for answers made before any proxying.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answered = true;
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Ends the sending side and reads what the client still sends for a short while, so that a
    /// reset does not destroy the answer before it is read (RFC 9112, section 9.6).
    pub async fn close_gently(mut self) {
        const LINGER: Duration = Duration::from_millis(500);
        const READ_MAX: usize = 256 * 1024;
        let closed = tokio::time::timeout(LINGER, self.socket.shutdown());
        if !matches!(closed.await, Ok(Ok(()))) {
            return;
        }
        let drain = async {
            let mut buffer = [0; 4096];
            let mut total = 0;
            while total < READ_MAX {
                match self.socket.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => total += read,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// What is known of this connection.
    pub fn facts(&self) -> Option<&Facts> {
        Facts::in_digest(&self.facts)
    }

    /// What sessions on this connection carry of it.
    pub fn carrier(&self) -> Digest {
        Digest {
            ssl_digest: None,
            timing_digest: Vec::new(),
            proxy_digest: Some(self.facts.clone()),
            socket_digest: Some(self.digest.clone()),
        }
    }

    /// Where the socket will be after a panic, or after a try that failed.
    pub fn rescue(&self) -> Rescue {
        self.rescue.clone()
    }
}

impl Drop for ClientStream {
    /// Gives the socket back to the connection in two cases: a panic is unwinding through the
    /// request and nothing has been said to the client yet; or the core closes after a try that
    /// failed, though the client has a whole answer that says the connection is kept.
    fn drop(&mut self) {
        let panicked = std::thread::panicking() && !self.answered;
        let kept = self.facts().is_some_and(Facts::take_kept);
        if !panicked && !kept {
            return;
        }
        let mut saved = Self::new(
            Socket::take(&mut self.socket),
            self.facts.clone(),
            self.digest.clone(),
            self.drain.clone(),
        );
        saved.ahead = std::mem::take(&mut self.ahead);
        saved.allowance = std::mem::replace(&mut self.allowance, Allowance::Nothing);
        saved.gathered = std::mem::take(&mut self.gathered);
        saved.timer = std::mem::take(&mut self.timer);
        saved.pace = std::mem::take(&mut self.pace);
        saved.write_timeout = self.write_timeout;
        *self.rescue.lock() = Some(saved);
    }
}
