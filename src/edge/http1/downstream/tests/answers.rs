//! Heads and bodies of answers, as they are written.

use crate::edge::http1::output::Output;
use crate::edge::http1::testing::{GET, Pair, answer};
use crate::edge::message::{Downstream, Length};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Version};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWrite};

const OLD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const OLD_KEPT: &[u8] = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// What comes of an answer: whether the connection is kept, its head without the date, its body.
async fn written(
    request: &[u8],
    status: u16,
    fields: &[(&'static str, &'static str)],
    length: Length,
    parts: &[&'static str],
) -> (bool, String, String) {
    let (mut pair, _) = Pair::with(request).await;
    pair.near.send_head(answer(status, fields), length).unwrap();
    for part in parts {
        poll_fn(|cx| pair.near.poll_ready(cx)).await.unwrap();
        pair.near
            .send_data(Bytes::from_static(part.as_bytes()))
            .unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    trailers.insert("content-length", HeaderValue::from_static("7"));
    pair.near.send_end(Some(trailers)).unwrap();
    let (kept, got) = pair.ended().await;
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let (before, date) = head.split_once("Date: ").unwrap();
    let (date, behind) = date.split_once("\r\n").unwrap();
    assert_eq!(date.len(), 29, "{date}");
    (kept, format!("{before}{behind}"), body.to_owned())
}

#[tokio::test]
async fn the_end_of_a_body_is_told_as_its_client_understands_it() {
    let fields = [
        ("content-type", "text/plain"),
        ("x-a", "b"),
        ("content-length", "77"),
    ];
    let start = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n";
    let parts = ["hello", "", " world"];
    for (request, length, kept, framing, body) in [
        (
            GET,
            Length::Exact(11),
            true,
            "Content-Length: 11\r\n",
            "hello world",
        ),
        (
            GET,
            Length::Unknown,
            true,
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n",
        ),
        (
            OLD,
            Length::Exact(11),
            false,
            "Content-Length: 11\r\n",
            "hello world",
        ),
        (
            OLD_KEPT,
            Length::Exact(11),
            true,
            "Content-Length: 11\r\n",
            "hello world",
        ),
        (OLD_KEPT, Length::Unknown, false, "", "hello world"),
        (GET, Length::None, true, "Content-Length: 0\r\n", ""),
    ] {
        let got = written(request, 200, &fields, length, &parts).await;
        let connection = if kept { "keep-alive" } else { "close" };
        let head = format!("{start}{framing}Connection: {connection}");
        assert_eq!(got, (kept, head, body.to_owned()));
    }
}

#[tokio::test]
async fn an_answer_without_content_keeps_its_length_and_has_none() {
    let head_of = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let own: &[_] = &[("content-length", "77")];
    for (request, status, fields, length, expected) in [
        (&head_of[..], 200, own, Length::None, Some("77")),
        (head_of, 200, &[], Length::Exact(5), Some("5")),
        (head_of, 200, &[], Length::Unknown, None),
        (GET, 304, own, Length::None, Some("77")),
        (GET, 304, &[], Length::Exact(0), None),
        (GET, 204, own, Length::None, None),
    ] {
        let (kept, head, body) = written(request, status, fields, length, &["hello"]).await;
        let told = head.split("Content-Length: ").nth(1);
        let told = told.map(|rest| rest.split("\r\n").next().unwrap());
        assert_eq!((kept, told, body.as_str()), (true, expected, ""), "{head}");
        assert!(!head.contains("Transfer-Encoding"));
    }
}

#[tokio::test]
async fn a_date_that_is_there_stays() {
    let (mut pair, _) = Pair::with(GET).await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    pair.near
        .send_head(answer(200, &[("date", date)]), Length::None)
        .unwrap();
    let got = pair.flushed("\r\n\r\n").await;
    assert_eq!(got.matches("Date: ").count(), 1);
    assert!(got.contains(date));
}

#[tokio::test]
async fn interim_answers_come_before_the_final_one() {
    let early = || answer(103, &[("link", "</a>"), ("content-length", "0")]);
    let (mut pair, _) = Pair::with(GET).await;
    pair.near.send_interim(early()).unwrap();
    let got = pair.flushed("\r\n\r\n").await;
    assert_eq!(got, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let (mut old, _) = Pair::with(OLD).await;
    old.near.send_interim(early()).unwrap();
    old.near.send_head(answer(200, &[]), Length::None).unwrap();
    assert!(
        old.flushed("\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
}

#[tokio::test]
async fn more_than_was_announced_is_cut_and_ends_the_connection() {
    let (mut pair, _) = Pair::with(GET).await;
    pair.near
        .send_head(answer(200, &[]), Length::Exact(3))
        .unwrap();
    pair.near.send_data("hello".into()).unwrap();
    pair.near.send_end(None).unwrap();
    let (kept, got) = pair.ended().await;
    assert!(!kept && got.ends_with("\r\n\r\nhel"), "{got}");
}

#[tokio::test]
async fn what_a_client_does_not_take_is_bounded() {
    let (mut pair, _) = Pair::with(GET).await;
    pair.near
        .send_head(answer(200, &[]), Length::Unknown)
        .unwrap();
    let piece = Bytes::from(vec![b'x'; 10_000]);
    let mut queued = 0;
    while let Some(ready) = poll_fn(|cx| pair.near.poll_ready(cx)).now_or_never() {
        ready.unwrap();
        pair.near.send_data(piece.clone()).unwrap();
        queued += piece.len();
    }
    let mut got = Vec::new();
    pair.near.send_end(None).unwrap();
    let flush = poll_fn(|cx| pair.near.poll_flush(cx));
    let read = async {
        while !got.ends_with(b"\r\n0\r\n\r\n") {
            pair.far.read_buf(&mut got).await.unwrap();
        }
    };
    let (flushed, ()) = tokio::join!(flush, read);
    flushed.unwrap();
    let data = memchr::memchr_iter(b'x', &got).count();
    assert_eq!(data, queued);
}

/// Takes everything, and remembers what came at once.
#[derive(Default)]
struct Writes(Vec<Vec<u8>>);

impl AsyncWrite for Writes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let length = whole.len();
        self.0.push(whole);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn head_and_first_data_leave_in_one_write() {
    for (size, length) in [
        (64, Length::Exact(64)),
        (100_000, Length::Exact(100_000)),
        (100_000, Length::Unknown),
    ] {
        let (mut output, mut writes) = (Output::default(), Writes::default());
        let mut under_test = super::super::answer::Answer::new(Version::HTTP_11, false);
        under_test.head(&mut output, &answer(200, &[]), length, true);
        under_test.data(&mut output, Bytes::from(vec![b'x'; size]));
        assert!(under_test.end(&mut output, None));
        poll_fn(|cx| output.poll_flush(&mut writes, cx))
            .await
            .unwrap();
        assert_eq!(writes.0.len(), 1, "{size} {length:?}");
        assert!(writes.0[0].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}
