//! HTTP/2 on both sides of the gateway: what becomes of streams that end early, late, or wrong.

use crate::gateway::Gateway;
use crate::origin::{Body, NONE, Origin, ask, run};
use h2::Reason;
use http::{HeaderValue, Method, Request};
use std::time::Duration;

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://a.example{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

fn gateway(origin: &Origin, clients: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ {clients} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\nhttp = \"h2c\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n{more}",
        origin.address
    ))
}

#[test]
fn a_body_that_is_refused_ends_both_streams_at_once() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "body = { max = \"8B\" }\n");
    let body = Body {
        pieces: &["0123456789"],
        ends: false,
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/two"), body));
    assert_eq!((got.status, got.reason().as_str()), (413, "body_too_large"));
    assert_eq!(origin.wait("/two").reset, Some(Reason::CANCEL));
    let mut old = gateway.connect();
    let answer = old.exchange(
        b"POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
    );
    assert_eq!(answer.status, 413);
    assert_eq!(origin.wait("/one").reset, Some(Reason::CANCEL));
    gateway.counts("http_server_active_requests", 0.0);
}

#[test]
fn an_old_client_is_served_by_new_upstreams() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let mut old = gateway.connect();
    let answer = old.exchange(b"GET /old HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(origin.wait("/old").authority, origin.address.to_string());
}

#[test]
fn an_upload_may_take_longer_than_silence_may() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "timeouts = { idle = \"400ms\" }\n");
    let slow = |pieces| Body {
        pieces,
        pause: Duration::from_millis(150),
        ends: true,
    };
    let pieces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let got = run(ask(&gateway, request(Method::POST, "/two"), slow(&pieces)));
    assert_eq!((got.status, got.body.as_slice()), (200, &b"abcdefgh"[..]));
    let mut one = gateway.connect();
    one.send(b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for piece in pieces {
        std::thread::sleep(Duration::from_millis(150));
        one.send(piece.as_bytes());
    }
    let answer = one.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcdefgh"));
    // Once it is there, the upstream's silence counts.
    let got = run(ask(&gateway, request(Method::POST, "/never"), slow(&["a"])));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (504, "upstream_timeout")
    );
    let got = run(ask(&gateway, request(Method::GET, "/never"), NONE));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (504, "upstream_timeout")
    );
    // Whatever the whole may take.
    let gateway = self::gateway(
        &origin,
        "",
        "timeouts = { idle = \"400ms\", request = \"60s\" }\n",
    );
    let got = run(ask(&gateway, request(Method::GET, "/never"), NONE));
    assert_eq!(got.status, 504);
}

#[test]
fn a_body_that_does_not_come_is_the_clients_fault() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "idle_timeout = \"400ms\"", "");
    let body = Body {
        pieces: &["a"],
        ends: false,
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/never"), body));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (408, "request_timeout")
    );
    for head in [
        "Content-Length: 10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\na\r\n",
    ] {
        let mut one = gateway.connect();
        one.send(format!("POST /never HTTP/1.1\r\nHost: a\r\n{head}half").as_bytes());
        let answer = one.answer(false);
        // What follows would be taken for the rest of the body.
        let said = (answer.status, answer.header("connection"));
        assert_eq!(said, (408, Some("close")));
        assert!(one.rest().is_empty());
    }
}

#[test]
fn interim_answers_reach_clients() {
    let (origin, upstream) = (Origin::start(), crate::upstream::Upstream::start("v1"));
    let hints = format!(
        "[services.b.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.hints]\nmatch = {{ path = \"/hints\" }}\nservice = \"b\"\n",
        upstream.address
    );
    let gateway = gateway(&origin, "", &hints);
    upstream.say(Some(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ));
    let got = run(ask(&gateway, request(Method::GET, "/hints"), NONE));
    assert_eq!((got.interim.as_slice(), got.status), (&[103][..], 200));
    let mut expects = request(Method::POST, "/two");
    let value = HeaderValue::from_static("100-continue");
    expects.headers_mut().insert("expect", value);
    let body = Body {
        pieces: &["hi"],
        pause: Duration::from_millis(200),
        ends: true,
    };
    let got = run(ask(&gateway, expects, body));
    assert_eq!((got.interim.as_slice(), got.status), (&[100][..], 200));
    assert!(!origin.wait("/two").fields.contains_key("expect"));
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let got = run(ask(&gateway, request(Method::GET, "/breaks"), NONE));
    assert_eq!((got.status, got.reset), (200, Some(Reason::INTERNAL_ERROR)));
}

#[test]
fn malformed_answers_are_not_passed_on() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let got = run(ask(&gateway, request(Method::GET, "/white"), NONE));
    assert_eq!(
        (got.status, got.reason().as_str()),
        (502, "upstream_protocol")
    );
    let got = run(ask(&gateway, request(Method::GET, "/bare"), NONE));
    assert!(
        got.body.is_empty() || got.reason() == "upstream_protocol",
        "{got:?}"
    );
    assert!(
        got.status == 502 || got.reset == Some(Reason::INTERNAL_ERROR),
        "{got:?}"
    );
}

#[test]
fn a_stream_that_is_reset_is_not_asked_again_and_again() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let get = |path| run(ask(&gateway, request(Method::GET, path), NONE));
    assert_eq!(get("/warm").status, 200);
    let got = get("/reset");
    assert_eq!((got.status, got.reason().as_str()), (502, "upstream_reset"));
    assert_eq!(origin.seen("/reset").len(), 1);
    // One that was not looked at is, whatever its method.
    let body = Body {
        pieces: &["hi"],
        ..NONE
    };
    let got = run(ask(&gateway, request(Method::POST, "/unseen"), body));
    assert_eq!((got.status, got.body.as_slice()), (200, &b"hi"[..]));
    assert_eq!(origin.seen("/unseen").len(), 2);
}

#[test]
fn what_a_call_takes_goes_up() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let mut call = request(Method::POST, "/call");
    let value = HeaderValue::from_static("trailers");
    call.headers_mut().insert("te", value);
    let got = run(ask(&gateway, call, NONE));
    assert_eq!(got.status, 200);
    assert_eq!(origin.wait("/call").fields["te"], "trailers");
}

#[test]
fn refusals_of_calls_from_browsers_are_in_their_words() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "", "");
    let call = |path: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text+proto\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        gateway.connect().exchange(request.as_bytes())
    };
    // An incomplete end is not the end of a message.
    let answer = call("/call", "AAAAAAVoZWxsb");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("grpc-status"), Some("3"));
    assert_eq!(answer.header("grpc-message"), Some("bad_request"));
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/grpc-web-text+proto"));
    assert!(answer.body.is_empty());
}
