//! Heads of requests over HTTP/2: what is made of them, and what is refused in the gateway's own words.

use crate::gateway::{Gateway, listeners};
use crate::h2::{
    CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM,
    WINDOW_UPDATE, block, frame, request,
};
use crate::upstream::Upstream;

fn start(clients: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:0\"\nclients = {{ {clients} }}\n\
         [admin]\nbind = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n\
         [services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"a\"\n",
        upstream.address
    ));
    (upstream, gateway)
}

/// Status and body of the answer to a request with these fields.
fn ask(gateway: &Gateway, fields: &[(&str, &str)]) -> (String, String) {
    let mut client = Client::start(gateway);
    let head = block(fields);
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
    let head = client.wait(|frame| frame.kind == HEADERS).unwrap();
    let mut decoder = loona_hpack::Decoder::new();
    let fields = decoder.decode(&head.payload).unwrap();
    let status = fields.iter().find(|(name, _)| &**name == b":status");
    let status = String::from_utf8(status.unwrap().1.clone()).unwrap();
    let mut body = Vec::new();
    let mut last = head.flags;
    while last & END_STREAM == 0 {
        let Some(frame) = client.wait(|frame| frame.kind == DATA) else {
            break;
        };
        last = frame.flags;
        body.extend(frame.payload);
    }
    (status, String::from_utf8(body).unwrap())
}

const USUAL: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/x"),
    (":authority", "a.example"),
];

fn and<'f>(more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    [&USUAL, more].concat()
}

#[test]
fn limits_of_heads_hold_and_are_told() {
    let (_upstream, mut gateway) = start("max_headers = 20, max_head = \"8KiB\"");
    let names: Vec<String> = (0..30).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let long = "y".repeat(4500);
    for fields in [many, vec![("x-1", &*long), ("x-2", &*long)]] {
        let (status, body) = ask(&gateway, &and(&fields));
        assert_eq!(status, "431");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["reason"], "headers_too_large");
        let id = problem["request_id"].as_str().unwrap().to_owned();
        let line = gateway.logged(|line| line["request_id"] == *id);
        assert_eq!(
            (&line["status"], &line["path"]),
            (&431.into(), &"/x".into())
        );
    }
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("reason=\"headers_too_large\""),
        "{metrics}"
    );
    assert_eq!(ask(&gateway, &and(&[])).0, "200");
}

#[test]
fn whom_a_request_is_for_is_compared_in_normal_form() {
    let (_upstream, mut gateway) = start("");
    for (authority, host) in [("A.example", "a.example"), ("a.example:80", "a.example")] {
        let fields = [
            USUAL[0],
            USUAL[1],
            USUAL[2],
            (":authority", authority),
            ("host", host),
        ];
        assert_eq!(ask(&gateway, &fields).0, "200", "{authority} {host}");
    }
    for fields in [
        and(&[("host", "b.example")]),
        USUAL[..3].to_vec(),
        vec![USUAL[0], (":scheme", ""), USUAL[2], USUAL[3]],
    ] {
        let (status, body) = ask(&gateway, &fields);
        assert_eq!(status, "400");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["reason"], "bad_request");
        let id = problem["request_id"].as_str().unwrap().to_owned();
        gateway.logged(|line| line["request_id"] == *id && line["reason"] == "bad_request");
    }
}

