//! Bodies of requests.

use super::{answer, begin, body, exchange, flush, ok, read, run, status};
use crate::edge::http2::upstream::Http2Upstream;
use crate::edge::message::{Length, Upstream, UpstreamError};
use bytes::Bytes;
use futures::FutureExt;
use h2::Reason;
use h2::server::Builder;
use http::{HeaderMap, StatusCode};
use std::future::poll_fn;

async fn send(stream: &mut Http2Upstream, data: impl Into<Bytes>) -> Result<(), UpstreamError> {
    poll_fn(|cx| stream.poll_ready(cx)).await?;
    stream.send_data(data.into())
}

#[tokio::test]
async fn a_body_gets_through_windows_of_any_size() {
    for (window, size) in [(0, 10), (1, 300), (7, 1000), (65_535, 300_000)] {
        let mut settings = Builder::new();
        settings.initial_window_size(window);
        let (mut stream, (request, mut respond), server) =
            begin(&settings, "POST", Length::Unknown).await;
        run(server);
        let sent: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let mut from = request.into_body();
        let up = async {
            for part in sent.chunks(size / 3) {
                send(&mut stream, part.to_vec()).await.unwrap();
            }
            stream.send_end(None).unwrap();
            flush(&mut stream).await.unwrap();
        };
        let down = async {
            if window == 0 {
                // Such a server gives room by hand.
                let _ = from.flow_control().release_capacity(0);
            }
            read(&mut from).await
        };
        if window == 0 {
            // It never does: the upload waits, and the exchange's clock ends it.
            assert!(up.now_or_never().is_none());
            continue;
        }
        let ((), whole) = tokio::join!(up, down);
        assert_eq!(whole, sent, "{window}");
        respond.send_response(ok(), true).unwrap();
        assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    }
}

#[tokio::test]
async fn the_end_comes_with_the_last_data() {
    let (mut stream, (request, _respond)) = exchange("POST", Length::Exact(5)).await;
    assert_eq!(request.headers()["content-length"], "5");
    let mut from = request.into_body();
    send(&mut stream, "whole").await.unwrap();
    stream.send_end(None).unwrap();
    flush(&mut stream).await.unwrap();
    assert_eq!(from.data().await.unwrap().unwrap(), "whole");
    assert!(from.is_end_stream());
}

#[tokio::test]
async fn data_out_of_turn_is_refused() {
    let (mut stream, _asked) = exchange("POST", Length::Unknown).await;
    stream.send_data("first".into()).unwrap();
    assert!(stream.send_data("second".into()).is_err());
    flush(&mut stream).await.unwrap();
    stream.send_end(None).unwrap();
    assert!(stream.send_data("third".into()).is_err());
}

#[tokio::test]
async fn trailers_end_a_request() {
    let (mut stream, (request, _respond)) = exchange("POST", Length::Unknown).await;
    let mut from = request.into_body();
    send(&mut stream, "whole").await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("connection", "x".parse().unwrap());
    stream.send_end(Some(trailers)).unwrap();
    flush(&mut stream).await.unwrap();
    assert_eq!(read(&mut from).await, b"whole");
    let trailers = from.trailers().await.unwrap().unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "1");
}

#[tokio::test]
async fn an_early_answer_comes_while_the_upload_goes_on() {
    let (mut stream, (request, mut respond)) = exchange("POST", Length::Unknown).await;
    send(&mut stream, "first").await.unwrap();
    flush(&mut stream).await.unwrap();
    let mut of = answer(&mut respond, ok());
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    send(&mut stream, "second").await.unwrap();
    stream.send_end(None).unwrap();
    flush(&mut stream).await.unwrap();
    assert_eq!(read(&mut request.into_body()).await, b"firstsecond");
    of.send_data("whole".into(), true).unwrap();
    assert_eq!(body(&mut stream).await.unwrap(), b"whole");
}

/// An upload of more than the window, of which nothing is read.
async fn stuck(stream: &mut Http2Upstream) {
    send(stream, vec![0; 1 << 20]).await.unwrap();
    assert!(flush(stream).now_or_never().is_none());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(flush(stream).now_or_never().is_none());
}

#[tokio::test]
async fn a_reset_after_the_whole_answer_only_stops_the_upload() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let (mut stream, (request, mut respond)) = exchange("POST", Length::Unknown).await;
        stuck(&mut stream).await;
        let mut of = answer(&mut respond, ok());
        of.send_data("whole".into(), true).unwrap();
        // The server's end has written its answer once the client's end has it.
        let mut peek = Box::pin(status(&mut stream));
        let head = peek.as_mut().await;
        drop(peek);
        of.send_reset(reason);
        drop(request);
        flush(&mut stream).await.unwrap();
        send(&mut stream, "more").await.unwrap();
        stream.send_end(None).unwrap();
        flush(&mut stream).await.unwrap();
        assert_eq!(head, Ok(StatusCode::OK));
        assert_eq!(body(&mut stream).await.unwrap(), b"whole", "{reason:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_yet_survives_the_reset() {
    let (mut stream, (request, mut respond)) = exchange("POST", Length::Unknown).await;
    stuck(&mut stream).await;
    let mut of = answer(&mut respond, ok());
    of.send_data("whole".into(), true).unwrap();
    // Dropped unread, the request is reset with NO_ERROR by the library.
    drop((request, respond, of));
    flush(&mut stream).await.unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    assert_eq!(body(&mut stream).await.unwrap(), b"whole");
}

#[tokio::test]
async fn a_reset_wakes_an_upload_that_waits() {
    for (reason, meaning) in [
        (Reason::REFUSED_STREAM, UpstreamError::Unprocessed),
        (Reason::INTERNAL_ERROR, UpstreamError::Reset),
    ] {
        let (mut stream, (_request, mut respond)) = exchange("POST", Length::Unknown).await;
        stuck(&mut stream).await;
        let (flushed, ()) = tokio::join!(flush(&mut stream), async {
            respond.send_reset(reason);
        });
        assert_eq!(flushed, Err(meaning));
        assert_eq!(status(&mut stream).await, Err(meaning));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_wakes_an_upload_that_waits() {
    let (mut stream, asked, server) = begin(&Builder::new(), "POST", Length::Unknown).await;
    send(&mut stream, vec![0; 1 << 20]).await.unwrap();
    let (flushed, ()) = tokio::join!(flush(&mut stream), async {
        drop((asked, server));
    });
    assert_eq!(flushed, Err(UpstreamError::Closed));
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_cancelled_without_room() {
    let (mut stream, (_request, mut respond)) = exchange("POST", Length::Unknown).await;
    stuck(&mut stream).await;
    drop(stream);
    let told = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::CANCEL);
}

#[tokio::test]
async fn an_answered_upload_that_is_dropped_is_cancelled() {
    let (mut stream, (_request, mut respond)) = exchange("POST", Length::Unknown).await;
    let mut of = answer(&mut respond, ok());
    of.send_data("whole".into(), true).unwrap();
    status(&mut stream).await.unwrap();
    body(&mut stream).await.unwrap();
    drop(stream);
    let told = poll_fn(|cx| of.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::CANCEL);
}
