//! What is out of order is told where an operator looks: the log, `status`, the admin API.

use crate::certificates::{Client, Scene};
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use serde_json::Value;
use std::net::TcpListener;
use tyrian::tls::dev::{Authority, Role};

fn config(endpoints: &[String], service: &str, more: &str) -> String {
    format!(
        "{}\n[services.shop]\nbalance = \"round-robin\"\n{service}\n\
         versions.v1.endpoints = {endpoints:?}\n\
         [routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"shop\"\n{more}",
        listeners(""),
    )
}

/// Waits for a line of the gateway's own log.
fn told(gateway: &mut Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    gateway.wait_for("a line of the log", |gateway| {
        let log = gateway.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        found = lines.into_iter().find(|line| wanted(line));
        found.is_some()
    });
    found.unwrap()
}

/// The members of a line that are named, as text.
fn members(line: &Value, names: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), ToOwned::to_owned);
    names.iter().map(|name| text(&line[*name])).collect()
}

/// What `tyrian status` prints.
fn status(gateway: &Gateway) -> String {
    let output = crate::gateway::tyrian()
        .arg("status")
        .args(["--admin", &gateway.address("admin").to_string()])
        .arg("--token-file")
        .arg(gateway.dir.path().join("state/admin.token"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a text is a time of today's century, in UTC.
fn is_time(value: &Value) -> bool {
    let time = value.as_str().unwrap_or("");
    time.starts_with("20") && time.ends_with('Z')
}

/// The first endpoint in `GET /v1/services`.
fn endpoint(gateway: &Gateway) -> Value {
    let (_, services) = gateway.api("GET", "/v1/services", "");
    services["services"][0]["versions"][0]["endpoints"][0].clone()
}

/// What the line of a breaker that opens says.
const OPENED: [&str; 11] = [
    "level",
    "service",
    "version",
    "from",
    "cause",
    "requests",
    "failed",
    "error_rate",
    "error_threshold",
    "open_for",
    "mode",
];

#[test]
fn a_breaker_says_why_it_opens_and_closes_and_by_which_numbers() {
    let upstream = Upstream::start("v1");
    let breaker = "[breakers.b]\nopen_for = \"1s\"\nprobes = 2\n\
                   trip = { error_rate = \"50%\", min_requests = 5 }\n";
    let endpoints = [upstream.address.to_string()];
    let mut gateway = Gateway::start(&config(&endpoints, "breaker = \"b\"", breaker));
    upstream.say_status(500);
    for _ in 0..5 {
        assert_eq!(gateway.get("/", "").status, 500);
    }
    let opened = told(&mut gateway, |line| line["message"] == "breaker opened");
    assert_eq!(
        members(&opened, &OPENED),
        [
            "WARN",
            "shop",
            "v1",
            "closed",
            "error_rate",
            "5",
            "5",
            "100%",
            "50%",
            "1s",
            "enforce"
        ],
        "{opened}"
    );
    let (_, seen) = gateway.api("GET", "/v1/status", "");
    let open = &seen["breakers"][0];
    assert_eq!(
        members(open, &["service", "version", "state", "cause", "requests"]),
        ["shop", "v1", "open", "error_rate", "5"],
        "{seen}"
    );
    assert!(is_time(&open["since"]), "{seen}");
    let shown = status(&gateway);
    let row = format!(
        "breaker      shop/v1 open since {}: error_rate (5 failed, 0 slow of 5)\n",
        open["since"].as_str().unwrap()
    );
    assert!(shown.contains(&row), "{shown}");

    upstream.say(None);
    gateway.wait_for("the breaker to close", |gateway| {
        gateway.get("/", "");
        gateway.metric("tyrian_breaker_state{service=\"shop\",version=\"v1\"}") == Some(0.0)
    });
    let half = told(&mut gateway, |line| line["message"] == "breaker half-open");
    assert_eq!(
        members(&half, &["service", "from", "cause", "probes"]),
        ["shop", "open", "open_for_elapsed", "2"]
    );
    let closed = told(&mut gateway, |line| line["message"] == "breaker closed");
    assert_eq!(
        members(&closed, &["version", "from", "cause", "requests", "failed"]),
        ["v1", "half-open", "probes_passed", "2", "0"]
    );
    let (_, seen) = gateway.api("GET", "/v1/status", "");
    assert_eq!(seen["breakers"], serde_json::json!([]), "{seen}");
}

#[test]
fn a_failed_check_tells_its_cause_and_since_when() {
    let sick = Upstream::start("sick");
    let service = "health = { path = \"/healthz\", every = \"100ms\", unhealthy_after = 2 }";
    let mut gateway = Gateway::start(&config(&[sick.address.to_string()], service, ""));
    gateway.wait_for("a check that passed", |gateway| {
        endpoint(gateway)["health"] == "healthy"
    });
    sick.say_status(503);
    let changed = told(&mut gateway, |line| {
        line["message"] == "health changed" && line["health"] == "unhealthy"
    });
    let address = sick.address.to_string();
    assert_eq!(
        members(
            &changed,
            &["level", "service", "version", "endpoint", "cause", "before"]
        ),
        ["WARN", "shop", "v1", &address, "HTTP status 503", "healthy"]
    );
    let seen = endpoint(&gateway);
    assert_eq!(seen["unhealthy_cause"], "HTTP status 503", "{seen}");
    assert!(is_time(&seen["unhealthy_since"]), "{seen}");
    let shown = status(&gateway);
    let row = format!("down         shop/v1 {address} unhealthy since 20");
    assert!(
        shown.contains(&row) && shown.contains(": HTTP status 503\n"),
        "{shown}"
    );
    sick.say(None);
    told(&mut gateway, |line| {
        line["message"] == "health changed"
            && line["health"] == "healthy"
            && line["before"] == "unhealthy"
    });
    assert!(endpoint(&gateway)["unhealthy_since"].is_null());
}

#[test]
fn an_ejected_endpoint_tells_its_cause_and_until_when() {
    let (bad, well) = (Upstream::start("bad"), Upstream::start("well"));
    let endpoints = [&bad, &well].map(|upstream| upstream.address.to_string());
    let service = "outliers = { consecutive_failures = 3, eject_for = \"60s\" }";
    let mut gateway = Gateway::start(&config(&endpoints, service, ""));
    bad.say_status(502);
    gateway.wait_for("the ejection", |gateway| {
        gateway.get("/", "");
        endpoint(gateway)["ejected"] == true
    });
    let ejected = told(&mut gateway, |line| line["message"] == "endpoint ejected");
    assert_eq!(
        members(
            &ejected,
            &[
                "service",
                "version",
                "endpoint",
                "cause",
                "failures",
                "ejected_for"
            ]
        ),
        ["shop", "v1", &endpoints[0], "HTTP status 502", "3", "60s"],
        "{ejected}"
    );
    let seen = endpoint(&gateway);
    assert_eq!(seen["ejected_cause"], "HTTP status 502", "{seen}");
    for name in ["ejected_since", "ejected_until"] {
        assert!(is_time(&seen[name]), "{seen}");
    }
    let (_, seen) = gateway.api("GET", "/v1/status", "");
    let out = &seen["endpoints_out"][0];
    assert_eq!(
        members(out, &["service", "version", "endpoint", "state", "cause"]),
        ["shop", "v1", &endpoints[0], "ejected", "HTTP status 502"]
    );
    assert!(is_time(&out["since"]) && is_time(&out["until"]), "{out}");
    let name = "tyrian_endpoint_ejections_total";
    let of = format!(
        "service=\"shop\",version=\"v1\",endpoint=\"{}\"",
        endpoints[0]
    );
    gateway.counts(&format!("{name}{{{of},cause=\"http_status\"}}"), 1.0);
    gateway.counts(&format!("{name}{{{of},cause=\"timeout\"}}"), 0.0);
}

#[test]
fn an_endpoint_that_refuses_connections_is_told_with_its_service() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut gateway = Gateway::start(&config(&[address.to_string()], "", ""));
    assert_eq!(gateway.get("/", "").status, 503);
    let out = told(&mut gateway, |line| line["message"] == "endpoint taken out");
    assert_eq!(
        members(&out, &["service", "version", "endpoint", "cause"]),
        ["shop", "v1", &address.to_string(), "connection refused"]
    );
    let failures = "tyrian_upstream_connect_failures_total{service=\"shop\",version=\"v1\"";
    gateway.counts(&format!("{failures},cause=\"connect_refused\"}}"), 1.0);
    gateway.counts(&format!("{failures},cause=\"connect_timeout\"}}"), 0.0);
    let (_, seen) = gateway.api("GET", "/v1/status", "");
    let out = &seen["endpoints_out"][0];
    assert_eq!(
        members(out, &["state", "cause"]),
        ["unreachable", "connection refused"]
    );
    assert_eq!(seen["endpoints_down"][0], format!("shop/v1 {address}"));
    let _back = Upstream::start_at("back", address);
    told(&mut gateway, |line| {
        line["message"] == "endpoint is back" && line["service"] == "shop"
    });
}

#[test]
fn a_refused_client_certificate_is_told_at_info_and_no_flood_of_them() {
    let (scene, stranger) = (Scene::new("a.example"), Authority::new().unwrap());
    let asked = ", client_auth = { ca = \"@/ca.pem\" }";
    let mut gateway = Gateway::start(&scene.config(asked));
    let failures = |cause: &str| {
        format!("tyrian_tls_handshake_failures_total{{listener=\"tls\",cause=\"{cause}\"}}")
    };
    // Its authority has the name of the one that is trusted, and another key.
    let name = format!("spiffe://example/\u{1b}[2J\u{7f}{}", "x".repeat(300));
    let other = stranger
        .sign(std::slice::from_ref(&name), Role::Client)
        .unwrap();
    let mut client = Client::of(&scene.authority);
    client.shows = Some(&other);
    assert!(client.get(&gateway, "/", "").is_err());
    let refused = "client certificate refused";
    let line = told(&mut gateway, |line| line["message"] == refused);
    assert_eq!(
        members(
            &line,
            &["level", "listener", "client", "certificate", "cause"]
        ),
        [
            "INFO",
            "tls",
            "127.0.0.1",
            &name[..200],
            "client_cert_invalid"
        ]
    );
    let log = gateway.log();
    assert!(log.contains("example/\\u001b[2J\\u007fxx"), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{7f}']), "{log}");
    gateway.counts(&failures("client_cert_invalid"), 1.0);

    client.shows = None;
    for _ in 0..30 {
        let answer = client.get(&gateway, "/", "");
        assert!(!answer.is_ok_and(|answer| !answer.is_empty()));
    }
    gateway.counts(&failures("client_cert_missing"), 30.0);
    gateway.counts(&failures("timeout"), 0.0);
    // However many seconds it took, each line that was not written is counted by a later one.
    let mut lines: Vec<Value> = Vec::new();
    gateway.wait_for("a line that counts the suppressed ones", |gateway| {
        let _ = client.get(gateway, "/", "");
        let log = gateway.log();
        let all = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines = all
            .filter(|line: &Value| line["message"] == refused)
            .collect();
        lines
            .iter()
            .any(|line| line["suppressed"].as_u64() > Some(0))
    });
    assert!(
        lines
            .iter()
            .skip(1)
            .all(|line| line["certificate"].is_null())
    );
}
