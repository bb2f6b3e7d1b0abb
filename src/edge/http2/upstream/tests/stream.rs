//! Answers.

use super::{
    accept, answer, ask, begin, body, exchange, flush, frame, head, ok, pair, run, status,
};
use crate::edge::message::{Frame, Length, Upstream, UpstreamError};
use bytes::Bytes;
use futures::FutureExt;
use h2::Reason;
use h2::server::Builder;
use http::{HeaderMap, Response, StatusCode};
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn an_answer_has_its_length() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(
        &mut respond,
        Response::builder()
            .header("content-length", 5)
            .body(())
            .unwrap(),
    );
    assert_eq!(head(&mut stream).await.unwrap().1, Length::Exact(5));
    of.send_data("whole".into(), true).unwrap();
    assert_eq!(body(&mut stream).await.unwrap(), b"whole");

    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(&mut respond, ok());
    assert_eq!(head(&mut stream).await.unwrap().1, Length::Unknown);
    of.send_data(Bytes::new(), false).unwrap();
    of.send_data("whole".into(), false).unwrap();
    of.send_data(Bytes::new(), true).unwrap();
    let Some(Frame::Data(data)) = frame(&mut stream).await.unwrap() else {
        panic!("an empty part is none");
    };
    assert_eq!(data, "whole");
    assert!(frame(&mut stream).await.unwrap().is_none());
}

#[tokio::test]
async fn an_answer_without_content_has_none() {
    for (method, status, end) in [
        ("GET", 200, true),
        ("HEAD", 200, true),
        ("HEAD", 200, false),
        ("GET", 204, false),
        ("GET", 304, false),
    ] {
        let (mut stream, (_, mut respond)) = exchange(method, Length::None).await;
        let mut own = Response::builder().status(status);
        if method == "HEAD" || status == 304 {
            own = own.header("content-length", 5);
        }
        let mut of = respond.send_response(own.body(()).unwrap(), end).unwrap();
        let (head, length) = head(&mut stream).await.unwrap();
        assert_eq!((head.status.as_u16(), length), (status, Length::None));
        if !end && status == 204 {
            of.send_data(Bytes::new(), true).unwrap();
        }
        if end || status == 204 {
            assert!(
                frame(&mut stream).await.unwrap().is_none(),
                "{method} {status}"
            );
        }
    }
}

#[tokio::test]
async fn content_where_there_is_none_is_malformed() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let (mut stream, (_, mut respond)) = exchange(method, Length::None).await;
        let own = Response::builder().status(status).body(()).unwrap();
        let mut of = answer(&mut respond, own);
        of.send_data("x".into(), true).unwrap();
        head(&mut stream).await.unwrap();
        let read = body(&mut stream).await;
        assert!(
            matches!(read, Err(UpstreamError::Malformed(_))),
            "{method} {status} {read:?}"
        );
    }
}

#[tokio::test]
async fn more_or_less_content_than_announced_is_malformed() {
    for (length, data) in [("5", "longer"), ("5", "less")] {
        let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
        let own = Response::builder().header("content-length", length);
        let mut of = answer(&mut respond, own.body(()).unwrap());
        head(&mut stream).await.unwrap();
        of.send_data(data.into(), true).unwrap();
        let read = body(&mut stream).await;
        assert!(
            matches!(read, Err(UpstreamError::Malformed(_))),
            "{data} {read:?}"
        );
    }
}

#[tokio::test]
async fn interim_answers_come_before_the_final_one() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    for status in [100, 103] {
        let interim = Response::builder().status(status).header("link", "</a>");
        respond
            .send_informational(interim.body(()).unwrap())
            .unwrap();
    }
    assert_eq!(status(&mut stream).await.unwrap().as_u16(), 100);
    let (early, length) = head(&mut stream).await.unwrap();
    assert_eq!((early.status.as_u16(), length), (103, Length::None));
    assert_eq!(early.headers["link"], "</a>");
    assert!(head(&mut stream).now_or_never().is_none());
    respond.send_response(ok(), true).unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    assert!(frame(&mut stream).await.unwrap().is_none());
}

