//! Writing: pieces are gathered until somebody waits, and a client that takes nothing is given up.

use super::{Allowance, ClientStream, Switch};
use crate::edge::websocket::WebSocket;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Responses are gathered up to this size before they are sent, unless flushed.
const GATHER_MAX: usize = 16 * 1024;

impl ClientStream {
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = match Pin::new(&mut self.socket).poll_write(cx, &self.gathered) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return self.poll_stalled(cx),
            };
            self.moves();
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes::Buf::advance(&mut self.gathered, sent);
        }
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.moves();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// The client has taken something: the upstream is listened to again.
    fn moves(&mut self) {
        if self.stalled.take().is_some()
            && let Some(facts) = self.facts()
        {
            facts.hears();
        }
    }

    /// The client takes nothing: for how long already?
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if let Some(facts) = self.facts() {
            facts.waits_for_client();
        }
        let timeout = self.write_timeout;
        let alarm = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(alarm.as_mut().poll(cx));
        let what = "the client takes nothing";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, what)))
    }

    /// An answer that switches protocols makes the connection a WebSocket's end; any other that is
    /// final leaves it what it was.
    fn switches(&mut self, answer: &[u8]) {
        if answer.starts_with(b"HTTP/1.1 101") {
            self.allowance = Allowance::Anything;
            self.websocket = match WebSocket::begin(answer, &self.drain) {
                Some(socket) => Switch::WebSocket(Box::new(socket)),
                None => Switch::No,
            };
        } else if !answer.starts_with(b"HTTP/1.1 1") {
            self.websocket = Switch::No;
        }
    }

    /// Gathers what somebody has to look at on its way out: frames of HTTP/2, or of a WebSocket.
    fn poll_watched(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHER_MAX {
            ready!(self.poll_send(cx))?;
        }
        let before = self.gathered.len();
        let room = GATHER_MAX.saturating_sub(before);
        let own = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        if let Switch::WebSocket(socket) = &mut self.websocket {
            // Nothing follows the goodbye.
            if socket.passes_down(own) {
                self.gathered.extend_from_slice(own);
                socket.tell_client(&mut self.gathered);
            }
            return Poll::Ready(Ok(own.len()));
        }
        self.gathered.extend_from_slice(own);
        if let Some(frames) = &mut self.frames {
            frames.sends(self.gathered.get_mut(before..).unwrap_or(&mut []));
        }
        Poll::Ready(Ok(own.len()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered = true;
        if matches!(self.websocket, Switch::WebSocket(_)) || self.frames.is_some() {
            return self.poll_watched(cx, bytes);
        }
        if matches!(self.websocket, Switch::Offered) {
            self.switches(bytes);
        }
        if self.gathered.len() + bytes.len() <= GATHER_MAX {
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let this = &mut *self;
        let sent = match this.gathered.is_empty() {
            true => Pin::new(&mut this.socket).poll_write(cx, bytes),
            // Both parts in one call; count only what is the caller's.
            false => this.socket.poll_write_both(cx, &this.gathered, bytes),
        };
        let sent = match sent {
            Poll::Ready(sent) => sent?,
            Poll::Pending => return this.poll_stalled(cx),
        };
        this.moves();
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
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
