//! The socket of an HTTP/2 client as the library sees it: what the client sends is judged by
//! [`Frames`] first, small writes are gathered, and a client that takes nothing is given up.

use super::frames::{Alarm, Frames};
use crate::edge::transport::socket::Socket;
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes that are gathered before they are sent, unless flushed.
const GATHER_MAX: usize = 16 * 1024;
/// A payload of at least this size is sent from where it is, behind what has been gathered.
const DIRECT_MIN: usize = 4 * 1024;
/// An empty buffer of at most this size is kept for the next write.
const BUFFER_KEPT: usize = 4 * 1024;

/// Carries one HTTP/2 connection for the library.
#[derive(Debug)]
pub struct Http2Io {
    socket: Socket,
    /// Read from the socket before HTTP/2 was known to be spoken.
    ahead: BytesMut,
    frames: Frames,
    /// Written by the library, not yet sent.
    gathered: BytesMut,
    /// Longest time in which the client takes nothing of what waits for it.
    write_timeout: Duration,
    /// Fires when the client has taken nothing for so long.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Http2Io {
    /// `ahead` has been read from the socket already, the preface included; `alarm` rings at what
    /// the library must not see.
    pub fn new(
        socket: Socket,
        mut ahead: BytesMut,
        alarm: Arc<Alarm>,
        header_timeout: Duration,
        write_timeout: Duration,
    ) -> Self {
        let mut frames = Frames::new(alarm, header_timeout);
        let good = frames.follow(&ahead);
        ahead.truncate(good);
        Self {
            socket,
            ahead,
            frames,
            gathered: BytesMut::new(),
            write_timeout,
            stalled: None,
        }
    }

    /// Sends all that has been gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = match Pin::new(&mut self.socket).poll_write(cx, &self.gathered) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return self.poll_stalled(cx),
            };
            self.moves(sent)?;
            self.gathered.advance(sent.min(self.gathered.len()));
        }
        if self.gathered.capacity() > BUFFER_KEPT {
            self.gathered = BytesMut::new();
        }
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.stalled = None;
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// The client has taken something.
    fn moves(&mut self, sent: usize) -> io::Result<()> {
        self.stalled = None;
        match sent {
            0 => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }

    /// Fails once the client has taken nothing for too long.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timeout = self.write_timeout;
        let alarm = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(alarm.as_mut().poll(cx));
        let what = "the client takes nothing";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, what)))
    }

    /// Sends what has been gathered and a part of a payload in one call, without copying the
    /// latter.
    fn poll_direct(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let sent = match self.socket.poll_write_both(cx, &self.gathered, payload) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return self.poll_stalled(cx),
            };
            self.moves(sent)?;
            let first = sent.min(self.gathered.len());
            self.gathered.advance(first);
            if sent > first {
                self.frames.passes(sent - first);
                return Poll::Ready(Ok(sent - first));
            }
        }
    }

    /// Copies as much as there is room for.
    fn poll_gather(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHER_MAX {
            ready!(self.poll_send(cx))?;
        }
        let before = self.gathered.len();
        let room = GATHER_MAX.saturating_sub(before);
        let own = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.gathered.extend_from_slice(own);
        let fresh = self.gathered.get_mut(before..).unwrap_or(&mut []);
        self.frames.sends(fresh);
        Poll::Ready(Ok(own.len()))
    }
}

impl AsyncRead for Http2Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return this.frames.poll_read(&mut this.socket, cx, buf);
        }
        let taken = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead.split_to(taken));
        if this.ahead.is_empty() {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let payload = bytes.get(..this.frames.passing().min(bytes.len()));
        // TLS copies in any case, and a record for a head alone would be waste.
        match (payload, &this.socket) {
            (Some(payload), Socket::Plain(_)) if payload.len() >= DIRECT_MIN => {
                this.poll_direct(cx, payload)
            }
            _ => this.poll_gather(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
