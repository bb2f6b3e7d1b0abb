//! Tests of exchanges over pairs of sockets.

mod broken;
mod calls;

use super::Http1Upstream;
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use http::{HeaderMap, Request, request, response};
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

type Near = Http1Upstream<DuplexStream>;

fn head(method: &str) -> request::Parts {
    let request = Request::builder()
        .method(method)
        .uri("/")
        .header("host", "a");
    request.body(()).unwrap().into_parts().0
}

fn pair() -> (Near, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (Http1Upstream::new(near), far)
}

/// Sends a request without a body, and lets the other side answer.
async fn ask(method: &str, answer: &[u8]) -> (Near, DuplexStream) {
    let (mut near, mut far) = pair();
    near.send_head(&head(method), Length::None).unwrap();
    flush(&mut near).await.unwrap();
    far.write_all(answer).await.unwrap();
    (near, far)
}

async fn flush(near: &mut impl Upstream) -> Result<(), UpstreamError> {
    poll_fn(|cx| near.poll_flush(cx)).await
}

async fn next_head(near: &mut impl Upstream) -> Result<(response::Parts, Length), UpstreamError> {
    poll_fn(|cx| near.poll_head(cx)).await
}

async fn next_frame(near: &mut impl Upstream) -> Result<Option<Frame>, UpstreamError> {
    poll_fn(|cx| near.poll_frame(cx)).await
}

/// Reads a body to its end.
async fn content(near: &mut impl Upstream) -> Result<(Vec<u8>, HeaderMap), UpstreamError> {
    let (mut all, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = next_frame(near).await? {
        match frame {
            Frame::Data(data) => all.extend_from_slice(&data),
            Frame::Trailers(fields) => trailers = fields,
        }
    }
    Ok((all, trailers))
}

#[tokio::test]
async fn a_connection_is_reusable_behind_a_whole_exchange() {
    for (method, answer, wanted, reusable) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "hello",
            true,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello!",
            "hello",
            false,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "",
            true,
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nx", "", false),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "",
            true,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "",
            false,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
            "a",
            false,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "a",
            true,
        ),
    ] {
        let (mut near, far) = ask(method, answer.as_bytes()).await;
        assert!(near.is_sent() && !near.has_received() && !near.is_reusable());
        next_head(&mut near).await.unwrap();
        assert!(near.has_received());
        let (all, _) = content(&mut near).await.unwrap();
        assert_eq!(all, wanted.as_bytes(), "{answer}");
        assert_eq!(near.is_reusable(), reusable, "{answer}");
        drop(far);
        assert_eq!(
            near.into_stream().read_u8().await.unwrap_err().kind(),
            std::io::ErrorKind::UnexpectedEof
        );
    }
}

#[tokio::test]
async fn a_request_that_asks_for_the_end_of_its_connection_gets_it() {
    let (mut near, mut far) = pair();
    let mut head = head("GET");
    head.headers.insert("connection", "close".parse().unwrap());
    near.send_head(&head, Length::None).unwrap();
    flush(&mut near).await.unwrap();
    far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    next_head(&mut near).await.unwrap();
    assert!(near.is_read() && !near.is_reusable());
}

#[tokio::test]
async fn what_is_sent_before_a_flush_is_one_write() {
    let (mut near, mut far) = pair();
    near.send_head(&head("POST"), Length::Unknown).unwrap();
    for data in ["hello, ", "", "world, and all"] {
        poll_fn(|cx| near.poll_ready(cx)).await.unwrap();
        near.send_data(data.into()).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    near.send_end(Some(trailers)).unwrap();
    assert!(!near.is_sent());
    flush(&mut near).await.unwrap();
    assert!(near.is_sent());
    let mut all = vec![0; 1000];
    let read = far.read(&mut all).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&all[..read]),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
         7\r\nhello, \r\ne\r\nworld, and all\r\n0\r\nx-sum: 1\r\n\r\n"
    );
}

#[tokio::test]
async fn large_bodies_arrive_whole_through_a_narrow_pipe() {
    for length in [Length::Unknown, Length::Exact(300_000)] {
        let (near, mut far) = duplex(1000);
        let mut near = Http1Upstream::new(near);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        near.send_head(&head("PUT"), length).unwrap();
        for letter in [b'a', b'b', b'c'] {
            poll_fn(|cx| near.poll_ready(cx)).await.unwrap();
            near.send_data(Bytes::from(vec![letter; 100_000])).unwrap();
        }
        near.send_end(None).unwrap();
        flush(&mut near).await.unwrap();
        assert!(near.is_sent());
        drop(near);
        let all = String::from_utf8(reading.await.unwrap()).unwrap();
        let (_, body) = all.split_once("\r\n\r\n").unwrap();
        let parts = ["a", "b", "c"].map(|letter| letter.repeat(100_000));
        let wanted = match length {
            Length::Exact(_) => parts.concat(),
            _ => parts.map(|part| format!("186a0\r\n{part}\r\n")).concat() + "0\r\n\r\n",
        };
        assert!(body == wanted && all.starts_with("PUT / HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn no_more_is_sent_than_announced_and_no_less() {
    let (mut near, _far) = pair();
    near.send_head(&head("POST"), Length::Exact(3)).unwrap();
    near.send_data("ab".into()).unwrap();
    assert_eq!(near.send_data("cd".into()), Err(UpstreamError::Closed));
    assert_eq!(near.send_end(None), Err(UpstreamError::Closed));
    flush(&mut near).await.unwrap();
    assert!(!near.is_sent());
    let (mut near, _far) = pair();
    near.send_head(&head("GET"), Length::None).unwrap();
    assert_eq!(near.send_data("a".into()), Err(UpstreamError::Closed));
    assert_eq!(
        near.send_head(&head("GET"), Length::None),
        Err(UpstreamError::Closed)
    );
    let (mut near, _far) = pair();
    let mut connect = head("CONNECT");
    connect.uri = "a:1".parse().unwrap();
    assert_eq!(
        near.send_head(&connect, Length::None),
        Err(UpstreamError::Closed)
    );
}

#[tokio::test]
async fn interim_answers_come_one_by_one() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!";
    let (mut near, _far) = ask("GET", (interim.repeat(2) + last).as_bytes()).await;
    for _ in 0..2 {
        let (head, length) = next_head(&mut near).await.unwrap();
        assert_eq!((head.status.as_u16(), length), (103, Length::None));
        assert!(!near.is_read());
    }
    let (head, length) = next_head(&mut near).await.unwrap();
    assert_eq!((head.status.as_u16(), length), (200, Length::Exact(1)));
    assert_eq!(content(&mut near).await.unwrap().0, b"!");
    assert!(near.is_reusable());
}

#[tokio::test]
async fn trailers_follow_a_chunked_body() {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                   2\r\nab\r\n1\r\nc\r\n0\r\nGrpc-Status: 0\r\n\r\n";
    let (mut near, _far) = ask("GET", answer).await;
    let (_, length) = next_head(&mut near).await.unwrap();
    assert_eq!(length, Length::Unknown);
    let (all, trailers) = content(&mut near).await.unwrap();
    assert_eq!(all, b"abc");
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    assert!(near.is_reusable());
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection_if_it_says_nothing_else() {
    let (mut near, far) = ask("GET", b"HTTP/1.0 200 OK\r\n\r\nall of it").await;
    drop(far);
    assert_eq!(next_head(&mut near).await.unwrap().1, Length::Unknown);
    assert_eq!(content(&mut near).await.unwrap().0, b"all of it");
    assert!(!near.is_reusable() && near.is_read());
}
