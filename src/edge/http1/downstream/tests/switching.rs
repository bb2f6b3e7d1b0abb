//! Connections that become WebSockets.

use crate::edge::http1::testing::{Pair, answer, body};
use crate::edge::message::{Downstream, Frame};
use crate::edge::transport::drain::Phase;
use bytes::Bytes;
use futures::FutureExt;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OFFER: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// A connection that has switched; `early` came behind the offer.
async fn switched(early: &[u8]) -> Pair {
    let (mut pair, request) = Pair::with(&[OFFER, early].concat()).await;
    assert!(request.websocket);
    let fields = [("connection", "Upgrade"), ("upgrade", "websocket")];
    pair.near.switch(answer(101, &fields)).unwrap();
    let head = pair.flushed("\r\n\r\n").await;
    let expected = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    assert_eq!(head, expected);
    pair
}

async fn next(pair: &mut Pair) -> Option<Bytes> {
    match poll_fn(|cx| pair.near.poll_frame(cx)).await.unwrap() {
        Some(Frame::Data(data)) => Some(data),
        Some(Frame::Trailers(_)) | None => None,
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_way_ends_for_itself() {
    let mut pair = switched(b"early").await;
    assert_eq!(next(&mut pair).await.unwrap(), "early");
    pair.far.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut pair).await.unwrap(), "0\r\n\r\n");
    pair.far.shutdown().await.unwrap();
    assert_eq!(next(&mut pair).await, None);
    // The frame of a message of three bytes.
    pair.near
        .send_data(Bytes::from_static(b"\x82\x03abc"))
        .unwrap();
    pair.near.send_end(None).unwrap();
    poll_fn(|cx| pair.near.poll_flush(cx)).await.unwrap();
    let mut got = Vec::new();
    pair.far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"\x82\x03abc");
    assert!(!pair.near.finish().await);
}

#[tokio::test]
async fn both_sides_are_told_when_the_process_leaves() {
    let mut pair = switched(b"").await;
    pair.drainer.tell(Phase::Over);
    let masked = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];
    assert_eq!(next(&mut pair).await.unwrap()[..], masked);
    assert_eq!(next(&mut pair).await, None);
    let mut got = [0; 4];
    pair.far.read_exact(&mut got).await.unwrap();
    assert_eq!(got, CLOSE);
    // Nothing follows it.
    pair.near
        .send_data(Bytes::from_static(b"\x82\x01a"))
        .unwrap();
    pair.near.send_end(None).unwrap();
    let (kept, rest) = pair.ended().await;
    assert_eq!((kept, rest.as_str()), (false, ""));
}

#[tokio::test]
async fn a_frame_that_has_begun_ends_before_the_goodbye() {
    let mut pair = switched(b"").await;
    pair.near
        .send_data(Bytes::from_static(b"\x82\x03a"))
        .unwrap();
    poll_fn(|cx| pair.near.poll_flush(cx)).await.unwrap();
    // The client is in the midst of a frame of its own, too.
    pair.far.write_all(b"\x82\x83").await.unwrap();
    assert_eq!(next(&mut pair).await.unwrap()[..], b"\x82\x83"[..]);
    pair.drainer.tell(Phase::Over);
    let waits = poll_fn(|cx| pair.near.poll_frame(cx)).now_or_never();
    assert!(waits.is_none());
    pair.near.send_data(Bytes::from_static(b"bc")).unwrap();
    assert_eq!(
        next(&mut pair).await,
        None,
        "the upstream gets no close within a frame"
    );
    let mut got = [0; 9];
    pair.far.read_exact(&mut got).await.unwrap();
    assert_eq!(got[..], [&b"\x82\x03abc"[..], &CLOSE].concat());
    assert!(body(&mut pair.near).await.unwrap().0.is_empty());
}
