//! Limits and places: who is told to wait, what they are told, and what a reload keeps.

use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use std::time::{Duration, Instant};

fn config(shop: &Upstream, route: &str, more: &str) -> String {
    format!(
        "{}\n[services.shop]\nversions.v1.endpoints = [\"{}\"]\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n{route}\n{more}",
        listeners(""),
        shop.address,
    )
}

#[test]
fn a_full_bucket_passes_its_burst_and_says_when_to_come_again() {
    let shop = Upstream::start("v1");
    let limit = "[limits.calls]\nrate = \"1/m\"\nburst = 3\nkey = \"header:x-user\"\nheaders = \"always\"\n";
    let gateway = Gateway::start(&config(&shop, "limits = [\"calls\"]", limit));
    for left in [2, 1, 0] {
        let answer = gateway.get("/", "X-User: a\r\n");
        assert_eq!(answer.status, 200);
        let state = answer.header("ratelimit").unwrap();
        assert!(
            state.starts_with(&format!("\"calls\";r={left};t=")),
            "{state}"
        );
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"calls\";q=3;w=180")
        );
    }
    let refused = gateway.get("/", "X-User: a\r\n");
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (429, "rate_limited")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&wait));
    assert_eq!(
        refused.header("ratelimit"),
        Some(format!("\"calls\";r=0;t={wait}").as_str())
    );
    assert_eq!(
        gateway.get("/", "X-User: b\r\n").status,
        200,
        "others have their own"
    );
    assert_eq!(shop.heads().len(), 4);
    assert_eq!(
        gateway.metric("tyrian_limit_decisions_total{limit=\"calls\",result=\"limited\"}"),
        Some(1.0)
    );
}

#[test]
fn a_reload_keeps_what_was_taken() {
    let shop = Upstream::start("v1");
    let limit = |rate: &str, burst: u32| {
        let limit = format!("[limits.calls]\nrate = \"{rate}\"\nburst = {burst}\nkey = \"ip\"\n");
        config(&shop, "limits = [\"calls\"]", &limit)
    };
    let gateway = Gateway::start(&limit("1/h", 4));
    (0..2).for_each(|_| assert_eq!(gateway.get("/", "").status, 200));
    gateway.write_config(
        &(limit("1/h", 4) + "[routes.more]\nmatch = { path = \"/more\" }\nservice = \"shop\"\n"),
    );
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    (0..2).for_each(|_| assert_eq!(gateway.get("/", "").status, 200));
    assert_eq!(
        gateway.get("/", "").status,
        429,
        "an unchanged limit goes on"
    );
    gateway.write_config(&limit("1/h", 400));
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    assert_eq!(
        gateway.get("/", "").status,
        429,
        "an empty bucket stays empty when it grows"
    );
}

#[test]
fn cost_report_and_several_limits() {
    let shop = Upstream::start("v1");
    let limits = "[limits.all]\nrate = \"10/h\"\nkey = \"route\"\n\
                  [limits.watched]\nrate = \"1/h\"\nkey = \"ip\"\nmode = \"report\"\n";
    let route = "limits = [\"watched\", { name = \"all\", cost = 5 }]";
    let gateway = Gateway::start(&config(&shop, route, limits));
    let statuses: Vec<u16> = (0..3).map(|_| gateway.get("/", "").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(
        gateway.metric("tyrian_limit_decisions_total{limit=\"watched\",result=\"reported\"}"),
        Some(2.0)
    );
    let (status, limits) = gateway.api("GET", "/v1/limits", "");
    assert_eq!(status, 200);
    assert_eq!(limits["limits"][0]["limited"], 1, "{limits}");
}

#[test]
fn calls_of_grpc_hear_when_to_come_again_and_the_log_whose_limit_it_was() {
    let shop = Upstream::start("v1");
    let limit = "[limits.calls]\nrate = \"10/m\"\nkey = \"route\"\n";
    let route = "limits = [{ name = \"calls\", cost = 7 }]";
    let mut gateway = Gateway::start(&config(&shop, route, limit));
    assert_eq!(gateway.get("/", "").status, 200);
    let refused = gateway.get("/grpc", "Content-Type: application/grpc\r\n");
    assert_eq!(refused.header("grpc-status"), Some("8"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((20..=24).contains(&wait), "{wait}");
    let state = refused.header("ratelimit").unwrap();
    assert!(state.starts_with("\"calls\";r=3;"), "{state}");
    assert!(refused.header("ratelimit-policy").is_some());
    let line = gateway.logged(|line| line["path"] == "/grpc");
    assert_eq!(line["detail"], "limit `calls`: too many requests");
    let plain = gateway.get("/", "");
    assert!(!plain.text().contains("calls"), "{}", plain.text());
}

#[test]
fn a_key_of_the_host_is_the_same_by_any_protocol() {
    let shop = Upstream::start("v1");
    let limit = "[limits.hosts]\nrate = \"1/h\"\nkey = \"header:host\"\n";
    let gateway = Gateway::start(&config(&shop, "limits = [\"hosts\"]", limit));
    let mut client = crate::h2::Client::start(&gateway);
    for (number, host) in ["a.example", "b.example", "c.example"].iter().enumerate() {
        assert_eq!(client.ask(number as u32 * 2 + 1, host, "/"), "v1", "{host}");
    }
    assert_eq!(
        gateway.get("/", "").reason(),
        "rate_limited",
        "a.example again"
    );
}

#[test]
fn so_many_at_once_and_a_bounded_queue() {
    let shop = Upstream::start("v1");
    let cap = "max_in_flight = { max = 1, queue = 1, wait = \"3s\" }";
    let gateway = Gateway::start(&config(&shop, cap, ""));
    let started = Instant::now();
    let mut gateway = gateway;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let gateway = &gateway;
        let threads: Vec<_> = (0..3_u64)
            .map(|n| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(100 * n));
                    gateway.get("/delay/600", "").status
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(statuses, [200, 200, 503]);
    assert!(
        started.elapsed() >= Duration::from_millis(1200),
        "one after the other"
    );
    assert_eq!(gateway.get("/", "").status, 200, "places come back");
    let line = gateway.logged(|line| line["reason"] == "too_many_in_flight");
    assert_eq!(line["detail"], "`max_in_flight` of the route is reached");
}
