//! Whose fault it is when a time is up: the upstream is held to account for its own silence, never
//! for that of a client.

use super::shared::{LARGE, Shared};
use super::wire::{Answer, INITIAL_WINDOW_SIZE, Wire, field};
use super::{case, config, gateway, play};
use crate::gateway::Gateway;
use crate::upstream::Upstream;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

const BREAKER: &str =
    "[breakers.b]\nopen_for = \"1m\"\ntrip = { error_rate = \"50%\", min_requests = 5 }\n";
/// More than opens the breaker, if they counted.
const MANY: u32 = 10;
/// A message of one byte.
const MESSAGE: &[u8] = b"\0\0\0\0\x01x";

fn guarded(upstream: SocketAddr, http: &str, service: &str) -> String {
    let service = format!("breaker = \"b\"\n{service}");
    config(upstream, http, &service) + BREAKER
}

/// A call of gRPC; `ends`: its client has sent all.
fn call(wire: &mut Wire, stream: u32, path: &str, timeout: Option<&str>, ends: bool) -> Answer {
    let mut fields = vec![("content-type", "application/grpc"), ("te", "trailers")];
    fields.extend(timeout.map(|timeout| ("grpc-timeout", timeout)));
    wire.request(stream, "POST", path, &fields);
    wire.data(stream, MESSAGE, ends);
    wire.answer(stream)
}

/// The status of a call, and why it was refused.
fn told(answer: &Answer) -> (Option<&str>, Option<&str>) {
    let fields = answer.heads.last();
    let of = |name| fields.and_then(|fields| field(fields, name));
    (of("grpc-status"), of("grpc-message"))
}

fn reasons(gateway: &Gateway, path: &str) -> Vec<String> {
    let lines = gateway.access_log();
    let own = lines.iter().filter(|line| line["path"] == path);
    own.map(|line| line["reason"].as_str().unwrap_or("none").to_owned())
        .collect()
}

/// Clients take nothing of whole answers until `timeouts.request` is over.
fn readers_that_take_nothing(http: &'static str) {
    let (one, two) = (Upstream::start("v1"), Shared::start());
    let (address, path) = match http {
        "h1" => (one.address, format!("/large/{LARGE}")),
        _ => (two.address, "/large".to_owned()),
    };
    let text = guarded(address, http, "timeouts = { request = \"700ms\" }");
    let mut gateway = Gateway::start(&text);
    let mut reader = Wire::client_with(gateway.address("web"), &[(INITIAL_WINDOW_SIZE, 0)]);
    for at in 0..MANY {
        reader.request(2 * at + 1, "GET", &path, &[]);
    }
    gateway.wait_for("the end of all that read nothing", |gateway| {
        reasons(gateway, &path).len() == MANY as usize
    });
    let reasons = reasons(&gateway, &path);
    assert_eq!(reasons, ["client_closed"; MANY as usize]);
    assert_eq!(gateway.get("/", "").status, 200, "others are served");
    gateway.counts("tyrian_breaker_state{service=\"a\",version=\"v1\"}", 0.0);
    if http == "h2c" {
        let connections = two.connections.load(SeqCst);
        assert_eq!(connections, 1, "the shared connection goes on");
    }
}

#[test]
fn a_client_that_takes_nothing_is_not_the_upstreams_fault() {
    let cases = ["h1", "h2c"].map(|http| case(http, move || readers_that_take_nothing(http)));
    play(cases.into());
}

#[test]
fn a_deadline_of_the_client_itself_is_not_the_upstreams_fault() {
    let (one, two) = (Shared::start(), Shared::start());
    let service =
        "outliers = { consecutive_failures = 3, eject_for = \"1m\", max_ejected = \"50%\" }";
    let endpoint = format!("\"{}\"", one.address);
    let both = format!("{endpoint}, \"{}\"", two.address);
    let text = guarded(one.address, "h2c", service).replace(&endpoint, &both);
    let mut gateway = Gateway::start(&text);
    let mut wire = Wire::client(&gateway);
    for at in 0..MANY {
        let answer = call(&mut wire, 2 * at + 1, "/dead", Some("30m"), at % 2 == 0);
        let told = told(&answer);
        assert_eq!(told, (Some("4"), Some("request_timeout")), "{answer:?}");
    }
    gateway.wait_for("the lines of the log", |gateway| {
        reasons(gateway, "/dead") == ["request_timeout"; MANY as usize]
    });
    for at in MANY..MANY + 4 {
        let answer = call(&mut wire, 2 * at + 1, "/good", None, true);
        assert_eq!(told(&answer).0, Some("0"), "{answer:?}");
    }
    let connections = [&one, &two].map(|of| of.connections.load(SeqCst));
    assert_eq!(connections, [1, 1], "the shared connections go on");
    gateway.counts("tyrian_breaker_state{service=\"a\",version=\"v1\"}", 0.0);
    let ejections = gateway.metrics();
    let ejections = ejections
        .lines()
        .find(|line| line.starts_with("tyrian_endpoint_ejections_total{") && !line.ends_with(" 0"));
    assert_eq!(ejections, None);
}

#[test]
fn a_content_type_alone_sets_no_deadline() {
    for service in ["", "grpc = false"] {
        let upstream = Upstream::start("v1");
        upstream.delay(std::time::Duration::from_millis(100));
        let gateway = gateway(upstream.address, "h1", service);
        let fields = "Content-Type: application/grpc-web\r\nGrpc-Timeout: 1m\r\n";
        let answer = gateway.get("/", fields);
        assert_eq!(answer.header("x-upstream"), Some("v1"), "{service}");
    }
}

/// A client of gRPC may send nothing for a while; an upstream that does not answer may not.
#[test]
fn a_call_without_an_answer_is_the_upstreams_fault_though_its_client_may_go_on() {
    let limits = [
        ("route", "timeouts = { request = \"300ms\" }"),
        ("try", "retry = { attempts = 1, per_try = \"300ms\" }"),
    ];
    let cases = limits.map(|(name, limit)| {
        case(name, move || {
            let upstream = Shared::start();
            let gateway = Gateway::start(&guarded(upstream.address, "h2c", limit));
            let mut wire = Wire::client(&gateway);
            for at in 0..5 {
                let answer = call(&mut wire, 2 * at + 1, "/dead", None, false);
                let told = told(&answer);
                assert_eq!(told, (Some("4"), Some("upstream_timeout")), "{answer:?}");
            }
            let answer = call(&mut wire, 11, "/good", None, false);
            let told = told(&answer);
            assert_eq!(told, (Some("14"), Some("breaker_open")), "{answer:?}");
        })
    });
    play(cases.into());
}
