//! Requests that are not quite requests: refused and closed, or forwarded in one canonical form.

use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::time::Duration;

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n",
        listeners("").replace(
            "trust = []",
            "trust = [], header_timeout = \"700ms\", idle_timeout = \"1s\""
        ),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    (upstream, gateway)
}

/// Each is refused with this status, and the connection closed; nothing reaches the upstream.
const REFUSED: &[(u16, &[u8])] = &[
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nhello"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX y: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a:port\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (400, b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    (400, b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/11\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1.1\r\nHost: a\r\n\r\n"),
    (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    (505, b"GET / HTTP/1.9\r\nHost: a\r\n\r\n"),
    (400, b"GET /\r\n\r\n"),
    (400, b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (501, b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (405, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    (400, b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00"),
    (400, b"\x00\x00\x00\x00"),
    (408, b"GET / HTTP/1.1\r\nHost: a\r\n"),
    (408, b"G"),
    (408, b"PRI * HTTP/"),
    (400, b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n"),
];

#[test]
fn each_malformed_request_is_refused_and_closed() {
    let (upstream, gateway) = start();
    assert!(REFUSED.len() >= 60);
    for (status, request) in REFUSED {
        let mut connection = gateway.connect();
        let answer = connection.exchange(request);
        assert_eq!(answer.status, *status, "{}", request.escape_ascii());
        assert!(
            connection.rest().is_empty(),
            "kept open after {}",
            request.escape_ascii()
        );
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (upstream, gateway) = start();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: a\r\n".repeat(200)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000));
    for (status, request) in [(431, long), (431, many), (414, target)] {
        let answer = gateway.connect().exchange(request.as_bytes());
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (status, "headers_too_large")
        );
    }
    assert!(upstream.heads().is_empty());
    let fits = format!("Cookie: {}\r\n", "a".repeat(32_000));
    assert_eq!(gateway.get("/", &fits).status, 200);
}

#[test]
fn a_malformed_chunked_body_ends_its_request_and_smuggles_nothing() {
    let (upstream, gateway) = start();
    for body in [
        "zz\r\n",
        "-1\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "1FFFFFFFFFFFFFFFF\r\nabc",
        "3\r\nabc\n0\r\n\r\n",
        "3 xyz\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffff0\r\nabc",
        "\r\n0\r\n\r\n",
    ] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let mut connection = gateway.connect();
        let answer = connection.exchange(request.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}");
        assert!(connection.rest().is_empty(), "{body:?}");
    }
    assert!(
        !upstream
            .heads()
            .iter()
            .any(|head| head.contains("smuggled"))
    );
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn a_malformed_trailer_is_refused_however_it_comes() {
    let (upstream, mut gateway) = start();
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    for trailer in [
        "no colon\r\n",
        "A\r\n",
        "A : b\r\n",
        "A\t: b\r\n",
        ": b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A(b): c\r\n",
        "A: b\u{1}\r\n",
        "A: b\n",
        "A: b\rc\r\n",
    ] {
        for apart in [false, true] {
            let mut connection = gateway.connect();
            let trailer = format!("{trailer}\r\n");
            if apart {
                // Read apart from the last chunk, the trailer must be judged all the same. What is
                // sent at once is read at once: where the first chunk has arrived, the last is read.
                let before = upstream.chunks();
                connection.send(head.as_bytes());
                gateway.wait_for("the chunk to arrive", |_| upstream.chunks() > before);
                connection.send(trailer.as_bytes());
            } else {
                connection.send(format!("{head}{trailer}").as_bytes());
            }
            let answer = connection.answer(false);
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (400, "bad_request")
            );
            assert!(connection.rest().is_empty(), "kept open after {trailer:?}");
        }
    }
    let mut connection = gateway.connect();
    let good = format!("{head}A: b\r\nB:\r\n\r\n");
    assert_eq!(connection.exchange(good.as_bytes()).text(), "abc");
    let extended = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;a=b;c=\"d; e\"\r\nabc\r\n0;f\r\n\r\n";
    assert_eq!(connection.exchange(extended.as_bytes()).text(), "abc");
    assert_eq!(upstream.last_body(), b"abc");
}

#[test]
fn a_client_that_leaves_midway_harms_nobody() {
    let (_upstream, mut gateway) = start();
    for request in [
        &b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart"[..],
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\npart",
        b"GET /delay/300 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost",
    ] {
        let mut connection = gateway.connect();
        connection.send(request);
        drop(connection);
    }
    let line = gateway.logged(|line| line["reason"] == "client_closed");
    assert_eq!(line["status"], 499);
    assert_eq!(gateway.get("/", "").status, 200);
}

#[test]
fn half_a_second_head_is_timed_out_too() {
    let (_upstream, gateway) = start();
    let mut connection = gateway.connect();
    assert_eq!(
        connection
            .exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
    assert_eq!(connection.exchange(b"GET / HTTP/1.1\r\nHo").status, 408);
    assert!(connection.rest().is_empty());
}

#[test]
fn a_quiet_connection_is_let_go() {
    let (_upstream, gateway) = start();
    let mut fresh = gateway.connect();
    assert!(fresh.rest().is_empty());
    let mut kept = gateway.connect();
    assert_eq!(
        kept.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        200
    );
    assert!(kept.rest().is_empty());
}

#[test]
fn a_short_request_to_a_port_that_also_speaks_h2_does_not_wait_for_more() {
    let (_upstream, gateway) = start();
    let answer = gateway.connect().exchange(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200);
    let mut one_by_one = gateway.connect();
    for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" {
        one_by_one.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(one_by_one.answer(false).text(), "x");
}

#[test]
fn a_wrong_preface_of_h2_is_answered_by_goaway() {
    let (upstream, gateway) = start();
    for preface in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"[..],
        b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\n\nSM\n\n",
        b"PRI * HTTP/2.0 \r\n\r\nSM\r\n\r\n",
        // Cut short: what is missing does not come in time.
        b"PRI * HTTP/2.0\r\n\r\nSM",
    ] {
        let mut connection = gateway.connect();
        connection.send(preface);
        let said = connection.rest();
        let told = preface.escape_ascii();
        assert_eq!(said.len(), 9 + 17, "{told}: {}", said.escape_ascii());
        assert_eq!(
            (said[3], said[9 + 3]),
            (4, 7),
            "SETTINGS and GOAWAY, {told}"
        );
        assert_eq!(said[9 + 13..], [0, 0, 0, 1], "{told}");
    }
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"http2_preface\"}",
        6.0,
    );
    assert!(upstream.heads().is_empty());
    let mut kept = gateway.connect();
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(kept.exchange(get).status, 200);
    let late = kept.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(
        late.status, 505,
        "a request of a version that is not served, by then"
    );
}

#[test]
fn h2_with_prior_knowledge_is_served() {
    let (_upstream, gateway) = start();
    let mut connection = Connection::to(gateway.address("web"));
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    // The server's own SETTINGS frame: type 4 on stream 0.
    let frame = connection.take(9);
    assert_eq!((frame[3], &frame[5..9]), (4, &[0, 0, 0, 0][..]));
}
