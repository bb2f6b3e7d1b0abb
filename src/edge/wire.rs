//! The client's socket as the proxy sees it: it hands over exactly one request, no byte more.
//!
//! The connection reads heads itself; what it read beyond a head waits here in `ahead`. While a
//! body is read, only the body's bytes are let through; once it is over, reading tells nothing but
//! that the client has gone, and a pipelined request stays where it is for the next turn.
//!
//! **Invariant:** bytes behind the end of a request are never seen by whoever serves it.

use super::chunked::{Follower, Malformed};
use super::facts::Facts;
use super::head::Body;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

/// Responses are gathered up to this size before they are sent, unless flushed.
const GATHER_MAX: usize = 16 * 1024;

/// What may be read by whoever serves the current request.
#[derive(Debug)]
enum Allowance {
    /// Everything: HTTP/2, or a connection that may change protocols.
    Anything,
    /// This many bytes of body.
    Length(u64),
    Chunked(Follower),
    /// The request is over.
    Nothing,
}

/// A client connection.
#[derive(Debug)]
pub struct ClientStream {
    tcp: TcpStream,
    /// Read from the socket, not yet handed on.
    pub ahead: BytesMut,
    allowance: Allowance,
    /// Written by the proxy, not yet sent.
    gathered: BytesMut,
    /// Whether anything of the current answer has been sent or gathered.
    answered: bool,
    speaks_h2: bool,
    facts: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    /// Fires when the exchange in progress must be over.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Takes the socket back when a panic unwinds through the request.
    rescue: Rescue,
}

/// Where a panic leaves the socket, so that the request can still be answered.
pub type Rescue = Arc<parking_lot::Mutex<Option<ClientStream>>>;

impl ClientStream {
    pub fn new(tcp: TcpStream, facts: Arc<ProxyDigest>, socket: Arc<SocketDigest>) -> Self {
        Self {
            tcp,
            ahead: BytesMut::new(),
            allowance: Allowance::Nothing,
            gathered: BytesMut::new(),
            answered: false,
            speaks_h2: false,
            facts,
            socket,
            alarm: None,
            rescue: Rescue::default(),
        }
    }

    /// The next request begins: what may be read of it, besides its head.
    pub fn begin(&mut self, body: Body, upgrade: bool) {
        self.answered = false;
        if let Some(facts) = self.facts() {
            facts.set_deadline(None);
        }
        self.allowance = match body {
            _ if upgrade => Allowance::Anything,
            Body::None => Allowance::Nothing,
            Body::Length(length) => Allowance::Length(length),
            Body::Chunked => Allowance::Chunked(Follower::default()),
        };
    }

    /// From here on the connection is HTTP/2's.
    pub fn becomes_h2(&mut self) {
        self.speaks_h2 = true;
        self.allowance = Allowance::Anything;
    }

    /// Whether the request has been read to its end, so that another one may follow.
    pub fn at_end(&self) -> bool {
        matches!(self.allowance, Allowance::Nothing | Allowance::Length(0))
    }

