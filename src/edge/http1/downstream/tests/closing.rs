//! Whether another request follows, and how a connection ends.

use crate::edge::http1::testing::{GET, Pair, answer, begin, over};
use crate::edge::message::{ClientError, Downstream, Length};
use crate::edge::transport::drain::Phase;
use std::future::poll_fn;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What an answer says of a connection whose request is not read.
async fn said(request: &str) -> String {
    let (mut pair, _) = Pair::with(request.as_bytes()).await;
    pair.near.send_head(answer(200, &[]), Length::None).unwrap();
    let got = pair.flushed("\r\n\r\n").await;
    got.split("Connection: ").nth(1).unwrap().trim().to_owned()
}

fn post(fields: &str, rest: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{rest}")
}

#[tokio::test]
async fn an_answer_says_whether_the_connection_is_kept() {
    let length = |length: u32| format!("Content-Length: {length}\r\n");
    let expects = format!("Expect: 100-continue\r\n{}", length(3));
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (request, expected) in [
        (post("", ""), "keep-alive"),
        (post("Connection: close\r\n", ""), "close"),
        (post(&length(65_536), "abc"), "keep-alive"),
        (post(&length(65_537), "abc"), "close"),
        (post(&expects, ""), "close"),
        (post(&expects, "a"), "keep-alive"),
        (post(chunked, "1\r\na\r\n0\r\n\r\n"), "keep-alive"),
        (post(chunked, "1\r\na\r\n"), "close"),
        (post(chunked, "x\r\n"), "close"),
    ] {
        assert_eq!(said(&request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn a_client_that_was_asked_for_its_body_keeps_the_connection() {
    let request = post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
    let (mut pair, _) = Pair::with(request.as_bytes()).await;
    pair.near.send_interim(answer(100, &[])).unwrap();
    pair.near.send_head(answer(200, &[]), Length::None).unwrap();
    let got = pair.flushed("\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert!(got.contains("keep-alive"));
}

#[tokio::test]
async fn a_small_body_is_read_off_before_the_next_request() {
    let (mut pair, _) = Pair::with(post("Content-Length: 5\r\n", "he").as_bytes()).await;
    pair.near.send_head(answer(200, &[]), Length::None).unwrap();
    pair.flushed("\r\n\r\n").await;
    pair.far.write_all(&[b"llo", GET].concat()).await.unwrap();
    assert!(pair.near.finish().await);
    begin(&mut pair.near).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_the_connection() {
    let (mut pair, _) = Pair::with(post("Content-Length: 5\r\n", "he").as_bytes()).await;
    pair.near.send_head(answer(200, &[]), Length::None).unwrap();
    assert!(!pair.near.finish().await);
}

#[tokio::test]
async fn a_listener_that_drains_says_close_behind_the_last_request() {
    let (mut pair, _) = Pair::with(&[GET, GET].concat()).await;
    pair.drainer.tell(Phase::Announced);
    for last in [false, true] {
        pair.near.send_head(answer(200, &[]), Length::None).unwrap();
        let got = pair.flushed("\r\n\r\n").await;
        assert_eq!(got.contains("Connection: close"), last);
        if !last {
            assert!(pair.near.finish().await);
            begin(&mut pair.near).await;
        }
    }
    let (kept, _) = pair.ended().await;
    assert!(!kept);
}

#[tokio::test]
async fn close_after_closes() {
    let (mut pair, _) = Pair::with(GET).await;
    pair.near.close_after();
    pair.near.send_head(answer(200, &[]), Length::None).unwrap();
    let (kept, got) = pair.ended().await;
    assert!(!kept && got.contains("Connection: close"));
}

#[tokio::test]
async fn an_answer_without_its_end_never_looks_whole() {
    for (length, aborts) in [
        (Length::Exact(5), false),
        (Length::Unknown, false),
        (Length::Exact(5), true),
        (Length::Unknown, true),
    ] {
        let (mut pair, _) = Pair::with(GET).await;
        pair.near.send_head(answer(200, &[]), length).unwrap();
        pair.near.send_data("hel".into()).unwrap();
        let chunked = length == Length::Unknown;
        pair.flushed(if chunked { "hel\r\n" } else { "hel" }).await;
        if aborts {
            pair.near.abort();
            assert_eq!(pair.near.send_data("lo".into()), Err(ClientError::Gone));
        } else if !chunked {
            pair.near.send_end(None).unwrap();
        }
        let (kept, rest) = pair.ended().await;
        assert!(!kept && rest.trim().is_empty(), "{rest}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_by_close_is_broken_off_by_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for breaks in [false, true] {
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(listener.accept(), connecting);
        let (mut near, _drainer) = over(near.unwrap().0);
        let mut far = far.unwrap();
        far.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        begin(&mut near).await;
        near.send_head(answer(200, &[]), Length::Unknown).unwrap();
        near.send_data("hel".into()).unwrap();
        poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"hel") {
            far.read_buf(&mut got).await.unwrap();
        }
        match breaks {
            true => near.abort(),
            false => near.send_end(None).unwrap(),
        }
        let reading = far.read_to_end(&mut got);
        let ending = async move { near.finish().await };
        let (read, kept) = tokio::join!(reading, ending);
        let end = read.map_err(|error| error.kind());
        let expected = if breaks {
            Err(ErrorKind::ConnectionReset)
        } else {
            Ok(0)
        };
        assert_eq!((end, kept), (expected, false));
    }
}

#[tokio::test]
async fn a_handler_that_does_not_answer_closes() {
    let (pair, _) = Pair::with(GET).await;
    assert_eq!(pair.ended().await, (false, String::new()));
}
