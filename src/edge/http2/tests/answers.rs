//! Answers, whole and broken off.

use super::service::{CHUNK, Event, LARGE};
use super::{Setup, get, pattern, post, read, within, write};
use crate::edge::message::ClientError;
use bytes::Bytes;
use futures::FutureExt;
use h2::Reason;
use http::Request;
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};

#[tokio::test]
async fn a_small_answer_ends_with_its_only_part() {
    let (mut client, _server) = Setup::new().connect().await;
    let mut answer = within(client.get("/it").await).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "3");
    assert!(answer.headers().contains_key("date"));
    let body = answer.body_mut();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "/it");
    assert!(body.is_end_stream(), "no frame follows");
}

#[tokio::test]
async fn fields_of_a_connection_go_and_a_date_stays() {
    let (mut client, _server) = Setup::new().connect().await;
    let answer = within(client.get("/fields").await).await.unwrap();
    assert_eq!(answer.headers().len(), 2, "{:?}", answer.headers());
    assert_eq!(answer.headers()["date"], "Tue, 15 Nov 1994 08:12:31 GMT");
    assert_eq!(answer.headers()["x-own"], "1");
}

#[tokio::test]
async fn answers_to_head_keep_their_length_and_end_at_once() {
    let (mut client, _server) = Setup::new().connect().await;
    let request = Request::head("http://a.example/bodiless").body(()).unwrap();
    let (answer, _) = client.send(request, true).await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "5");
    assert!(answer.body().is_end_stream());
}

#[tokio::test]
async fn interim_answers_come_first() {
    let (mut client, _server) = Setup::new().connect().await;
    let mut answer = client.get("/interim").await;
    for (status, link) in [(100, None), (103, Some("</a>"))] {
        let interim = within(poll_fn(|cx| answer.poll_informational(cx))).await;
        let interim = interim.unwrap().unwrap();
        assert_eq!(interim.status(), status);
        let told = interim.headers().get("link");
        assert_eq!(told.map(|link| link.to_str().unwrap()), link);
        assert!(!interim.headers().contains_key("connection"));
    }
    let mut answer = within(answer).await.unwrap();
    assert_eq!(read(answer.body_mut()).await.unwrap(), b"final");
}

#[tokio::test]
async fn trailers_end_an_answer_without_content() {
    let (mut client, _server) = Setup::new().connect().await;
    let mut answer = within(client.get("/trailers").await).await.unwrap();
    assert_eq!(read(answer.body_mut()).await.unwrap(), b"");
    let trailers = within(answer.body_mut().trailers()).await.unwrap().unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_slow_reader_holds_one_buffer_and_one_part() {
    for window in [CHUNK as u32 / 2, 2 << 20] {
        let (mut client, mut server) = Setup::new().window(window).connect().await;
        let mut answer = within(client.get("/large").await).await.unwrap();
        server.event().await;
        client.settle().await;
        let mut queued = 0;
        while server.events.try_recv().is_ok() {
            queued += CHUNK;
        }
        // The connection's window is that of the protocol.
        let given = window.min(65_535) as usize;
        assert!(
            queued <= given + super::super::connection::SEND_BUFFER + CHUNK,
            "{queued}"
        );
        assert!(read(answer.body_mut()).await.unwrap() == pattern(LARGE));
    }
}

#[tokio::test]
async fn windows_of_a_few_bytes_are_enough() {
    let (mut client, _server) = Setup::new().window(3).connect().await;
    let path = format!("/{}", "x".repeat(200));
    let mut answer = within(client.get(&path).await).await.unwrap();
    assert_eq!(read(answer.body_mut()).await.unwrap(), path.as_bytes());
}

#[tokio::test]
async fn a_client_that_resets_is_gone_in_each_phase() {
    let (mut client, mut server) = Setup::new().window(10).connect().await;
    // Before an answer.
    let (_answer, mut stream) = client.send(get("/wait"), true).await;
    server.event().await;
    stream.send_reset(Reason::CANCEL);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
    // While the answer waits for room.
    let (answer, mut stream) = client.send(get("/large"), true).await;
    let answer = within(answer).await.unwrap();
    server.event().await;
    assert!(matches!(server.event().await, Event::Queued));
    client.settle().await;
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
    // While the end of the answer waits for room.
    let (answer, mut stream) = client.send(get("/0123456789"), true).await;
    let answer = within(answer).await.unwrap();
    server.event().await;
    client.settle().await;
    assert!(server.events.try_recv().is_err());
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    assert_eq!(server.event().await.failed(), ClientError::Gone);
}

#[tokio::test]
async fn an_answer_to_a_stream_that_was_reset_harms_no_other() {
    let (mut client, mut server) = Setup::new().connect().await;
    let (_answer, mut stream) = client.send(get("/late"), true).await;
    server.event().await;
    stream.send_reset(Reason::CANCEL);
    client.settle().await;
    server.gate.notify_one();
    assert_eq!(server.event().await.failed(), ClientError::Gone);
    assert_eq!(within(client.get("/it").await).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_connection_that_ends_wakes_its_streams() {
    for path in ["/wait", "/large", "/parts"] {
        let (mut client, mut server) = Setup::new().window(10).connect().await;
        let (_answer, _body) = client.send(post(path, None), false).await;
        server.event().await;
        client.settle().await;
        client.task.abort();
        loop {
            match server.event().await {
                Event::Queued => {}
                event => {
                    assert_eq!(event.failed(), ClientError::Gone, "{path}");
                    break;
                }
            }
        }
        within(server.task).await.unwrap();
    }
}

#[tokio::test]
async fn an_early_answer_stops_a_long_upload_without_an_error() {
    let (mut client, _server) = Setup::new().connect().await;
    let (answer, mut body) = client.send(post("/early", Some(10 << 20)), false).await;
    let mut answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(read(answer.body_mut()).await.unwrap(), b"too large");
    let reason = within(poll_fn(|cx| body.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
}

#[tokio::test]
async fn an_early_answer_lets_a_short_upload_end() {
    let (mut client, _server) = Setup::new().connect().await;
    let (answer, mut body) = client.send(post("/early", Some(100)), false).await;
    assert_eq!(within(answer).await.unwrap().status(), 413);
    write(&mut body, pattern(100), true).await;
    client.settle().await;
    assert!(poll_fn(|cx| body.poll_reset(cx)).now_or_never().is_none());
}

#[tokio::test]
async fn an_upload_that_goes_on_and_on_is_stopped() {
    let (mut client, _server) = Setup::new().connect().await;
    let (answer, mut body) = client.send(post("/early", None), false).await;
    assert_eq!(within(answer).await.unwrap().status(), 413);
    let reason = poll_fn(|cx| {
        loop {
            if let Poll::Ready(reason) = body.poll_reset(cx) {
                return Poll::Ready(reason);
            }
            body.reserve_capacity(1024);
            ready!(body.poll_capacity(cx)).unwrap().unwrap();
            let part = Bytes::from_static(&[0; 1024]);
            body.send_data(part, false).unwrap();
        }
    });
    let reason = within(reason).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let (mut client, server) = Setup::new().connect().await;
    for path in ["/cut", "/abort"] {
        // Its head may be dropped with what is queued behind it.
        let error = match within(client.get(path).await).await {
            Ok(mut answer) => read(answer.body_mut()).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{path}");
    }
    let error = within(client.get("/panic").await).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(server.metrics.panics.load(Relaxed), 1);
    assert_eq!(within(client.get("/it").await).await.unwrap().status(), 200);
}