    /// Reads more of a head into `ahead`. 0: the client has closed.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        use tokio::io::AsyncReadExt;
        self.ahead.reserve(2048);
        self.tcp.read_buf(&mut self.ahead).await
    }

    /// Sends bytes past the gathering, for answers made before any proxying.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answered = true;
        self.tcp.write_all(bytes).await
    }

    /// Ends the sending side and reads what the client still sends for a short while, so that a
    /// reset does not destroy the answer before it is read (RFC 9112, section 9.6).
    pub async fn close_gently(mut self) {
        use tokio::io::AsyncReadExt;
        const LINGER: std::time::Duration = std::time::Duration::from_millis(500);
        const READ_MAX: usize = 256 * 1024;
        if self.tcp.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            let mut buffer = [0; 4096];
            let mut total = 0;
            while total < READ_MAX {
                match self.tcp.read(&mut buffer).await {
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

    /// Where the socket will be after a panic.
    pub fn rescue(&self) -> Rescue {
        self.rescue.clone()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes::Buf::advance(&mut self.gathered, sent);
        }
        Poll::Ready(Ok(()))
    }

    /// The request is over: only tells when the client has gone.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending; // a pipelined request waits; so does the news of a close
        }
        let mut byte = [0; 1];
        let mut probe = ReadBuf::new(&mut byte);
        match ready!(self.tcp.poll_peek(cx, &mut probe)) {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Fails once the exchange has taken too long. The core's own limits are per read, so an
    /// upstream that drips its head byte by byte would outlive any of them.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = self.facts().and_then(Facts::deadline);
        let Some(deadline) = deadline.filter(|_| !self.speaks_h2) else {
            return Poll::Pending; // one stream's deadline must not end the others
        };
        let (at, alarm) = self
            .alarm
            .get_or_insert_with(|| (deadline, Box::pin(sleep_until(deadline.into()))));
        if *at != deadline {
            *at = deadline;
            alarm.as_mut().reset(deadline.into());
        }
        ready!(alarm.as_mut().poll(cx));
        let what = "the exchange took too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Reads from what waits, then from the socket.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, buf);
        }
        let taken = self.ahead.split_to(self.ahead.len().min(buf.remaining()));
        buf.put_slice(&taken);
        Poll::Ready(Ok(()))
    }

    /// Puts what was read past the end of the body back where the next request will find it.
    fn put_back(&mut self, buf: &mut ReadBuf<'_>, end: usize) {
        if let Some(beyond) = buf.filled().get(end..).filter(|beyond| !beyond.is_empty()) {
            let mut ahead = BytesMut::from(beyond);
            ahead.unsplit(std::mem::take(&mut self.ahead));
            self.ahead = ahead;
        }
        buf.set_filled(end);
    }

    fn poll_length(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_bytes(cx, buf))?;
        let fresh = (buf.filled().len() - before) as u64;
        let own = fresh.min(left);
        self.put_back(buf, before + own as usize);
        self.allowance = Allowance::Length(left - own);
        Poll::Ready(Ok(()))
    }

    fn poll_chunked(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_bytes(cx, buf))?;
        let Allowance::Chunked(follower) = &mut self.allowance else {
            return Poll::Ready(Ok(()));
        };
        let fresh = buf.filled().get(before..).unwrap_or(&[]);
        match follower.follow(fresh) {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(end)) => {
                self.allowance = Allowance::Nothing;
                self.put_back(buf, before + end);
                Poll::Ready(Ok(()))
            }
            Err(Malformed) => {
                let what = "malformed chunked body";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
            }
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever waits for the client has nothing more to say for now: let it go out.
        if !self.gathered.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        let read = match self.allowance {
            Allowance::Anything => self.poll_bytes(cx, buf),
            Allowance::Nothing | Allowance::Length(0) => self.poll_gone(cx),
            Allowance::Chunked(_) => self.poll_chunked(cx, buf),
            Allowance::Length(left) => self.poll_length(cx, buf, left),
        };
        match read {
            Poll::Pending => self.poll_deadline(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered = true;
        if self.gathered.len() + bytes.len() <= GATHER_MAX {
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.gathered.is_empty() {
            return Pin::new(&mut self.tcp).poll_write(cx, bytes);
        }
        // Both parts in one call; count only what is the caller's.
        let this = &mut *self;
        let parts = [IoSlice::new(&this.gathered), IoSlice::new(bytes)];
        let sent = ready!(Pin::new(&mut this.tcp).poll_write_vectored(cx, &parts))?;
        let own = sent.min(this.gathered.len());
        bytes::Buf::advance(&mut this.gathered, own);
        if sent > own {
            Poll::Ready(Ok(sent - own))
        } else {
            self.poll_write(cx, bytes)
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if !std::thread::panicking() || self.answered {
            return;
        }
        // A panic is unwinding through the request and nothing has been said to the client yet:
        // a second handle to the socket lets the connection say it.
        let duplicate = self
            .tcp
            .as_fd()
            .try_clone_to_owned()
            .map(std::net::TcpStream::from);
        let Ok(tcp) = duplicate.and_then(TcpStream::from_std) else {
            return;
        };
        let saved = Self::new(tcp, self.facts.clone(), self.socket.clone());
        *self.rescue.lock() = Some(saved);
    }
}

#[async_trait::async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.tcp.as_raw_fd()
    }
}

impl Ssl for ClientStream {
    /// HTTP/2 with prior knowledge is announced the way a negotiated one is.
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.speaks_h2.then_some(ALPN::H2)
    }
}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.facts.clone())
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

impl Peek for ClientStream {}
