//! What leaves for the upstream and what comes back.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;

fn config(trust: &str, upstream: &Upstream) -> String {
    format!(
        "{}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"app\"\n\
         [routes.strip]\nmatch = {{ path = \"/strip/*\" }}\nservice = \"app\"\n\
         rewrite = {{ strip_prefix = \"/strip\", host = \"inner.example\" }}\n\
         [routes.replace]\nmatch = {{ path = \"/old/*\" }}\nservice = \"app\"\nrewrite = {{ replace_prefix = \"/new\" }}\n\
         [routes.post]\nmatch = {{ path = \"/post\", methods = [\"POST\", \"PUT\"] }}\nservice = \"app\"\npriority = 1\n\
         [routes.hide]\nmatch = {{ path = \"/hide/*\" }}\npriority = 2\nrespond = {{ status = 403, text = \"no\\n\" }}\n\
         [routes.moved]\nmatch = {{ path = \"/moved/*\" }}\nredirect = {{ to = \"https://b.example\", keep_path = true }}\n\
         [routes.nowhere]\nmatch = {{ host = \"only.example\", path = \"/x\" }}\nservice = \"app\"\n",
        listeners(trust),
        upstream.address
    )
}

fn start(trust: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(trust, &upstream));
    (upstream, gateway)
}

#[test]
fn a_strangers_forwarding_claims_are_replaced() {
    let (upstream, gateway) = start("");
    gateway.get(
        "/",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n",
    );
    assert_eq!(upstream.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(upstream.header("x-forwarded-proto"), ["http"]);
    assert_eq!(upstream.header("x-forwarded-host"), ["a.example"]);
    assert_eq!(upstream.header("via"), ["1.1 tyrian"]);
}

#[test]
fn a_trusted_proxys_claims_are_kept_and_continued() {
    let (upstream, mut gateway) = start("\"127.0.0.0/8\"");
    gateway.get(
        "/",
        "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-Proto: https\r\nX-Request-Id: given\r\n",
    );
    assert_eq!(
        upstream.header("x-forwarded-for"),
        ["203.0.113.9, 198.51.100.7, 127.0.0.1"]
    );
    assert_eq!(upstream.header("x-forwarded-proto"), ["https"]);
    assert_eq!(upstream.header("x-request-id"), ["given"]);
    let line = gateway.logged(|line| line["request_id"] == "given");
    assert_eq!(
        line["client"], "198.51.100.7",
        "the rightmost address nobody trusted vouches for"
    );
}

#[test]
fn hop_by_hop_fields_end_here() {
    let (upstream, gateway) = start("");
    gateway.get(
        "/",
        "Connection: x-private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nX-Public: 1\r\n",
    );
    for gone in [
        "x-private",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "connection",
    ] {
        assert!(
            upstream.header(gone).is_empty(),
            "{gone} went up: {}",
            upstream.last_head()
        );
    }
    assert_eq!(upstream.header("x-public"), ["1"]);
    for alone in [
        "Connection: keep-alive",
        "HTTP2-Settings: AAMAAABk",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: x",
        "Proxy-Authorization: x",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Trailer: x",
        "Upgrade: h2c",
    ] {
        gateway.get("/alone", &format!("{alone}\r\n"));
        let (name, _) = alone.split_once(':').unwrap();
        let seen = upstream.header(&name.to_ascii_lowercase());
        assert!(seen.is_empty(), "{name} went up");
        assert!(upstream.last_head().starts_with("GET /alone "));
    }
    let answer = gateway.get("/hop", "");
    assert_eq!(
        (
            answer.header("keep-alive"),
            answer.header("proxy-connection")
        ),
        (None, None)
    );
}

#[test]
fn the_upstream_sees_what_was_matched() {
    let (upstream, gateway) = start("");
    for (sent, seen) in [
        ("/a/b?x=1%2f2", "/a/b?x=1%2f2"),
        ("/a//b/./c/../d", "/a/b/d"),
        ("/%61%2Db", "/a-b"),
        ("/a%2fb", "/a%2Fb"),
        ("/strip/x?y", "/x?y"),
        ("/strip", "/"),
        ("/old/x", "/new/x"),
        ("http://a.example/abs?q", "/abs?q"),
    ] {
        assert_eq!(gateway.get(sent, "").status, 200, "{sent}");
        let head = upstream.last_head();
        assert_eq!(
            head.lines().next().unwrap(),
            format!("GET {seen} HTTP/1.1"),
            "{sent}"
        );
    }
    gateway.get("/strip/x", "");
    assert_eq!(upstream.header("host"), ["inner.example"]);
}

#[test]
fn no_spelling_dodges_a_rule() {
    let (upstream, gateway) = start("");
    for path in [
        "/hide/x",
        "//hide/x",
        "/./hide/x",
        "/a/../hide/x",
        "/%68ide/x",
        "/hide",
        "/a/%2e%2e/hide/x",
    ] {
        assert_eq!(gateway.get(path, "").status, 403, "{path}");
    }
    for path in [
        "/a/..%2fhide/x",
        "/%252e%252e/hide",
        "/a/..;/hide",
        "/../hide",
        "/hide%00",
        "/a\\..\\hide",
    ] {
        let answer = gateway.get(path, "");
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (400, "bad_request"),
            "{path}"
        );
    }
    assert!(upstream.heads().is_empty());
}

