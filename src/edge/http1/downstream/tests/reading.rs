//! Bodies of requests, and what lies behind them.

use crate::edge::http1::testing::{GET, Pair, answer, begin, body};
use crate::edge::message::{ClientError, Downstream, Frame, Length};
use futures::FutureExt;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn post(fields: &str, rest: &str) -> Vec<u8> {
    format!("POST /1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n{rest}").into_bytes()
}

#[tokio::test]
async fn a_body_ends_where_the_next_request_begins() {
    let next = std::str::from_utf8(GET).unwrap();
    for (fields, coded, length) in [
        ("Content-Length: 5\r\n", "hello", Length::Exact(5)),
        (
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            Length::Unknown,
        ),
    ] {
        let (mut pair, request) = Pair::with(&post(fields, &format!("{coded}{next}"))).await;
        assert_eq!((request.body, request.head.uri.path()), (length, "/1"));
        assert!(!pair.near.is_read());
        assert_eq!(body(&mut pair.near).await.unwrap().0, b"hello");
        assert!(pair.near.is_read());
        assert_eq!(pair.near.ahead(), GET);
        let gone = poll_fn(|cx| pair.near.poll_gone(cx)).now_or_never();
        assert_eq!(gone, None, "a request waits");
        pair.near.send_head(answer(200, &[]), Length::None).unwrap();
        assert!(pair.near.finish().await);
        assert_eq!(begin(&mut pair.near).await.head.uri.path(), "/");
        assert!(pair.near.is_read() && pair.near.ahead().is_empty());
    }
}

#[tokio::test]
async fn long_bodies_are_read_whole() {
    let data: Vec<u8> = (0..1_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    for chunked in [false, true] {
        let (mut near, mut sent) = (Pair::new(), Vec::new());
        match chunked {
            true => {
                sent.extend(post("Transfer-Encoding: chunked\r\n", ""));
                for chunk in data.chunks(7919) {
                    sent.extend(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
                    sent.extend(chunk);
                    sent.extend(b"\r\n");
                }
                sent.extend(b"0\r\n\r\n");
            }
            false => {
                sent.extend(post(&format!("Content-Length: {}\r\n", data.len()), ""));
                sent.extend(&data);
            }
        }
        sent.extend(GET);
        let writing = async move {
            near.far.write_all(&sent).await.unwrap();
            near.far
        };
        let reading = async {
            begin(&mut near.near).await;
            let read = body(&mut near.near).await.unwrap().0;
            assert!(read == data, "{} bytes", read.len());
            near.near.input.rest();
            begin(&mut near.near).await;
        };
        tokio::join!(writing, reading);
    }
}

#[tokio::test]
async fn trailers_follow_the_data() {
    let coded = "3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n";
    let (mut pair, _) = Pair::with(&post("Transfer-Encoding: chunked\r\n", coded)).await;
    let first = poll_fn(|cx| pair.near.poll_frame(cx)).await.unwrap();
    assert!(matches!(first, Some(Frame::Data(data)) if data == "abc"));
    assert!(!pair.near.is_read(), "trailers are left");
    let (rest, trailers) = body(&mut pair.near).await.unwrap();
    let trailers = trailers.unwrap();
    assert_eq!((rest.len(), trailers.len()), (0, 1));
    assert_eq!(trailers["x-sum"], "7");
    assert!(pair.near.is_read());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_each_time() {
    for (fields, rest, expected) in [
        ("Content-Length: 5\r\n", "hell", ClientError::Gone),
        (
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhell",
            ClientError::Gone,
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "1\r\na\r\n0\r\n",
            ClientError::Gone,
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "1\r\nab\r\n",
            ClientError::Malformed,
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "x\r\n",
            ClientError::Malformed,
        ),
    ] {
        let (mut pair, _) = Pair::with(&post(fields, rest)).await;
        pair.far.shutdown().await.unwrap();
        for _ in 0..2 {
            assert_eq!(body(&mut pair.near).await.err(), Some(expected), "{rest}");
        }
        assert!(!pair.near.is_read());
        pair.near.send_head(answer(400, &[]), Length::None).unwrap();
        let (kept, got) = pair.ended().await;
        assert!(!kept && got.contains("\r\nConnection: close\r\n"), "{got}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let (mut pair, _) = Pair::with(GET).await;
    assert_eq!(poll_fn(|cx| pair.near.poll_gone(cx)).now_or_never(), None);
    drop(pair.far);
    assert_eq!(
        poll_fn(|cx| pair.near.poll_gone(cx)).await,
        ClientError::Gone
    );
}

#[tokio::test]
async fn looking_for_the_end_takes_nothing_off_a_body() {
    let (mut pair, _) = Pair::with(&post("Content-Length: 5\r\n", "")).await;
    assert_eq!(poll_fn(|cx| pair.near.poll_gone(cx)).now_or_never(), None);
    pair.far.write_all(b"hello").await.unwrap();
    assert_eq!(poll_fn(|cx| pair.near.poll_gone(cx)).now_or_never(), None);
    assert_eq!(body(&mut pair.near).await.unwrap().0, b"hello");
}

#[tokio::test]
async fn a_quiet_connection_holds_no_buffers() {
    let (mut pair, _) = Pair::with(&post("Content-Length: 5\r\n", "hello")).await;
    body(&mut pair.near).await.unwrap();
    pair.near
        .send_head(answer(200, &[]), Length::Exact(2))
        .unwrap();
    pair.near.send_data("ok".into()).unwrap();
    pair.near.send_end(None).unwrap();
    assert!(pair.near.finish().await);
    assert_eq!(pair.near.input.ahead.capacity(), 0);
    assert_eq!(pair.near.output.capacity(), 0);
    let mut got = [0; 16];
    pair.far.read_exact(&mut got).await.unwrap();
    let size = size_of_val(&pair.near);
    assert!(size <= 384, "{size}");
}
