//! Sockets, TCP or Unix; and the client's, with TLS or without.

use bytes::{Buf, BytesMut};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Bytes on their way, before TLS.
#[derive(Debug)]
pub struct Transport {
    raw: Raw,
    /// Read from the socket, and given to whoever reads next.
    pub ahead: BytesMut,
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
        }
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Self {
            raw: Raw::Unix(stream),
            ahead: BytesMut::new(),
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
    /// Taken by whoever survives a panic.
    Gone,
}

impl Socket {
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

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
            Self::Gone => return,
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
            _ => Pin::new(self).poll_write(cx, first),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(transport) => transport.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_raw_fd(),
            Self::Gone => -1,
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
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
            Self::Gone => Poll::Ready(Err(gone())),
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
            Self::Gone => Poll::Ready(Err(gone())),
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
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(transport) => Pin::new(transport).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// Takes the first bytes off.
pub fn advance(bytes: &mut BytesMut, by: usize) {
    bytes.advance(by.min(bytes.len()));
}
