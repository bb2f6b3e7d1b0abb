//! Refusals keep the connection where that is safe: an outage must not become a storm of connections.

use crate::client::{Answer, Connection};
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

const FINE: &[u8] = b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n";

fn config(upstream: &Upstream) -> String {
    let up = upstream.address;
    format!(
        "{}\n[services.app]\nretry = {{ attempts = 1 }}\nversions.v1.endpoints = [\"{up}\"]\n\
         [services.broken]\nbreaker = \"b\"\nversions.v1.endpoints = [\"{up}\"]\n\
         [breakers.b]\nopen_for = \"60s\"\ntrip = {{ error_rate = \"50%\", min_requests = 1 }}\n\
         [services.gone]\nretry = {{ attempts = 1 }}\n\
         versions.v1.endpoints = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
         [services.busy]\nadaptive = {{ min = 1, max = 1 }}\nversions.v1.endpoints = [\"{up}\"]\n\
         [limits.once]\nrate = \"1/h\"\nburst = 1\nkey = \"ip\"\n\
         [routes.fine]\nmatch = {{ path = \"/fine\" }}\nrespond = {{ text = \"fine\" }}\n\
         [routes.app]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\ntimeouts = {{ idle = \"300ms\" }}\n\
         [routes.broken]\nmatch = {{ path = \"/status/*\" }}\n\
         service = \"broken\"\n\
         [routes.gone]\nmatch = {{ path = \"/gone\" }}\nservice = \"gone\"\n\
         [routes.busy]\nmatch = {{ path = \"/delay/*\" }}\nservice = \"busy\"\n\
         [routes.full]\nmatch = {{ path = \"/full/*\" }}\nservice = \"app\"\n\
         rewrite = {{ strip_prefix = \"/full\" }}\nmax_in_flight = 1\n\
         [routes.limited]\nmatch = {{ path = \"/limited\" }}\nservice = \"app\"\nlimits = [\"once\"]\n",
        listeners(""),
    )
}

/// Asks for a path with everything that a request may have, on one connection.
fn refused_and_kept(gateway: &Gateway, path: &str, reason: &str) {
    let mut connection = gateway.connect();
    for (method, more) in [
        ("GET", "\r\n"),
        ("HEAD", "\r\n"),
        ("POST", "Content-Length: 4\r\n\r\nbody"),
        ("POST", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{more}");
        let answer = connection.exchange(request.as_bytes());
        if method != "HEAD" {
            assert_eq!(answer.reason(), reason, "{method} {path}: {answer:?}");
        }
        if says_close(&answer) {
            assert!(more.starts_with("Transfer-Encoding"), "{method} {path}");
            connection = gateway.connect();
            continue;
        }
        let fine = connection.exchange(FINE);
        assert_eq!(fine.text(), "fine", "after {method} {path}");
    }
}

fn says_close(answer: &Answer) -> bool {
    answer.header("connection") == Some("close")
}

#[test]
fn refusals_keep_the_connection() {
    let upstream = Upstream::start("v1");
    let mut gateway = Gateway::start(&config(&upstream));
    assert_eq!(gateway.get("/status/500", "").status, 500);
    refused_and_kept(&gateway, "/status/500", "breaker_open");
    assert_eq!(gateway.get("/limited", "").status, 200);
    refused_and_kept(&gateway, "/limited", "rate_limited");
    let heads = upstream.heads().len();
    let (mut full, mut busy) = (gateway.connect(), gateway.connect());
    full.send(b"GET /full/delay/3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.send(b"GET /delay/3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.wait_for("both requests", |_| upstream.heads().len() == heads + 2);
    refused_and_kept(&gateway, "/full/x", "too_many_in_flight");
    refused_and_kept(&gateway, "/delay/1", "overloaded");
}

#[test]
fn so_do_refusals_over_an_upstream_that_fails() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream));
    let mut connection = gateway.connect();
    let reasons: Vec<_> = (0..4)
        .map(|_| {
            let answer = connection.exchange(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(!says_close(&answer), "{answer:?}");
            answer.reason()
        })
        .collect();
    assert_eq!(reasons[0], "upstream_connect");
    assert_eq!(reasons[3], "no_healthy_endpoint");
    refused_and_kept(&gateway, "/gone", "no_healthy_endpoint");
    refused_and_kept(&gateway, "/close", "upstream_reset");
    refused_and_kept(&gateway, "/garbage", "upstream_protocol");
}

#[test]
fn what_is_not_whole_is_closed() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&upstream));
    assert_eq!(gateway.get("/status/500", "").status, 500);
    for request in [
        // The client says so itself.
        "GET /status/500 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        // Bodies that may never come, or are too long to be read for nothing.
        "POST /status/500 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "POST /status/500 HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n",
        "POST /status/500 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo",
        // An answer that broke off has no end.
        "GET /half-body HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut connection = gateway.connect();
        let answer = connection.exchange(request.as_bytes());
        assert!(
            says_close(&answer) || !answer.complete,
            "{request}: {answer:?}"
        );
        assert_eq!(connection.exchange(FINE).status, 0, "{request}");
    }
    // Pipelined requests are answered one after the other.
    let mut two = Connection::to(gateway.address("web"));
    let refused: &[u8] = b"GET /status/500 HTTP/1.1\r\nHost: a\r\n\r\n";
    two.send(&[refused, FINE, refused, FINE].concat());
    let answers: Vec<_> = (0..4).map(|_| two.answer(false).status).collect();
    assert_eq!(answers, [503, 200, 503, 200]);
}
