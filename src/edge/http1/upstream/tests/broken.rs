//! Tests of answers that break off or are malformed, of switches, and of writes that fail.

use super::{ask, content, flush, head, next_frame, next_head, pair};
use crate::edge::http1::upstream::Http1Upstream;
use crate::edge::http1::upstream::sending::Sending;
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_cut_answer_is_an_error_for_good() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let (mut near, far) = ask("GET", answer.as_bytes()).await;
        drop(far);
        let result = async {
            while next_head(&mut near).await?.0.status.is_informational() {}
            content(&mut near).await
        };
        assert_eq!(
            result.await.unwrap_err(),
            UpstreamError::Closed,
            "{answer:?}"
        );
        assert_eq!(
            next_frame(&mut near).await.unwrap_err(),
            UpstreamError::Closed
        );
        assert_eq!(near.has_received(), !answer.is_empty());
        assert!(!near.is_reusable());
    }
}

#[tokio::test]
async fn a_malformed_answer_is_an_error_for_good() {
    let (mut near, _far) = ask("GET", b"SSH-2.0-OpenSSH\r\n").await;
    for _ in 0..2 {
        let error = next_head(&mut near).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Malformed(_)), "{error:?}");
    }
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n";
    let (mut near, _far) = ask("GET", chunks).await;
    next_head(&mut near).await.unwrap();
    for _ in 0..2 {
        let error = next_frame(&mut near).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Malformed(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_switched_connection_carries_bytes_both_ways() {
    let (mut near, mut far) = pair();
    let mut head = head("GET");
    head.headers.insert("upgrade", "websocket".parse().unwrap());
    near.send_head(&head, Length::None).unwrap();
    flush(&mut near).await.unwrap();
    far.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\nfirst")
        .await
        .unwrap();
    let (head, _) = next_head(&mut near).await.unwrap();
    assert_eq!(head.status, 101);
    let Some(Frame::Data(data)) = next_frame(&mut near).await.unwrap() else {
        panic!("no data");
    };
    assert_eq!(data, "first");
    let mut skipped = vec![0; 1000];
    let _ = far.read(&mut skipped).await.unwrap();
    near.send_data("raw".into()).unwrap();
    near.send_end(None).unwrap();
    flush(&mut near).await.unwrap();
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"raw");
    far.write_all(b"last").await.unwrap();
    drop(far);
    assert_eq!(content(&mut near).await.unwrap().0, b"last");
    assert!(!near.is_reusable());
}

#[tokio::test]
async fn a_switch_within_the_request_is_malformed() {
    let (mut near, mut far) = pair();
    let mut head = head("POST");
    head.headers.insert("upgrade", "websocket".parse().unwrap());
    near.send_head(&head, Length::Exact(5)).unwrap();
    far.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await
        .unwrap();
    let error = next_head(&mut near).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Malformed(_)), "{error:?}");
}

async fn sockets() -> (Http1Upstream<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Http1Upstream::new(near.unwrap()), far.unwrap().0)
}

/// Sends until a write has failed.
async fn send_until_broken(near: &mut Http1Upstream<TcpStream>) {
    while near.sending != Sending::Discarded {
        poll_fn(|cx| near.poll_ready(cx)).await.unwrap();
        near.send_data(Bytes::from_static(&[b'a'; 10_000])).unwrap();
        flush(near).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_is_read_though_the_upstream_takes_no_more() {
    let (mut near, mut far) = sockets().await;
    near.send_head(&head("POST"), Length::Unknown).unwrap();
    flush(&mut near).await.unwrap();
    let _ = far.read(&mut [0; 1000]).await.unwrap();
    far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        .await
        .unwrap();
    drop(far);
    send_until_broken(&mut near).await;
    poll_fn(|cx| near.poll_ready(cx)).await.unwrap();
    near.send_data("dropped".into()).unwrap();
    near.send_end(None).unwrap();
    flush(&mut near).await.unwrap();
    assert_eq!(next_head(&mut near).await.unwrap().0.status, 413);
    assert_eq!(content(&mut near).await.unwrap().0, b"no");
    assert!(!near.is_sent() && !near.is_reusable());
}

#[tokio::test]
async fn a_failed_write_without_an_answer_is_a_closed_connection() {
    let (mut near, far) = sockets().await;
    near.send_head(&head("POST"), Length::Unknown).unwrap();
    drop(far);
    send_until_broken(&mut near).await;
    assert_eq!(
        next_head(&mut near).await.unwrap_err(),
        UpstreamError::Closed
    );
    assert!(!near.has_received());
}
