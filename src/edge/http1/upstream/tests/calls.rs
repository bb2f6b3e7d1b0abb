//! Tests of how often the connection is written to and read from.

use super::{content, flush, head, next_head};
use crate::edge::http1::upstream::Http1Upstream;
use crate::edge::message::{Length, Upstream};
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

/// Counts the calls that would reach the kernel.
struct Counted {
    io: DuplexStream,
    reads: u32,
    writes: u32,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.reads += u32::from(read.is_ready());
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_usual_exchange_is_one_write_and_one_read() {
    for (length, size) in [
        (Length::None, 0),
        (Length::Exact(100), 100),
        (Length::Unknown, 100),
        (Length::Exact(50_000), 50_000),
        (Length::Unknown, 50_000),
    ] {
        let (io, mut far) = duplex(1 << 20);
        let (reads, writes) = (0, 0);
        let mut near = Http1Upstream::new(Counted { io, reads, writes });
        near.send_head(&head("POST"), length).unwrap();
        near.send_data(Bytes::from(vec![b'a'; size])).unwrap();
        near.send_end(None).unwrap();
        flush(&mut near).await.unwrap();
        assert!(far.read(&mut vec![0; 100_000]).await.unwrap() > size);
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .await
            .unwrap();
        next_head(&mut near).await.unwrap();
        assert_eq!(content(&mut near).await.unwrap().0, b"hello");
        assert!(near.is_reusable());
        let counted = near.into_stream();
        assert_eq!((counted.writes, counted.reads), (1, 1), "{length:?} {size}");
    }
}
