//! Counters of bytes, connections, checks and rollouts: by names of the configuration alone.

use crate::certificates::{Client, Scene};
use crate::client::Connection;
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::io::Write;
use std::net::TcpStream;

fn config(endpoints: &[&Upstream], service: &str, more: &str) -> String {
    let endpoints = endpoints
        .iter()
        .map(|upstream| upstream.address.to_string());
    let endpoints: Vec<String> = endpoints.collect();
    format!(
        "{}\n[services.shop]\n{service}\nversions.v1.endpoints = {endpoints:?}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\nbody = {{ max = \"8B\" }}\n\
         [routes.own]\nmatch = {{ path = \"/own\" }}\nrespond = {{ text = \"four\" }}\n{more}",
        listeners(""),
    )
}

const UP: &str = "service=\"shop\",version=\"v1\"";

#[test]
fn bytes_are_counted_by_route_and_by_upstream() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream], "", ""));
    let request = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(gateway.connect().exchange(request).text(), "hello");
    assert_eq!(gateway.get("/own", "").text(), "four");
    gateway.counts("tyrian_request_bytes_total{route=\"all\"}", 5.0);
    gateway.counts("tyrian_response_bytes_total{route=\"all\"}", 5.0);
    gateway.counts("tyrian_request_bytes_total{route=\"own\"}", 0.0);
    gateway.counts("tyrian_response_bytes_total{route=\"own\"}", 4.0);
    gateway.counts(&format!("tyrian_upstream_request_bytes_total{{{UP}}}"), 5.0);
    gateway.counts(
        &format!("tyrian_upstream_response_bytes_total{{{UP}}}"),
        5.0,
    );
}

#[test]
fn a_body_that_is_sent_again_counts_once_for_its_route_and_twice_for_its_upstream() {
    let (sick, well) = (Upstream::start("sick"), Upstream::start("well"));
    let service = "balance = \"round-robin\"\n\
                   retry = { attempts = 2, on = [\"503\"], budget = \"100%\" }";
    let gateway = Gateway::start(&config(&[&sick, &well], service, ""));
    sick.say_status(503);
    // Six bytes: twice that is more than the route allows.
    let request = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!";
    let before = sick.heads().len();
    let mut sent = 0.0;
    while sick.heads().len() == before {
        let answer = gateway.connect().exchange(request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello!"));
        sent += 6.0;
    }
    gateway.counts("tyrian_request_bytes_total{route=\"all\"}", sent);
    let up = format!("tyrian_upstream_request_bytes_total{{{UP}}}");
    gateway.counts(&up, sent + 6.0);
}

/// Half of a long answer, in bytes.
const HALF: usize = 1 << 20;

#[test]
fn a_long_stream_is_counted_before_it_ends() {
    let upstream = Upstream::start("v1");
    let gateway = Gateway::start(&config(&[&upstream], "", ""));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * HALF);
    upstream.say(Some(&(head + &"x".repeat(HALF))));
    let mut connection = gateway.connect();
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.take(HALF).len(), HALF);
    let counted = format!("tyrian_upstream_response_bytes_total{{{UP}}}");
    assert!(gateway.metric(&counted) > Some(0.0));
    assert!(gateway.metric("tyrian_response_bytes_total{route=\"all\"}") > Some(0.0));
}

#[test]
fn checks_are_counted_by_their_result() {
    let upstream = Upstream::start("v1");
    let service = "health = { path = \"/healthz\", every = \"100ms\" }";
    let mut gateway = Gateway::start(&config(&[&upstream], service, ""));
    let checks = |result: &str| format!("tyrian_health_checks_total{{{UP},result=\"{result}\"}}");
    gateway.wait_for("a check", |gateway| {
        gateway.metric(&checks("passed")) > Some(0.0)
    });
    assert_eq!(gateway.metric(&checks("http_status")), Some(0.0));
    upstream.say_status(500);
    gateway.wait_for("a failed check", |gateway| {
        gateway.metric(&checks("http_status")) > Some(0.0)
    });
    upstream.stop();
    gateway.wait_for("a refused check", |gateway| {
        gateway.metric(&checks("connect_refused")) > Some(0.0)
    });
}

#[test]
fn connections_are_counted_by_listener() {
    let scene = Scene::new("a.example");
    let other = "\n[listeners.plain]\nbind = \"127.0.0.1:0\"\n";
    let gateway = Gateway::start(&(scene.config("") + other));
    let kept = Connection::to(gateway.address("plain"));
    gateway.counts("tyrian_connections{listener=\"plain\"}", 1.0);
    gateway.counts("tyrian_connections{listener=\"tls\"}", 0.0);
    drop(kept);
    gateway.counts("tyrian_connections{listener=\"plain\"}", 0.0);
    let client = Client::of(&scene.authority);
    assert!(client.get(&gateway, "/", "").is_ok());
    gateway.counts("tyrian_tls_handshakes_total{listener=\"tls\"}", 1.0);
    let failures = "tyrian_tls_handshake_failures_total{listener=\"tls\"";
    let mut plain = TcpStream::connect(gateway.address("tls")).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    gateway.counts(&format!("{failures},cause=\"not_tls\"}}"), 1.0);
    drop(TcpStream::connect(gateway.address("tls")).unwrap());
    gateway.counts(&format!("{failures},cause=\"closed\"}}"), 1.0);
    let cut = "tyrian_connections_cut_total{listener=\"tls\",reason=\"tls_handshake\"}";
    gateway.counts(cut, 2.0);
    let text = gateway.metrics();
    assert!(
        !text.contains("tyrian_tls_handshakes_total{listener=\"plain\"}"),
        "{text}"
    );
}

#[test]
fn events_of_rollouts_are_counted() {
    let (v1, v2) = (Upstream::start("v1"), Upstream::start("v2"));
    let text = format!(
        "{}[services.shop]\ndefault = \"v1\"\nversions.v1.endpoints = [\"{}\"]\n\
         versions.v2.endpoints = [\"{}\"]\n\
         [colors.next]\nversions = {{ shop = \"v2\" }}\nshare = {{ percent = \"0%\" }}\n\
         [rollouts.next]\nsteps = [\"10%\", \"100%\"]\nevery = \"1h\"\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n",
        listeners(""),
        v1.address,
        v2.address
    );
    let gateway = Gateway::start(&text);
    let events =
        |event: &str| format!("tyrian_rollout_events_total{{rollout=\"next\",event=\"{event}\"}}");
    gateway.counts(&events("started"), 0.0);
    for action in ["start", "pause", "resume", "promote", "abort"] {
        let body = format!("{{\"action\":\"{action}\"}}");
        assert_eq!(
            gateway.api("POST", "/v1/rollouts/next", &body).0,
            200,
            "{action}"
        );
    }
    for event in ["started", "paused", "resumed", "step", "aborted"] {
        gateway.counts(&events(event), 1.0);
    }
    // They go on over a reload.
    gateway.write_config(&(text + "# once more\n[limits.l]\nrate = \"1/s\"\n"));
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    gateway.counts(&events("aborted"), 1.0);
    gateway.counts(&events("done"), 0.0);
}
