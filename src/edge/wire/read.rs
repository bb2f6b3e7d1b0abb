//! Reading: exactly what belongs to the current request.

use super::{Allowance, ClientStream, Switch};
use crate::edge::facts::Facts;
use crate::edge::http1::chunked::Malformed;
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

impl ClientStream {
    /// The request is over: only tells when the client has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending; // a pipelined request waits; so does the news of a close
        }
        match ready!(self.socket.poll_gone(cx, &mut self.ahead))? {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Fails once the exchange has taken too long. The core's own limits are per read, so an
    /// upstream that drips its head byte by byte would outlive any of them.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = self.facts().and_then(Facts::deadline);
        let Some(deadline) = deadline.filter(|_| self.frames.is_none()) else {
            return Poll::Pending; // one stream's deadline must not end the others
        };
        ready!(self.timer.poll_passed(cx, deadline));
        let what = "the exchange took too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Reads from what waits, then from the socket.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return match &mut self.frames {
                None => Pin::new(&mut self.socket).poll_read(cx, buf),
                Some(frames) => frames.poll_read(&mut self.socket, cx, buf),
            };
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

    /// Reads a part of the body, with an eye on its pace.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match self.poll_bytes(cx, buf) {
            Poll::Pending => {
                self.pace.waits();
                Poll::Pending
            }
            Poll::Ready(read) => {
                read?;
                Poll::Ready(self.pace.got(buf.filled().len() - before))
            }
        }
    }

    /// Reads for an upstream that may have become a WebSocket's other end.
    fn poll_anything(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Switch::WebSocket(socket) = &mut self.websocket
            && socket.poll_goodbye(cx, &mut self.gathered, buf)
        {
            return match self.poll_send(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Pending if buf.filled().len() > before => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            };
        }
        ready!(self.poll_bytes(cx, buf))?;
        if let Switch::WebSocket(socket) = &mut self.websocket {
            socket.passes_up(buf.filled().get(before..).unwrap_or(&[]));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_length(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_body(cx, buf))?;
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
        ready!(self.poll_body(cx, buf))?;
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
        // Whoever waits for the client has nothing more to say for now: let it go out. TLS may still
        // have some of it.
        if (!self.gathered.is_empty() || self.stalled.is_some())
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        let read = match self.allowance {
            Allowance::Anything => self.poll_anything(cx, buf),
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
