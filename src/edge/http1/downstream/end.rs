//! The end of an exchange: another request follows, or the connection is closed so that the answer
//! arrives (RFC 9112, section 9.6).

use super::Http1Client;
use crate::edge::message::{ClientError, Downstream};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// Longest wait for the rest of a request's body before the connection is given up.
const DRAIN_BODY: Duration = Duration::from_secs(2);
/// Longest wait for the client to close, and most bytes that are read meanwhile.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_READ_MAX: usize = 256 * 1024;
/// Bytes that are read off at once.
const LINGER_READ: usize = 4 * 1024;

impl Http1Client {
    /// Ends the exchange. Returns whether another request may follow. Otherwise the connection is
    /// closed when the client is dropped, and an answer without an end never looks whole.
    pub async fn finish(&mut self) -> bool {
        let ended = self.answer.is_whole() && !self.broken;
        if !ended || !self.flushes().await {
            self.abort();
            self.sends_rest().await;
            if !self.answer.ends_by_close() {
                self.close_gently().await;
            }
            return false;
        }
        if !self.keeps || !self.drains().await {
            self.close_gently().await;
            return false;
        }
        self.input.rest();
        self.output.discard();
        true
    }

    /// Sends what is queued of an answer that has broken off: its beginning tells the client more than
    /// a connection that ends without a word.
    async fn sends_rest(&mut self) {
        let Self { output, socket, .. } = self;
        let sent = poll_fn(|cx| output.poll_flush(socket, cx));
        let _ = timeout(LINGER, sent).await;
    }

    /// Sends all that is queued. Returns whether the client has taken it in time.
    async fn flushes(&mut self) -> bool {
        if self.output.is_flushed() {
            return true;
        }
        let limit = self.info.write_timeout;
        let flushed = timeout(limit, poll_fn(|cx| self.poll_flush(cx)));
        matches!(flushed.await, Ok(Ok(())))
    }

    /// Reads the rest of the body off, if it is small. Returns whether all of it has come.
    async fn drains(&mut self) -> bool {
        if self.input.is_read() {
            return true;
        }
        if !self.input.is_drainable() {
            return false;
        }
        let rest = poll_fn(|cx| {
            loop {
                if ready!(self.poll_frame(cx))?.is_none() {
                    return Poll::Ready(Ok::<(), ClientError>(()));
                }
            }
        });
        matches!(timeout(DRAIN_BODY, rest).await, Ok(Ok(())))
    }

    /// Ends the sending side and reads for a short while what the client still sends, so that a
    /// reset does not destroy the answer before it is read.
    pub async fn close_gently(&mut self) {
        let closed = poll_fn(|cx| Pin::new(&mut self.socket).poll_shutdown(cx));
        if !matches!(timeout(LINGER, closed).await, Ok(Ok(()))) {
            return;
        }
        let mut total = 0;
        let rest = poll_fn(|cx| {
            let mut bytes = [MaybeUninit::uninit(); LINGER_READ];
            while total < LINGER_READ_MAX {
                let mut buf = ReadBuf::uninit(&mut bytes);
                let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf));
                if read.is_err() || buf.filled().is_empty() {
                    break;
                }
                total += buf.filled().len();
            }
            Poll::Ready(())
        });
        let _ = timeout(LINGER, rest).await;
    }

    /// Sends bytes outside of an exchange, for refusals of what is no request.
    ///
    /// # Errors
    /// When the client has gone, or takes nothing.
    pub async fn send_plain(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = timeout(self.info.write_timeout, async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        });
        sent.await?
    }
}
