//! Sockets, TCP or Unix; and the client's, with TLS or without.

use bytes::{Buf, BytesMut};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Events of new bytes that are passed over at once while a hang-up is waited for.
const EVENTS_MAX: usize = 3;

/// Bytes on their way, before TLS.
#[derive(Debug)]
pub struct Transport {
    raw: Raw,
    /// Read from the socket, and given to the next reader.
    pub ahead: BytesMut,
    /// The runtime was told to forget that there are bytes to read (see [`Self::poll_hung_up`]).
    unread: bool,
}

#[derive(Debug)]
enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Self {
            raw: Raw::Tcp(stream),
            ahead: BytesMut::new(),
            unread: false,
        }
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Self {
            raw: Raw::Unix(stream),
            ahead: BytesMut::new(),
            unread: false,
        }
    }
}

impl Transport {
    /// The TCP stream below, if it is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.raw {
            Raw::Tcp(stream) => Some(stream),
            Raw::Unix(_) => None,
        }
    }

    /// Ready once the client has closed its sending side, or the connection has broken, though
    /// bytes wait unread before that.
    ///
    /// The runtime wakes a reader for an edge, and there is none while bytes wait. So it is told to
    /// forget them, and the kernel is asked after each event.
    pub fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Raw::Tcp(stream) = &self.raw else {
            return Poll::Pending;
        };
        self.unread = true;
        for _ in 0..EVENTS_MAX {
            let forgets = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = stream.try_io(Interest::READABLE, forgets);
            if stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
            let mut asked = [PollFd::new(stream, ends)];
            let now = Timespec::default();
            if poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads what the runtime was told to forget. `None`: there is nothing.
    fn read_forgotten(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        if !std::mem::take(&mut self.unread) {
            return None;
        }
        let flags = MsgFlags::MSG_DONTWAIT;
        match recv(self.as_raw_fd(), buf.initialize_unfilled(), flags) {
            Ok(read) => {
                buf.advance(read);
                // There may be more, of which no event tells.
                self.unread = read > 0;
                Some(Ok(()))
            }
            Err(Errno::EAGAIN) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Waits until there is something to read, or the end.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.raw {
            _ if !self.ahead.is_empty() => Ok(()),
            Raw::Tcp(stream) => stream.readable().await,
            Raw::Unix(stream) => stream.readable().await,
        }
    }

    /// Reads more into `ahead`. 0: the client has closed.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        match &mut self.raw {
            Raw::Tcp(stream) => stream.read_buf(&mut self.ahead).await,
            Raw::Unix(stream) => stream.read_buf(&mut self.ahead).await,
        }
    }
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        match &self.raw {
            Raw::Tcp(stream) => stream.as_raw_fd(),
            Raw::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let taken = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(taken));
            if this.ahead.is_empty() {
                // A connection that is kept needs no such room.
                this.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(read) = this.read_forgotten(buf) {
            return Poll::Ready(read);
        }
        match &mut this.raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Raw::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Raw::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Raw::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // the kernel has it
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Raw::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection, ready for HTTP.
#[derive(Debug)]
pub enum Socket {
    Plain(Transport),
    Tls(Box<TlsStream<Transport>>),
}

impl Socket {
    /// Whether the client has closed, without taking what it may have sent: `Ok(true)` it has,
    /// `Ok(false)` there is something to read. Where the kernel cannot show bytes without taking
    /// them, they go to `ahead`.
    pub fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        ahead: &mut BytesMut,
    ) -> Poll<io::Result<bool>> {
        if let Self::Plain(Transport {
            raw: Raw::Tcp(stream),
            ahead,
            unread: false,
        }) = self
            && ahead.is_empty()
        {
            let seen = ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut [0; 1])))?;
            return Poll::Ready(Ok(seen == 0));
        }
        let mut bytes = [0; 1024];
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(Pin::new(self).poll_read(cx, &mut buf))?;
        ahead.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().is_empty()))
    }

    /// Ready once the client has closed its sending side, or the connection has broken, though
    /// bytes wait unread before that.
    pub fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(transport) => transport.poll_hung_up(cx),
            Self::Tls(stream) => stream.get_mut().0.poll_hung_up(cx),
        }
    }

    /// Whether the kernel has nothing from the client, not even its end.
    pub fn is_quiet(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.as_raw_fd(), &mut [0; 1], flags) == Err(Errno::EAGAIN)
    }

    /// Makes the close a reset, which no client takes for the end of an answer. Sockets other than
    /// TCP's cannot be reset.
    pub fn reset_on_close(&self) {
        let transport = match self {
            Self::Plain(transport) => transport,
            Self::Tls(stream) => stream.get_ref().0,
        };
        if let Some(stream) = transport.tcp() {
            // Where it fails, the connection is broken already.
            let _ = stream.set_zero_linger();
        }
    }

    /// Both parts in one call where the kernel can; TLS has its own records.
    pub fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(transport) => {
                let parts = [IoSlice::new(first), IoSlice::new(second)];
                Pin::new(transport).poll_write_vectored(cx, &parts)
            }
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, first),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(transport) => transport.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(transport) => Pin::new(transport).poll_read(cx, buf),
            Self::Tls(stream) => match Pin::new(stream).poll_read(cx, buf) {
                // Closed without a goodbye: so do many, and HTTP knows its own ends.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(transport) => Pin::new(transport).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(transport) => Pin::new(transport).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(transport) => Pin::new(transport).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Takes the first bytes off.
pub fn advance(bytes: &mut BytesMut, by: usize) {
    bytes.advance(by.min(bytes.len()));
}
