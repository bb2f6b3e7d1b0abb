//! The bytes that go to the other side: small pieces are gathered, a large one is not copied.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Largest piece that is copied to what goes before it.
const COPY_MAX: usize = 4 * 1024;
/// So much may be gathered before it has to be written.
const GATHERED_MAX: usize = 16 * 1024;
/// Room for a usual head.
const HEAD_SIZE: usize = 1024;

/// What is to be written: `gathered`, then `large`, then `behind`.
#[derive(Debug)]
pub struct Output {
    gathered: BytesMut,
    large: Bytes,
    /// Empty while `large` is.
    behind: BytesMut,
    /// Everything that was written has been flushed.
    flushed: bool,
    /// The write half is to be shut down behind everything else.
    ends: bool,
    /// Bytes that have been written, over all.
    written: u64,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            gathered: BytesMut::new(),
            large: Bytes::new(),
            behind: BytesMut::new(),
            flushed: true,
            ends: false,
            written: 0,
        }
    }
}

impl Output {
    /// Returns the buffer that small pieces go to.
    pub fn small(&mut self) -> &mut BytesMut {
        self.flushed = false;
        if !self.large.is_empty() {
            return &mut self.behind;
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve(HEAD_SIZE);
        }
        &mut self.gathered
    }

    /// Queues a piece, which is not copied if it is large.
    pub fn push(&mut self, data: Bytes) {
        if data.len() <= COPY_MAX || !self.large.is_empty() {
            self.small().put_slice(&data);
        } else {
            self.flushed = false;
            self.large = data;
        }
    }

    /// Shuts the write half down once everything has been written.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// Whether another piece can be queued.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.gathered.len() < GATHERED_MAX
    }

    /// Returns how many bytes have been written, over all.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Whether everything has been written and flushed.
    pub const fn is_flushed(&self) -> bool {
        self.flushed && !self.ends
    }

    /// Returns how much room the buffers have.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.gathered.capacity() + self.large.len() + self.behind.capacity()
    }

    /// Forgets everything that has not been written.
    pub fn discard(&mut self) {
        let written = self.written;
        *self = Self {
            written,
            ..Self::default()
        };
    }

    /// Writes until another piece can be queued.
    pub fn poll_room<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.has_room() {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes everything, and flushes.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() || !self.large.is_empty() {
            ready!(self.poll_write(io, cx))?;
        }
        if !self.flushed {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.flushed = true;
        }
        if self.ends {
            ready!(Pin::new(io).poll_shutdown(cx))?;
            self.ends = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let io = Pin::new(io);
        let written = if self.large.is_empty() {
            ready!(io.poll_write(cx, &self.gathered))?
        } else {
            let pieces = [
                IoSlice::new(&self.gathered),
                IoSlice::new(&self.large),
                IoSlice::new(&self.behind),
            ];
            ready!(io.poll_write_vectored(cx, &pieces))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        let gathered = written.min(self.gathered.len());
        self.gathered.advance(gathered);
        let rest = written - gathered;
        let large = rest.min(self.large.len());
        self.large.advance(large);
        if self.large.is_empty() {
            // Gives the memory of the piece back at once.
            self.large = Bytes::new();
            if !self.behind.is_empty() {
                self.behind.advance(rest - large);
                std::mem::swap(&mut self.gathered, &mut self.behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COPY_MAX, GATHERED_MAX, Output};
    use bytes::{BufMut, Bytes};
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn pieces_are_written_in_their_order() {
        for room in [1, 7, 64, 1 << 20] {
            let (mut near, mut far) = tokio::io::duplex(room);
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                far.read_to_end(&mut all).await.unwrap();
                all
            });
            let mut output = Output::default();
            let mut wanted = Vec::new();
            for size in [3, COPY_MAX + 1, 5, 0, 2 * COPY_MAX, COPY_MAX] {
                poll_fn(|cx| output.poll_room(&mut near, cx)).await.unwrap();
                let piece = vec![b'a' + size as u8 % 26; size];
                output.small().put_slice(b"<");
                output.push(Bytes::from(piece.clone()));
                output.small().put_slice(b">");
                wanted.extend([b"<".as_slice(), &piece, b">"].concat());
            }
            output.end();
            poll_fn(|cx| output.poll_flush(&mut near, cx))
                .await
                .unwrap();
            assert!(output.is_flushed());
            assert_eq!(reading.await.unwrap(), wanted);
        }
    }

    #[test]
    fn a_large_piece_is_not_copied_and_a_small_one_is() {
        let mut output = Output::default();
        output.push(Bytes::from(vec![0; COPY_MAX]));
        assert!(output.large.is_empty() && output.has_room());
        let large = Bytes::from(vec![0; COPY_MAX + 1]);
        output.push(large.clone());
        assert_eq!(output.large.as_ptr(), large.as_ptr());
        assert!(!output.has_room());
        output.discard();
        output.push(Bytes::from(vec![0; COPY_MAX]));
        output.small().put_bytes(0, GATHERED_MAX);
        assert!(!output.has_room());
    }
}