#[test]
fn crumbs_of_a_cookie_go_up_as_one_field() {
    let (upstream, gateway) = start("");
    let (status, _) = ask(
        &gateway,
        &and(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]),
    );
    assert_eq!(status, "200");
    assert_eq!(upstream.header("cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn only_options_ask_about_the_server_as_a_whole() {
    let (_upstream, gateway) = start("");
    let star = |method| {
        let fields = [(":method", method), USUAL[1], (":path", "*"), USUAL[3]];
        ask(&gateway, &fields).0
    };
    assert_eq!(star("OPTIONS"), "204");
    assert_eq!(star("GET"), "400");
    assert_eq!(star("POST"), "400");
}

#[test]
fn a_head_beyond_reason_ends_its_connection() {
    let (upstream, gateway) = start("max_head = \"8KiB\"");
    // In pieces as large as a frame may be, each a field of its own.
    let field = block(&[("x", &"y".repeat(16_000))]);
    let more = |frames: usize| {
        let start = frame(HEADERS, END_STREAM, 1, &request(&[]));
        let middle = frame(CONTINUATION, 0, 1, &field).repeat(frames);
        [start, middle, frame(CONTINUATION, END_HEADERS, 1, &[])].concat()
    };
    let mut client = Client::start(&gateway);
    client.send(&more(2));
    let answer = client.wait(|frame| frame.kind == HEADERS).unwrap();
    let mut decoder = loona_hpack::Decoder::new();
    let fields = decoder.decode(&answer.payload).unwrap();
    assert_eq!(fields[0], (b":status".to_vec(), b"431".to_vec()));
    assert!(client.is_alive());
    let mut client = Client::start(&gateway);
    client.send(&more(64));
    let farewell = client.wait(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(farewell.code(), 11, "ENHANCE_YOUR_CALM");
    assert!(upstream.heads().is_empty());
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"http2_flood\"}",
        1.0,
    );
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let (_upstream, gateway) = start("header_timeout = \"300ms\"");
    // One stream in flight keeps the connection from being idle.
    let open = request(&[("content-length", "9")]);
    let whole = request(&[]);
    let (start, rest) = whole.split_at(10);
    for cut in [
        frame(HEADERS, END_STREAM, 3, start),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, &whole)[..15].to_vec(),
    ] {
        let mut client = Client::start(&gateway);
        client.send(&frame(HEADERS, END_HEADERS, 1, &open));
        client.send(&cut);
        let farewell = client.wait(|frame| frame.kind == GOAWAY);
        assert_eq!(farewell.unwrap().code(), 11);
    }
    gateway.counts(
        "tyrian_connections_cut_total{listener=\"web\",reason=\"http2_header_timeout\"}",
        2.0,
    );
    let mut client = Client::start(&gateway);
    client.send(&frame(HEADERS, END_STREAM, 1, start));
    client.send(&frame(CONTINUATION, END_HEADERS, 1, rest));
    assert!(client.wait(|frame| frame.kind == HEADERS).is_some());
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(client.is_alive(), "that one was in time");
}

#[test]
fn streams_that_the_gateway_ends_first_do_not_pile_up() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&format!(
        "{}[services.a.versions.v1]\nendpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/echo\" }}\nservice = \"a\"\n",
        listeners(""),
        upstream.address
    ));
    let post = |path| {
        block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "a.example"),
        ])
    };
    let (nowhere, echo) = (post("/nowhere"), post("/echo"));
    let mut client = Client::start(&gateway);
    // Room for all the answers.
    client.send(&frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0, 0, 0]));
    let mut stream = 1;
    for _ in 0..90 {
        let batch = (0..50).map(|n| frame(HEADERS, END_HEADERS, stream + 2 * n, &nowhere));
        client.send(&batch.collect::<Vec<_>>().concat());
        for _ in 0..50 {
            let reset = client.wait(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
            assert_eq!(reset.unwrap().kind, RST_STREAM, "{stream}");
        }
        // What was on its way.
        client.send(&frame(DATA, END_STREAM, stream, b"late"));
        stream += 100;
    }
    client.send(&frame(HEADERS, END_HEADERS, stream, &echo));
    client.send(&frame(DATA, END_STREAM, stream, b"hello"));
    let said = client.wait(|frame| {
        let own = frame.stream == stream && frame.kind == DATA && !frame.payload.is_empty();
        frame.kind == GOAWAY || own
    });
    assert_eq!(said.unwrap().payload, b"hello");
}
