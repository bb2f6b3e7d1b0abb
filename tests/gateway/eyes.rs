//! The stream and the tap: what the gateway shows of itself while it runs.

use crate::client::Connection;
use crate::gateway::{Gateway, PATIENCE, listeners};
use crate::upstream::Upstream;
use serde_json::Value;
use std::time::Instant;

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start("v1");
    let text = format!(
        "{}\n[services.app]\nbreaker = \"b\"\n[services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [breakers.b]\ntrip = {{ error_rate = \"50%\" }}\n\
         [colors.canary]\nwhen = [{{ header = {{ x-group = \"beta\" }} }}]\nversions = {{ app = \"v1\" }}\n\
         [telemetry]\naccess_log = {{ format = \"common\" }}\n\
         [routes.all]\nmatch = {{ path = \"/app/*\" }}\nservice = \"app\"\n",
        listeners("\"127.0.0.0/8\""),
        upstream.address
    );
    let gateway = Gateway::start(&text);
    (upstream, gateway)
}

/// A stream of server-sent events.
pub struct Events {
    connection: Connection,
    text: String,
}

impl Events {
    pub fn of(gateway: &Gateway, path: &str) -> Self {
        let address = gateway.address("admin");
        let mut connection = Connection::to(address);
        let token = gateway.token();
        connection.send(
            format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            .as_bytes(),
        );
        let head = connection.head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let text = String::new();
        Self { connection, text }
    }

    /// The data of the next event of this name for which `wanted` holds.
    pub fn next(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some((event, rest)) = self.text.split_once("\n\n") else {
                let bytes = self.connection.take(1);
                assert!(!bytes.is_empty(), "the stream has ended");
                // Chunk sizes stand on lines of their own, which no event has.
                self.text.push_str(&String::from_utf8_lossy(&bytes));
                continue;
            };
            let field = |key: &str| {
                let mut lines = event.lines();
                lines.find_map(|line| line.split_once(key).filter(|(before, _)| before.is_empty()))
            };
            let is_it = field("event: ").is_some_and(|(_, found)| found == name);
            let data = field("data: ").map(|(_, data)| serde_json::from_str(data));
            let rest = rest.to_owned();
            if let (true, Some(Ok(data))) = (is_it, data)
                && wanted(&data)
            {
                self.text = rest;
                return data;
            }
            self.text = rest;
        }
        panic!("no such {name} event");
    }
}

#[test]
fn the_stream_tells_of_traffic_by_route_version_and_color() {
    let (_upstream, gateway) = start();
    let mut events = Events::of(&gateway, "/v1/stream");
    assert!(events.next("history", |_| true).is_array());
    for _ in 0..5 {
        gateway.get("/app/x", "");
        gateway.get("/app/x", "X-Tyrian-Color: canary\r\n");
    }
    gateway.get("/nowhere", "");
    let frame = events.next("frame", |frame| {
        frame["colors"]["canary"]["window"]["rps"].as_f64() > Some(0.0)
            && frame["refusals"]["no_route"].as_f64() > Some(0.0)
    });
    let row = &frame["rows"][0];
    assert_eq!(
        (&row["route"], &row["service"], &row["version"]),
        (&"all".into(), &"app".into(), &"v1".into())
    );
    assert!(frame["versions"]["app/v1"]["window"]["p99_ms"].as_f64() > Some(0.0));
    assert!(frame["overhead"]["p50_us"].as_f64() > Some(0.0));
    assert_eq!(frame["generation"], 1);
}

#[test]
fn the_stream_tells_of_breakers_and_of_the_configuration() {
    let (_upstream, gateway) = start();
    let mut events = Events::of(&gateway, "/v1/stream");
    gateway.api(
        "PUT",
        "/v1/services/app/v1/breaker",
        "{\"state\": \"open\"}",
    );
    let frame = events.next("frame", |frame| frame["breakers"][0]["state"] == "open");
    assert_eq!(frame["breakers"][0]["held"], true);

    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    gateway.write_config(&text.replace("/app/*", "/other/*"));
    let applied = |frame: &Value| frame["events"][0]["kind"] == "applied";
    let frame = events.next("frame", applied);
    assert_eq!(frame["events"][0]["generation"], 2);
    gateway.write_config("broken");
    let rejected = |frame: &Value| frame["events"][0]["kind"] == "rejected";
    events.next("frame", rejected);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    let rendered = status["config"]["rejected"]["rendered"].as_str();
    assert!(rendered.unwrap().contains("TY0001"), "{status}");
    gateway.write_config(&text);
    events.next("frame", applied);
    let (_, status) = gateway.api("GET", "/v1/status", "");
    assert!(status["config"]["rejected"].is_null());
}