#[tokio::test]
async fn trailers_end_an_answer() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(&mut respond, ok());
    of.send_data("x".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    of.send_trailers(trailers.clone()).unwrap();
    status(&mut stream).await.unwrap();
    assert!(matches!(frame(&mut stream).await, Ok(Some(Frame::Data(_)))));
    let Some(Frame::Trailers(read)) = frame(&mut stream).await.unwrap() else {
        panic!("no trailers");
    };
    assert_eq!(read, trailers);
    assert!(frame(&mut stream).await.unwrap().is_none());
}

#[tokio::test]
async fn white_space_around_a_value_is_malformed() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let own = Response::builder().header("x", " a").body(()).unwrap();
    let mut of = answer(&mut respond, own);
    let read = head(&mut stream).await.unwrap_err();
    assert!(matches!(read, UpstreamError::Malformed(_)));
    drop(stream);
    let told = poll_fn(|cx| of.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::PROTOCOL_ERROR);
}

#[tokio::test]
async fn resets_say_whether_the_request_was_processed() {
    for (reason, meaning) in [
        (Reason::REFUSED_STREAM, UpstreamError::Unprocessed),
        (Reason::INTERNAL_ERROR, UpstreamError::Reset),
        (Reason::NO_ERROR, UpstreamError::Reset),
        (Reason::CANCEL, UpstreamError::Reset),
    ] {
        let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
        respond.send_reset(reason);
        assert_eq!(status(&mut stream).await, Err(meaning), "{reason:?}");

        let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
        let mut of = answer(&mut respond, ok());
        status(&mut stream).await.unwrap();
        of.send_reset(reason);
        assert_eq!(
            body(&mut stream).await,
            Err(UpstreamError::Reset),
            "{reason:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_closed() {
    let (mut stream, asked, server) = begin(&Builder::new(), "GET", Length::None).await;
    drop((asked, server));
    assert_eq!(status(&mut stream).await, Err(UpstreamError::Closed));
}

#[tokio::test]
async fn a_stream_above_the_last_one_of_a_goaway_is_unprocessed() {
    let (ours, mut theirs) = super::transport();
    let pool = super::Http2Pool::default();
    let connect = || std::future::ready(Ok::<_, std::convert::Infallible>(ours));
    let stream = pool.stream(super::KEY, http::uri::Scheme::HTTP, super::IDLE, connect);
    let (mut stream, _) = stream.await.unwrap();
    stream.send_head(&ask("GET"), Length::None).unwrap();
    // SETTINGS, then GOAWAY: the last stream is 0, for reason ENHANCE_YOUR_CALM.
    theirs
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    theirs.write_all(&goaway).await.unwrap();
    assert_eq!(status(&mut stream).await, Err(UpstreamError::Unprocessed));
}

#[tokio::test]
async fn what_is_no_http2_is_malformed() {
    let (ours, mut theirs) = super::transport();
    let pool = super::Http2Pool::default();
    let connect = || std::future::ready(Ok::<_, std::convert::Infallible>(ours));
    let stream = pool.stream(super::KEY, http::uri::Scheme::HTTP, super::IDLE, connect);
    let (mut stream, _) = stream.await.unwrap();
    stream.send_head(&ask("GET"), Length::None).unwrap();
    theirs
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .unwrap();
    let read = status(&mut stream).await;
    assert!(matches!(read, Err(UpstreamError::Malformed(_))), "{read:?}");
    theirs.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_field_of_a_connection_is_malformed() {
    let (ours, mut theirs) = super::transport();
    let pool = super::Http2Pool::default();
    let connect = || std::future::ready(Ok::<_, std::convert::Infallible>(ours));
    let stream = pool.stream(super::KEY, http::uri::Scheme::HTTP, super::IDLE, connect);
    let (mut stream, _) = stream.await.unwrap();
    stream.send_head(&ask("GET"), Length::None).unwrap();
    // The request is on its way once so much has come: the preface, SETTINGS, and more.
    theirs.read_exact(&mut [0; 90]).await.unwrap();
    theirs
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let fields = b"\x88\x00\x0aconnection\x01x";
    theirs
        .write_all(&[0, 0, fields.len() as u8, 1, 5, 0, 0, 0, 1])
        .await
        .unwrap();
    theirs.write_all(fields).await.unwrap();
    let read = status(&mut stream).await;
    assert!(matches!(read, Err(UpstreamError::Malformed(_))), "{read:?}");
}

#[tokio::test]
async fn many_small_parts_may_wait_for_a_slow_client() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(&mut respond, ok());
    let parts = super::super::STREAM_WINDOW as usize / 40;
    for _ in 0..parts {
        of.reserve_capacity(40);
        while of.capacity() < 40 {
            poll_fn(|cx| of.poll_capacity(cx)).await.unwrap().unwrap();
        }
        of.send_data(Bytes::from_static(&[7; 40]), false).unwrap();
    }
    of.send_data(Bytes::new(), true).unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
    assert_eq!(body(&mut stream).await.unwrap().len(), parts * 40);
}

#[tokio::test]
async fn a_large_head_is_malformed() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let value = "x".repeat(30_000);
    let own = (0..10).fold(Response::builder(), |own, _| own.header("x", &value));
    answer(&mut respond, own.body(()).unwrap());
    let read = status(&mut stream).await;
    assert!(matches!(read, Err(UpstreamError::Malformed(_))), "{read:?}");
}

#[tokio::test]
async fn a_part_makes_room_once_the_next_one_is_asked_for() {
    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(&mut respond, ok());
    let window = super::super::STREAM_WINDOW as usize;
    of.reserve_capacity(2 * window);
    // As much as the window allows, and not a byte more.
    let mut sent = 0;
    while sent < window {
        let room = poll_fn(|cx| of.poll_capacity(cx)).await.unwrap().unwrap();
        of.send_data(vec![0; room].into(), false).unwrap();
        sent += room;
    }
    assert_eq!(sent, window);
    status(&mut stream).await.unwrap();
    let Some(Frame::Data(first)) = frame(&mut stream).await.unwrap() else {
        panic!("no data");
    };
    let mut read = first.len();
    assert!(poll_fn(|cx| of.poll_capacity(cx)).now_or_never().is_none());
    while read < window {
        match frame(&mut stream).await.unwrap() {
            Some(Frame::Data(data)) => read += data.len(),
            other => panic!("{other:?}"),
        }
    }
    assert!(poll_fn(|cx| of.poll_capacity(cx)).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled() {
    let (stream, (_, mut respond)) = exchange("GET", Length::None).await;
    drop(stream);
    let told = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::CANCEL);

    let (mut stream, (_, mut respond)) = exchange("GET", Length::None).await;
    let mut of = answer(&mut respond, ok());
    status(&mut stream).await.unwrap();
    drop(stream);
    let told = poll_fn(|cx| of.poll_reset(cx)).await.unwrap();
    assert_eq!(told, Reason::CANCEL);
}

#[tokio::test]
async fn a_stream_that_ended_is_not_cancelled() {
    let (mut stream, (_, mut respond), mut server) =
        begin(&Builder::new(), "GET", Length::None).await;
    answer(&mut respond, ok())
        .send_data("x".into(), true)
        .unwrap();
    let ended = async {
        status(&mut stream).await.unwrap();
        body(&mut stream).await.unwrap();
        drop(stream);
    };
    tokio::select! {
        () = ended => {}
        _ = server.accept() => panic!("no further stream"),
    }
    // The pool went with `begin`, so the connection ends, and without error.
    assert!(server.accept().await.is_none());
    assert!(
        poll_fn(|cx| respond.poll_reset(cx))
            .now_or_never()
            .is_none_or(|told| told.is_err())
    );
}

#[tokio::test]
async fn a_server_without_header_table_is_served() {
    let mut settings = Builder::new();
    settings.header_table_size(0);
    let (mut stream, mut server) = pair(&settings).await;
    // The connection takes the SETTINGS in.
    let _ = server.accept().now_or_never();
    tokio::task::yield_now().await;
    stream.send_head(&ask("GET"), Length::None).unwrap();
    flush(&mut stream).await.unwrap();
    let (request, mut respond) = accept(&mut server).await;
    assert_eq!(request.uri(), "http://a.example/a?b");
    run(server);
    respond.send_response(ok(), true).unwrap();
    assert_eq!(status(&mut stream).await, Ok(StatusCode::OK));
}
