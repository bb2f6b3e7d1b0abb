//! Which connection a request gets.

use super::{IDLE, KEY, Server, ask, body, flush, ok, status, transport};
use crate::edge::http2::upstream::group::CONNECTIONS_MAX;
use crate::edge::http2::upstream::{Failed, Http2Pool, Http2Upstream};
use crate::edge::message::{Length, Upstream, UpstreamError};
use futures::future::join_all;
use h2::server::Builder;
use http::StatusCode;
use http::uri::Scheme;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// An upstream that answers each request when it has a permit.
struct Farm {
    pool: Http2Pool,
    streams: u32,
    made: AtomicUsize,
    permits: Arc<Semaphore>,
}

impl Farm {
    fn new(streams: u32, permits: usize) -> Self {
        Self {
            pool: Http2Pool::default(),
            streams,
            made: AtomicUsize::new(0),
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    fn connect(&self) -> std::future::Ready<Result<DuplexStream, Infallible>> {
        self.made.fetch_add(1, SeqCst);
        let (ours, theirs) = transport();
        tokio::spawn(serve(theirs, self.streams, self.permits.clone()));
        ready(Ok(ours))
    }

    async fn stream(&self) -> Http2Upstream {
        let stream = self.pool.stream(KEY, Scheme::HTTP, IDLE, || self.connect());
        stream.await.unwrap().0
    }

    async fn get(&self) -> Result<StatusCode, UpstreamError> {
        let mut stream = self.stream().await;
        stream.send_head(&ask("GET"), Length::None)?;
        flush(&mut stream).await?;
        let status = status(&mut stream).await?;
        assert_eq!(body(&mut stream).await?, b"whole");
        Ok(status)
    }

    fn made(&self) -> usize {
        self.made.load(SeqCst)
    }
}

/// Answers. The library refuses what is more than the streams that it allows.
async fn serve(transport: DuplexStream, streams: u32, permits: Arc<Semaphore>) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(streams);
    let mut server: Server = builder.handshake(transport).await.unwrap();
    while let Some(Ok((_, mut respond))) = server.accept().await {
        let permits = permits.clone();
        tokio::spawn(async move {
            permits.acquire().await.unwrap().forget();
            // It fails where the client has left.
            if let Ok(mut body) = respond.send_response(ok(), false) {
                let _ = body.send_data("whole".into(), true);
            }
        });
    }
}

async fn all_served(farm: &Farm, requests: usize) {
    let served = join_all((0..requests).map(|_| farm.get())).await;
    assert_eq!(served, vec![Ok(StatusCode::OK); requests]);
}

#[tokio::test]
async fn a_burst_shares_one_connection_where_it_carries_all() {
    let farm = Farm::new(100, usize::MAX >> 3);
    all_served(&farm, 20).await;
    all_served(&farm, 20).await;
    assert_eq!(farm.made(), 1);
    assert_eq!(farm.pool.counts(KEY), Some((1, 0, 0)));
}

#[tokio::test]
async fn a_burst_is_served_by_upstreams_with_few_streams() {
    for streams in [1, 2, 3] {
        let farm = Farm::new(streams, usize::MAX >> 3);
        all_served(&farm, 20).await;
        all_served(&farm, 20).await;
        assert!((2..=20).contains(&farm.made()), "{}", farm.made());
    }
}

#[tokio::test]
async fn requests_held_up_at_once_have_as_many_connections_as_they_need() {
    for (streams, connections) in [(1, 20), (2, 10), (5, 4)] {
        let farm = Farm::new(streams, 0);
        let served = all_served(&farm, 20);
        tokio::pin!(served);
        let held = async {
            while farm
                .pool
                .counts(KEY)
                .is_none_or(|(_, active, _)| active < 20)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = &mut served => panic!("nothing was to be answered"),
            () = held => {}
        }
        assert_eq!(farm.made(), connections);
        farm.permits.add_permits(20);
        served.await;
    }
}

#[tokio::test]
async fn connections_are_bounded_and_further_requests_wait() {
    let farm = Farm::new(1, 0);
    let requests = CONNECTIONS_MAX + 10;
    let served = all_served(&farm, requests);
    tokio::pin!(served);
    let held = async {
        while farm.pool.counts(KEY) != Some((CONNECTIONS_MAX, CONNECTIONS_MAX, 10)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = &mut served => panic!("nothing was to be answered"),
        () = held => {}
    }
    farm.permits.add_permits(requests);
    served.await;
    assert_eq!(farm.made(), CONNECTIONS_MAX);
    assert_eq!(farm.pool.counts(KEY), Some((CONNECTIONS_MAX, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_no_more_leaves_no_trace() {
    let farm = Farm::new(1, 0);
    let held: Vec<_> = join_all((0..CONNECTIONS_MAX).map(|_| farm.stream())).await;
    assert!(
        timeout(Duration::from_secs(3), farm.stream())
            .await
            .is_err()
    );
    assert_eq!(
        farm.pool.counts(KEY),
        Some((CONNECTIONS_MAX, CONNECTIONS_MAX, 0))
    );
    drop(held);
    assert_eq!(farm.pool.counts(KEY), Some((CONNECTIONS_MAX, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn no_streams_allowed_is_waited_out() {
    let farm = Farm::new(0, 1);
    // The first request may be sent before the upstream has said so.
    let first = timeout(Duration::from_secs(30), farm.get()).await;
    assert!(first.is_err() || first == Ok(Err(UpstreamError::Unprocessed)));
    assert!(
        timeout(Duration::from_secs(30), farm.stream())
            .await
            .is_err()
    );
    assert_eq!(farm.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_holds_up_its_own_request_alone() {
    let farm = Farm::new(100, 1);
    let slow = farm
        .pool
        .stream(KEY, Scheme::HTTP, IDLE, pending::<Result<DuplexStream, ()>>);
    tokio::pin!(slow);
    tokio::select! {
        biased;
        _ = &mut slow => panic!("it never connects"),
        served = farm.get() => assert_eq!(served, Ok(StatusCode::OK)),
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_never_come_hold_up_one_request_alone() {
    let farm = Farm::new(100, 1);
    // Nothing reads or writes at the other end.
    let (ours, _theirs) = transport();
    let connect = || ready(Ok::<_, Infallible>(ours));
    let silent = farm.pool.stream(KEY, Scheme::HTTP, IDLE, connect);
    let _silent = silent.await.unwrap();
    assert_eq!(farm.get().await, Ok(StatusCode::OK));
    assert_eq!(farm.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_requests_connect_each_for_itself() {
    let (pool, tries) = (Http2Pool::default(), AtomicUsize::new(0));
    let began = Instant::now();
    let fail = || async {
        tries.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(100)).await;
        Err::<DuplexStream, _>("refused")
    };
    let failed = join_all((0..10).map(|_| pool.stream(KEY, Scheme::HTTP, IDLE, fail))).await;
    for failed in failed {
        assert!(matches!(failed.err(), Some(Failed::Connect("refused"))));
    }
    assert_eq!(tries.load(SeqCst), 10);
    // One after the other they would take 1 s, by the paused clock.
    assert_eq!(began.elapsed().as_millis() / 100, 2);
    assert_eq!(pool.counts(KEY), None);
}

#[tokio::test]
async fn the_request_that_connects_may_leave() {
    let farm = Farm::new(100, 1);
    let mut first =
        Box::pin(
            farm.pool
                .stream(KEY, Scheme::HTTP, IDLE, pending::<Result<DuplexStream, ()>>),
        );
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(farm.get());
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(farm.made(), 0);
    drop(first);
    assert_eq!(second.await, Ok(StatusCode::OK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_come_and_go_on_all_threads_are_served() {
    let farm = Arc::new(Farm::new(3, usize::MAX >> 3));
    let tasks = (0..2000).map(|number| {
        let farm = farm.clone();
        tokio::spawn(async move {
            match number % 5 {
                // It leaves at some point of its way.
                0 => {
                    let steps = number / 5 % 7;
                    let mut get = Box::pin(farm.get());
                    for _ in 0..steps {
                        if futures::poll!(&mut get).is_ready() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                }
                1 if number % 50 == 1 => farm.stream().await.suspect(),
                _ => assert_eq!(farm.get().await, Ok(StatusCode::OK)),
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let (connections, active, waiting) = farm.pool.counts(KEY).unwrap();
    assert!(connections <= CONNECTIONS_MAX);
    assert_eq!((active, waiting), (0, 0));
}

#[tokio::test]
async fn keys_have_connections_of_their_own() {
    let farm = Farm::new(100, 2);
    assert_eq!(farm.get().await, Ok(StatusCode::OK));
    let other = farm
        .pool
        .stream(KEY + 1, Scheme::HTTP, IDLE, || farm.connect());
    assert!(!other.await.unwrap().1);
}