#[test]
fn the_tap_shows_requests_that_match_and_counts_what_it_leaves_out() {
    let (_upstream, gateway) = start();
    let mut all = Events::of(&gateway, "/v1/tap");
    let mut refused = Events::of(&gateway, "/v1/tap?reason=any&status=4xx");
    let mut one = Events::of(&gateway, "/v1/tap?path=/app/&max_rps=1");
    one.next("open", |open| open["max_rps"] == 1);
    all.next("open", |_| true);
    refused.next("open", |_| true);
    for _ in 0..20 {
        gateway.get("/app/x?token=hush&page=2", "X-Tyrian-Color: canary\r\n");
    }
    gateway.get("/nowhere", "");
    let seen = all.next("request", |_| true);
    assert_eq!(
        (&seen["path"], &seen["color_served"], &seen["service"]),
        (&"/app/x".into(), &"canary".into(), &"app".into())
    );
    assert_eq!(seen["query"], "token=***&page=2");
    let seen = refused.next("request", |_| true);
    assert_eq!(
        (&seen["path"], &seen["status"]),
        (&"/nowhere".into(), &404.into())
    );
    let lost = one.next("lost", |_| true);
    assert!(lost["over_pace"].as_u64() > Some(0), "{lost}");
}

#[test]
fn a_tap_that_makes_no_sense_or_shows_no_token_is_refused() {
    let (_upstream, gateway) = start();
    let (status, problem) = gateway.api("GET", "/v1/tap?status=never", "");
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("never"));
    assert_eq!(gateway.api("GET", "/v1/tap?nonsense=1", "").0, 400);
    let address = gateway.address("admin");
    let request = format!("GET /v1/tap HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(
        Connection::to(address).exchange(request.as_bytes()).status,
        401
    );
}

/// A verb against this gateway.
fn tyrian(gateway: &Gateway, words: &[&str]) -> std::process::Output {
    crate::gateway::tyrian()
        .args(words)
        .arg("--admin")
        .arg(gateway.address("admin").to_string())
        .arg("--token-file")
        .arg(gateway.dir.path().join("state/admin.token"))
        .output()
        .unwrap()
}

#[test]
fn tap_and_top_tell_of_a_running_gateway() {
    let (_upstream, gateway) = start();
    std::thread::scope(|scope| {
        let tap = |form: &'static str| {
            scope.spawn(|| {
                tyrian(
                    &gateway,
                    &["tap", "status=2xx", "path=/app/", "-n", "1", "-o", form],
                )
            })
        };
        let watchers = ["json", "curl", "pretty"].map(tap);
        let deadline = Instant::now() + PATIENCE;
        while !watchers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            gateway.get("/app/x?q=1", "X-Group: beta\r\nX-Other: hush\r\n");
            assert!(Instant::now() < deadline);
        }
        let [json, curl, pretty] = watchers.map(|watcher| {
            let output = watcher.join().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        });
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["path"], &json["status"]),
            (&"/app/x".into(), &200.into())
        );
        assert_eq!(
            curl,
            "curl -i -H 'x-group: beta' 'http://a.example/app/x?q=1'\n"
        );
        assert!(
            pretty.contains("200 GET a.example/app/x?q=1  all → app v1"),
            "{pretty}"
        );
    });
    let top = tyrian(&gateway, &["top", "--once", "-o", "json"]);
    let frame: Value = serde_json::from_slice(&top.stdout).unwrap();
    assert_eq!(frame["generation"], 1);
    let top = String::from_utf8(tyrian(&gateway, &["top", "--once"]).stdout).unwrap();
    assert!(top.contains("app v1") && top.contains("ROUTE"), "{top}");
    assert_eq!(
        tyrian(&gateway, &["tap", "colour=x"]).status.code(),
        Some(2)
    );
}
