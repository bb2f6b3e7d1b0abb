//! The bytes that come from an upstream.

use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Size of the first buffer, and of the largest one.
const SIZE_MIN: usize = 8 * 1024;
const SIZE_MAX: usize = 64 * 1024;

/// A buffer whose size follows the reads. It is allocated by the first read.
#[derive(Debug)]
pub struct Input {
    bytes: BytesMut,
    /// Size of the next allocation.
    size: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            size: SIZE_MIN,
        }
    }
}

impl Input {
    /// Returns what has been read and not been taken.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes everything, without a copy.
    pub fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Reads once. Returns how many bytes were read; 0 is the end.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.spare() < self.size / 4 {
            self.bytes.reserve(self.size);
        }
        let spare = self.spare();
        let read = ready!(pin!(io.read_buf(&mut self.bytes)).poll(cx))?;
        self.size = match read {
            read if read == spare => (self.size * 2).min(SIZE_MAX),
            read if read < self.size / 4 => (self.size / 2).max(SIZE_MIN),
            _ => self.size,
        };
        Poll::Ready(Ok(read))
    }

    fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, SIZE_MAX, SIZE_MIN};
    use std::future::poll_fn;

    #[tokio::test]
    async fn the_size_follows_the_reads() {
        let content = vec![7; 4 * SIZE_MAX];
        let mut source = content.as_slice();
        let mut input = Input::default();
        let mut total = 0;
        while poll_fn(|cx| input.poll_fill(&mut source, cx))
            .await
            .unwrap()
            > 0
        {
            total += input.take().len();
        }
        assert_eq!(total, content.len());
        assert_eq!(input.size, SIZE_MAX / 2, "the end is a small read");
        for _ in 0..20 {
            let mut source: &[u8] = b"small";
            poll_fn(|cx| input.poll_fill(&mut source, cx))
                .await
                .unwrap();
            assert_eq!(input.take(), "small");
        }
        assert_eq!(input.size, SIZE_MIN);
    }
}
