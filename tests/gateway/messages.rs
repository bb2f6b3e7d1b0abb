//! What a proxy owes its neighbours with each message it passes on (RFC 9110, sections 7 and 8; RFC
//! 9112).

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::time::Duration;

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[services.app]\ntimeouts = {{ idle = \"1s\" }}\nversions.v1.endpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n\
         [routes.fixed]\nmatch = {{ path = \"/fixed\" }}\nrespond = {{ text = \"ok\" }}\n",
        listeners(""),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    (upstream, gateway)
}

#[test]
fn a_chunked_body_arrives_whole_wherever_it_is_cut() {
    let (upstream, gateway) = start();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n";
    let mut connection = gateway.connect();
    for cut in 0..body.len() {
        let (before, after) = body.split_at(cut);
        connection.send(format!("{head}{before}").as_bytes());
        std::thread::sleep(Duration::from_millis(20));
        let answer = connection.exchange(after.as_bytes());
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello world"),
            "{cut}"
        );
    }
    connection.send(head.as_bytes());
    for byte in body.as_bytes() {
        connection.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(connection.answer(false).text(), "hello world");
    // Chunks of a size that no buffer ends with.
    let piece = "x".repeat(7919);
    let whole = format!(
        "{head}{}0\r\n\r\n",
        format!("{:x}\r\n{piece}\r\n", piece.len()).repeat(100)
    );
    assert_eq!(connection.exchange(whole.as_bytes()).body.len(), 791_900);
    assert_eq!(upstream.last_body().len(), 791_900);
}

#[test]
fn nothing_is_written_behind_a_switch_of_protocols() {
    let (_upstream, gateway) = start();
    let mut quiet = gateway.connect();
    assert_eq!(quiet.offer_websocket("/upgrade").status, 101);
    assert_eq!(quiet.rest(), b"", "after a silence of timeouts.idle");
}

#[test]
fn what_a_uri_cannot_have_goes_up_encoded() {
    let (upstream, gateway) = start();
    for (target, expected) in [
        ("/<a>", "/%3Ca%3E"),
        ("/a`b", "/a%60b"),
        ("/?q=\"<x>\"", "/?q=%22%3Cx%3E%22"),
        ("/é?é", "/%C3%A9?%C3%A9"),
    ] {
        assert_eq!(gateway.get(target, "").status, 200, "{target}");
        let head = upstream.last_head();
        assert_eq!(head.split(' ').nth(1), Some(expected));
    }
    let answer = gateway
        .connect()
        .exchange(b"GET /\xff?\xfe HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!(upstream.last_head().starts_with("GET /%FF?%FE "));
}

#[test]
fn close_counts_in_whichever_line_it_stands() {
    let (upstream, gateway) = start();
    for lines in [
        "Connection: x-a\r\nConnection: close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: close\r\nConnection: x-a\r\n",
    ] {
        let mut connection = gateway.connect();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n{lines}\r\n");
        let answer = connection.exchange(request.as_bytes());
        assert_eq!(answer.header("connection"), Some("close"), "{lines}");
        assert!(connection.rest().is_empty());
        let named = lines.contains("x-a");
        assert_eq!(upstream.header("x-a").is_empty(), named, "{lines}");
    }
}

#[test]
fn an_upgrade_that_is_none_changes_nothing() {
    let (upstream, gateway) = start();
    for fields in [
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    ] {
        let request = format!("GET /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let twice = request.repeat(2);
        let mut connection = gateway.connect();
        let answer = connection.exchange(twice.as_bytes());
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("keep-alive"))
        );
        assert_eq!(connection.answer(false).status, 200, "{fields}");
        assert!(upstream.header("upgrade").is_empty());
    }
    // A WebSocket that is refused leaves a connection like any other.
    let offer =
        "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut connection = gateway.connect();
    assert_eq!(connection.exchange(offer.repeat(2).as_bytes()).status, 200);
    assert_eq!(connection.answer(false).status, 200);
    assert_eq!(
        connection
            .exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
}

#[test]
fn who_speaks_http_1_0_hears_nothing_newer() {
    let (upstream, gateway) = start();
    let mut old = gateway.connect();
    let request = "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    old.send(request.as_bytes());
    let first = old.head().unwrap();
    assert_eq!(first.status, 200, "no interim answer");
    assert_eq!(upstream.header("host"), [upstream.address.to_string()]);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    upstream.say(Some(&format!("{hints}{whole}")));
    let mut old = gateway.connect();
    old.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.head().unwrap().status, 200);
    let mut new = gateway.connect();
    new.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(new.head().unwrap().status, 103);
    assert_eq!(new.head().unwrap().status, 200);
    // Without a length the end of the connection is that of the body, and the head says so.
    upstream.say(Some(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ));
    let mut old = gateway.connect();
    let answer = old.exchange(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (answer.header("connection"), answer.text().as_str()),
        (Some("close"), "ok")
    );
}

#[test]
fn an_expectation_is_met_once_and_keeps_the_connection() {
    let (_upstream, gateway) = start();
    let mut connection = gateway.connect();
    for expect in ["100-continue", "100-Continue", "x, 100-continue"] {
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n"
        );
        connection.send(head.as_bytes());
        assert_eq!(connection.head().unwrap().status, 100);
        let answer = connection.exchange(b"hi");
        assert_eq!(
            (answer.header("connection"), answer.text().as_str()),
            (Some("keep-alive"), "hi")
        );
    }
}

