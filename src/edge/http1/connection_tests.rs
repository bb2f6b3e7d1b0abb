//! The loop over the requests of a connection.

use super::{Refusals, exchanges};
use crate::config::load_text;
use crate::edge::http1::next::{Next, next};
use crate::edge::http1::request_head::Refused;
use crate::edge::http1::testing::{GET, Pair, answer, body};
use crate::edge::message::{Downstream, Handler, Length, Request};
use crate::edge::transport::connection_info::ConnectionInfo;
use crate::edge::transport::drain::Phase;
use crate::snapshot::ListenerSettings;
use futures::future::maybe_done;
use http::HeaderValue;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

fn settings(keys: &str) -> Arc<ListenerSettings> {
    let text = format!("[listeners.web]\nbind = \"127.0.0.1:0\"\n{keys}\n");
    let loaded = load_text("test", &text, &|_| None);
    let config = loaded.config.unwrap();
    Arc::new(ListenerSettings::new(&config.listeners["web"], None, None))
}

/// Answers with the path and the body of the request.
#[derive(Default)]
struct Echo {
    refused: Mutex<Vec<u16>>,
}

impl Handler for Echo {
    async fn serve<D: Downstream>(
        &self,
        request: &mut Request,
        downstream: &mut D,
        _: &Arc<ConnectionInfo>,
    ) {
        if request.head.uri.path() == "/silent" {
            return;
        }
        let Ok((data, _)) = body(downstream).await else {
            return;
        };
        let text = [request.head.uri.path().as_bytes(), &data].concat();
        let length = Length::Exact(text.len() as u64);
        downstream.send_head(answer(200, &[]), length).unwrap();
        downstream.send_data(text.into()).unwrap();
        downstream.send_end(None).unwrap();
        let _ = poll_fn(|cx| downstream.poll_flush(cx)).await;
    }
}

impl Refusals for Echo {
    fn record(&self, _: &ConnectionInfo, refused: &Refused, id: &HeaderValue) {
        assert!(!id.is_empty());
        self.refused.lock().push(refused.status);
    }
}

struct Served {
    far: UnixStream,
    echo: Arc<Echo>,
    drainer: crate::edge::transport::drain::Drainer,
    /// Returns what HTTP/2 would get, and whether its preface is wrong.
    serving: JoinHandle<Option<(Vec<u8>, bool)>>,
}

fn serve(keys: &str) -> Served {
    let Pair {
        mut near,
        far,
        drainer,
    } = Pair::new();
    let (settings, echo) = (settings(keys), Arc::<Echo>::default());
    let handler = echo.clone();
    let serving = tokio::spawn(async move {
        let over = near.info().drain.reaches(Phase::Over);
        let mut over = pin!(maybe_done(over));
        let found = next(&mut near, &settings, true, over.as_mut()).await;
        let served = exchanges(&*handler, near, found, settings, || None, over).await;
        served.map(|http2| (http2.ahead.to_vec(), http2.wrong))
    });
    Served {
        far,
        echo,
        drainer,
        serving,
    }
}

impl Served {
    /// Sends these bytes and closes; returns everything that comes back.
    async fn says(mut self, bytes: &[u8]) -> (String, Vec<u16>) {
        self.far.write_all(bytes).await.unwrap();
        self.far.shutdown().await.unwrap();
        self.rest().await
    }

    async fn rest(mut self) -> (String, Vec<u16>) {
        let mut got = String::new();
        self.far.read_to_string(&mut got).await.unwrap();
        assert!(self.serving.await.unwrap().is_none());
        let refused = self.echo.refused.lock().clone();
        (got, refused)
    }
}

#[tokio::test]
async fn requests_are_answered_in_their_order() {
    let requests = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                    GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
                    POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3\r\ndef\r\n0\r\n\r\n\
                    GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
                    GET /5 HTTP/1.1\r\nHost: a\r\n\r\n";
    let (got, refused) = serve("").says(requests.as_bytes()).await;
    let bodies = got.split("HTTP/1.1 200 OK\r\n").skip(1);
    let bodies: Vec<_> = bodies
        .map(|one| one.split("\r\n\r\n").nth(1).unwrap())
        .collect();
    assert_eq!(bodies, ["/1abc", "/2", "/3def", "/4"]);
    assert!(refused.is_empty());
}

#[tokio::test]
async fn what_is_no_request_is_refused_recorded_and_closed() {
    for (request, status, bodiless) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 400, false),
        (b"HEAD / HTTP/1.1\r\n\r\n", 400, true),
        (b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 421, false),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, false),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, false),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, false),
    ] {
        let (got, refused) = serve("").says(&[request, GET].concat()).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        assert!(got.contains("\r\nConnection: close\r\n"));
        assert_eq!(got.ends_with("\r\n\r\n"), bodiless, "{got}");
        assert_eq!(got.matches("Connection: ").count(), 1, "{got}");
        assert_eq!(refused, [status]);
    }
}

#[tokio::test]
async fn a_request_that_is_not_answered_ends_the_connection() {
    let request = b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n";
    let (got, _) = serve("").says(&[request, GET].concat()).await;
    assert_eq!(got, "");
}

const TIMES: &str = "clients = { header_timeout = \"700ms\", idle_timeout = \"1s\" }";

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_let_go() {
    assert_eq!(serve(TIMES).rest().await, (String::new(), vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_is_refused() {
    let mut half = serve(TIMES);
    half.far.write_all(b"GET / HT").await.unwrap();
    let (got, refused) = half.rest().await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    assert_eq!(refused, [408]);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_let_go_when_it_is_quiet_for_long() {
    let mut kept = serve(TIMES);
    kept.far.write_all(GET).await.unwrap();
    let (got, refused) = kept.rest().await;
    assert!(got.starts_with("HTTP/1.1 200 ") && refused.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_of_a_listener_that_is_over_is_closed() {
    let served = serve("");
    served.drainer.tell(Phase::Over);
    assert_eq!(served.rest().await, (String::new(), vec![]));
}

#[tokio::test]
async fn a_connection_of_http2_is_handed_on() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore";
    for (bytes, wrong) in [(&preface[..], false), (b"PRI * HTTP/2.0\r\n\r\nXX", true)] {
        let mut served = serve("http = [\"h1\", \"h2c\"]");
        served.far.write_all(bytes).await.unwrap();
        let handed = served.serving.await.unwrap();
        assert_eq!(handed, Some((bytes.to_vec(), wrong)));
    }
}

/// A connection that waits is one task: so much of it besides the handler.
const TASK_MAX: usize = 1900;

#[tokio::test]
async fn a_connection_is_small() {
    let (pair, settings, echo) = (Pair::new(), settings(""), Echo::default());
    let mut over = pin!(maybe_done(pair.near.info().drain.reaches(Phase::Over)));
    let found = Next::Closed;
    let task = exchanges(&echo, pair.near, found, settings, || None, over.as_mut());
    let size = size_of_val(&task);
    assert!(size <= TASK_MAX, "{size}");
    assert!(task.await.is_none());
}