#[test]
fn what_no_route_takes_is_refused_with_the_reason() {
    let (_upstream, gateway) = start("");
    let request = "GET /x HTTP/1.1\r\nHost: only.example:80\r\n\r\n";
    assert_eq!(gateway.connect().exchange(request.as_bytes()).status, 200);
    let answer = gateway
        .connect()
        .exchange(b"DELETE /moved/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some("https://b.example/moved/x"))
    );
}

#[test]
fn a_method_that_is_not_served_is_told_which_are() {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.post]\nmatch = {{ path = \"/post\", methods = [\"POST\", \"PUT\"] }}\nservice = \"app\"\n",
        listeners(""),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    let answer = gateway.get("/post", "");
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(answer.header("allow"), Some("POST, PUT"));
    let answer = gateway.get("/nothing", "");
    assert_eq!((answer.status, answer.reason().as_str()), (404, "no_route"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert!(answer.header("proxy-status").is_some() && answer.header("x-request-id").is_some());
    let grpc = "POST /s/M HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    let answer = gateway.connect().exchange(grpc.as_bytes());
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("12"))
    );
}

#[test]
fn bodies_go_through_unchanged_however_they_are_framed() {
    let (upstream, gateway) = start("");
    let mut connection = gateway.connect();
    let sized =
        connection.exchange(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(sized.text(), "hello");
    let chunked = connection.exchange(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n",
    );
    assert_eq!(chunked.text(), "abcde");
    assert_eq!(
        connection
            .exchange(b"GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
            .text(),
        "abcdefg"
    );
    let head = connection.exchange(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("2"))
    );
    for status in [204, 304] {
        let request = format!("GET /bodiless/{status} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(connection.exchange(request.as_bytes()).status, status);
    }
    assert_eq!(
        connection
            .exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .text(),
        "v1"
    );
    assert_eq!(upstream.header("x-request-id").len(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_upstream, gateway) = start("");
    let mut connection = gateway.connect();
    connection.send(
        b"GET /delay/100 HTTP/1.1\r\nHost: a\r\n\r\n\
          POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo\
          POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n\
          GET /last HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let answers: Vec<String> = (0..4).map(|_| connection.answer(false).text()).collect();
    assert_eq!(answers, ["late", "two", "three", "v1"]);
}

#[test]
fn an_old_client_is_served_and_closed() {
    let (upstream, gateway) = start("");
    let mut connection = gateway.connect();
    let answer = connection.exchange(b"GET /chunked HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcdefg"));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert!(connection.rest().is_empty());
    assert_eq!(upstream.header("via"), ["1.0 tyrian"]);
}

#[test]
fn whoever_waits_to_be_told_is_told_to_continue() {
    let (upstream, gateway) = start("");
    let mut connection = gateway.connect();
    connection.send(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert_eq!(connection.head().unwrap().status, 100);
    connection.send(b"ok");
    assert_eq!(connection.answer(false).text(), "ok");
    assert!(upstream.header("expect").is_empty());
}

#[test]
fn large_bodies_pass_in_constant_memory() {
    let (upstream, gateway) = start("");
    let size = 48 << 20;
    gateway.get("/", "");
    let before = gateway.resident_kib();
    let answer = gateway.get(&format!("/large/{size}"), "");
    assert!(answer.complete && answer.body.len() == size);
    let mut connection = gateway.connect();
    connection.send(
        format!("POST /status/200 HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")
            .as_bytes(),
    );
    let block = vec![b'y'; 1 << 20];
    for _ in 0..size >> 20 {
        assert!(connection.send(&block));
    }
    assert_eq!(connection.answer(false).status, 200);
    assert_eq!(upstream.last_body().len(), size);
    assert!(
        gateway.resident_kib() < before + 20_000,
        "{} -> {}",
        before,
        gateway.resident_kib()
    );
}

#[test]
fn the_framework_never_shows() {
    let (upstream, gateway) = start("");
    let mut seen = upstream.last_head();
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /garbage HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n",
    ] {
        let mut connection = gateway.connect();
        connection.patience(std::time::Duration::from_millis(300));
        connection.send(request.as_bytes());
        seen.push_str(&String::from_utf8_lossy(&connection.rest()));
    }
    seen.push_str(&upstream.heads().join("\n"));
    assert!(!seen.to_lowercase().contains("pingora"), "{seen}");
    assert_eq!(gateway.get("/", "").header("server"), Some("stub"));
}

#[test]
fn only_whoever_is_trusted_says_that_a_request_is_a_copy() {
    let (upstream, gateway) = start("");
    gateway.get("/", "X-Tyrian-Mirrored: 1\r\nX_Tyrian_Mirrored: 1\r\n");
    let head = upstream.last_head().to_ascii_lowercase();
    assert!(!head.contains("mirrored"), "{head}");
    let (upstream, gateway) = start("\"127.0.0.0/8\"");
    gateway.get("/", "X-Tyrian-Mirrored: 1\r\n");
    assert_eq!(upstream.header("x-tyrian-mirrored"), ["1"]);
}