#[test]
fn a_request_that_may_go_no_further_ends_here() {
    let (upstream, gateway) = start();
    let request = |method: &str, hops: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    let answer = |method, hops| gateway.connect().exchange(request(method, hops).as_bytes());
    assert_eq!(answer("OPTIONS", "0").status, 204);
    assert_eq!(answer("TRACE", "0").status, 405);
    assert!(upstream.heads().is_empty());
    for method in ["OPTIONS", "TRACE"] {
        assert_eq!(answer(method, "7").status, 200);
        assert_eq!(upstream.header("max-forwards"), ["6"]);
    }
    assert_eq!(answer("GET", "0").status, 200, "others do not look at it");
}

#[test]
fn an_answer_is_the_gateways_own_message() {
    let (upstream, gateway) = start();
    let get = |answer: &str| {
        upstream.say(Some(answer));
        let mut connection = gateway.connect();
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.send(b"");
        connection.head().unwrap()
    };
    let named = get(
        "HTTP/1.1 200 OK\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nX-End: 1\r\n\
         Content-Length: 2\r\n\r\nok",
    );
    assert_eq!(
        (named.header("x-hop"), named.header("x-end")),
        (None, Some("1"))
    );
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2, 2",
    ] {
        let answer = get(&format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nok"));
        let told = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "content-length");
        let told: Vec<&str> = told.map(|(_, value)| value.as_str()).collect();
        assert_eq!(told, ["2"]);
    }
    let none = get("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(none.header("content-length"), None);
    let upgrade = get("HTTP/1.1 426 Upgrade Required\r\nUpgrade: h9\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(upgrade.header("upgrade"), Some("h9"));
    for codings in [
        "chunked\r\nTransfer-Encoding: chunked",
        "gzip, chunked",
        "xchunked",
    ] {
        let answer = get(&format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ));
        assert_eq!(answer.status, 502, "{codings}");
    }
    upstream.say(Some("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let mut connection = gateway.connect();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(connection.rest().starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_connection_that_will_close_says_so() {
    let (_upstream, gateway) = start();
    for path in ["/garbage", "/close"] {
        let mut connection = gateway.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = connection.exchange(request.as_bytes());
        assert_eq!(
            (answer.status, answer.header("connection")),
            (502, Some("keep-alive"))
        );
        let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = connection.exchange(last.as_bytes());
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        assert!(connection.rest().is_empty());
    }
}

#[test]
fn an_answer_of_our_own_keeps_the_connection_where_the_body_is_short() {
    let (_upstream, gateway) = start();
    let post =
        |fields: &str, body: &str| format!("POST /fixed HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let mut connection = gateway.connect();
    for _ in 0..2 {
        let answer = connection.exchange(post("Content-Length: 3\r\n", "abc").as_bytes());
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("keep-alive"))
        );
    }
    connection.send(post("Content-Length: 3\r\n", "a").as_bytes());
    assert_eq!(
        connection.answer(false).header("connection"),
        Some("keep-alive")
    );
    connection.send(b"bc");
    assert_eq!(
        connection
            .exchange(b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n")
            .status,
        200
    );
    for (fields, body) in [
        ("Content-Length: 3\r\nExpect: 100-continue\r\n", ""),
        ("Content-Length: 100000\r\n", "abc"),
    ] {
        let answer = gateway.connect().exchange(post(fields, body).as_bytes());
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close")),
            "{fields}"
        );
    }
}

#[test]
fn an_answer_that_is_garbage_is_not_asked_for_again() {
    let (upstream, gateway) = start();
    assert_eq!(gateway.get("/", "").status, 200);
    let before = upstream.heads().len();
    // Over the kept connection.
    assert_eq!(gateway.get("/garbage", "").reason(), "upstream_protocol");
    assert_eq!(upstream.heads().len(), before + 1);
}

#[test]
fn targets_and_methods_have_an_end() {
    let (upstream, gateway) = start();
    let status = |request: String| gateway.connect().exchange(request.as_bytes()).status;
    let host = "HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(status(format!("GET /{} {host}", "a".repeat(70_000))), 414);
    assert_eq!(status(format!("GET /{} {host}", "|".repeat(30_000))), 414);
    assert_eq!(status(format!("GET /{} {host}", "é".repeat(20_000))), 414);
    assert_eq!(status(format!("{} / {host}", "A".repeat(40))), 501);
    let name = "a".repeat(2_000);
    assert_eq!(
        status(format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: b\r\n\r\n")),
        431
    );
    assert_eq!(status(format!("GET https://a/ {host}")), 421);
    assert!(upstream.heads().is_empty());
    assert_eq!(status(format!("GET /{} {host}", "|".repeat(20_000))), 200);
    // Refused, and without content for who asked for none.
    let mut head = gateway.connect();
    head.send(b"HEAD / HTTP/1.1\r\n\r\n");
    let answer = head.rest();
    assert!(answer.starts_with(b"HTTP/1.1 400 ") && answer.ends_with(b"\r\n\r\n"));
}
