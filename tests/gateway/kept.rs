//! Requests that leave spans whatever the draw said: those that failed, were slow, or were not served
//! as their color wanted it.

use crate::collector::{Collector, hex};
use crate::gateway::{Gateway, listeners};
use crate::traces::{SPAN, TRACE, first, kind, of, otlp, start, upstream_parent};
use crate::upstream::Upstream;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

#[test]
fn failures_slow_requests_and_refusals_are_kept_whatever_the_draw_said() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"0%\", slow = \"200ms\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    gateway.get("/app/x", "");
    gateway.get("/delay/1", "");
    let failed = gateway.get("/app/x", "X: y\r\n");
    assert_eq!(failed.status, 200);
    upstream.say_status(500);
    gateway.get("/app/failed", "");
    let (trace, span, flags) = upstream_parent(&upstream);
    assert_eq!(
        flags, "00",
        "the draw was against it, and upstreams follow the draw"
    );
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    let server = first(&spans, SpanKind::Server);
    let client = first(&spans, SpanKind::Client);
    assert_eq!(of(server, "url.path"), "/app/failed");
    assert_eq!((hex(&server.trace_id), hex(&client.span_id)), (trace, span));
    assert_eq!(server.status.as_ref().unwrap().code, 2);
    assert_eq!(server.flags & 1, 0);
    upstream.say(None);
    upstream.delay(std::time::Duration::from_millis(250));
    gateway.get("/app/slow", "");
    let spans = collector.wait_for("four spans", |spans| spans.len() == 4);
    assert_eq!(of(&spans[2], "url.path"), "/app/slow");
    assert_eq!(spans[2].status, None);
}

#[test]
fn a_refusal_names_its_trace_and_its_reason() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"0%\", {}", otlp(&collector));
    let mut gateway = start(&upstream, "", &traces);
    let place = upstream.stop();
    let answer = gateway.get("/app/x", &format!("Traceparent: 00-{TRACE}-{SPAN}-00\r\n"));
    assert!(matches!(answer.status, 502 | 503), "{place} {answer:?}");
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["trace_id"], TRACE);
    let spans = collector.wait_for("spans", |spans| {
        spans.iter().any(|s| kind(s, SpanKind::Server))
    });
    let server = first(&spans, SpanKind::Server);
    assert_eq!(of(server, "tyrian.reason"), problem["reason"]);
    assert_eq!(of(server, "error.type"), problem["reason"]);
    assert_eq!(hex(&server.trace_id), TRACE);
    // One without a trace of its own is given one.
    let answer = gateway.get("/nowhere", "");
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let line = gateway.logged(|line| line["reason"] == "no_route");
    assert_eq!(line["trace_id"], problem["trace_id"]);
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn failures_of_grpc_are_failures_though_their_status_is_200() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"0%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    let grpc = "Content-Type: application/grpc\r\n";
    for (status, path) in [("5", "/app/not-found"), ("13", "/app/internal")] {
        upstream.say_ok(
            &format!("Content-Type: application/grpc\r\nGrpc-Status: {status}\r\n"),
            "",
        );
        assert_eq!(gateway.get(path, grpc).status, 200);
    }
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    assert_eq!(of(&spans[0], "url.path"), "/app/internal");
    for span in &spans {
        assert_eq!(of(span, "rpc.grpc.status_code"), "13");
        assert_eq!(of(span, "error.type"), "13");
        assert_eq!(span.status.as_ref().unwrap().code, 2);
    }
    upstream.stop();
    assert_eq!(gateway.get("/app/refused", grpc).status, 200);
    let spans = collector.wait_for("more spans", |spans| {
        spans
            .iter()
            .any(|span| of(span, "url.path") == "/app/refused")
    });
    let refused = spans
        .iter()
        .find(|span| of(span, "url.path") == "/app/refused");
    assert!(!of(refused.unwrap(), "tyrian.reason").is_empty());
}

#[test]
fn a_request_that_its_color_was_denied_is_kept() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let gone = Upstream::start("v2").stop();
    let text = format!(
        "{}\n[services.app]\ndefault = \"v1\"\nretry = {{ attempts = 3, on = [\"connect\"] }}\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [services.app.versions.v2]\nendpoints = [\"{gone}\"]\n\
         [colors.canary]\nversions = {{ app = \"v2\" }}\n\
         [routes.all]\nmatch = {{ path = \"/app/*\" }}\nservice = \"app\"\n\
         [telemetry]\ntraces = {{ sample = \"0%\", {} }}\n",
        listeners("\"127.0.0.0/8\""),
        upstream.address,
        otlp(&collector)
    );
    let gateway = Gateway::start_with(&text, |command| {
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    });
    assert_eq!(gateway.get("/app/plain", "").status, 200);
    let answer = gateway.get("/app/x", "X-Tyrian-Color: canary\r\n");
    assert_eq!(answer.status, 200);
    let spans = collector.wait_for("three spans", |spans| spans.len() == 3);
    let server = first(&spans, SpanKind::Server);
    assert_eq!(of(server, "url.path"), "/app/x");
    assert_eq!(of(server, "tyrian.color.requested"), "canary");
    assert_eq!(of(server, "tyrian.color.reason"), "unhealthy");
    assert_eq!(of(server, "tyrian.version"), "v1");
    assert_eq!(server.status, None);
    let mut tries: Vec<_> = spans
        .iter()
        .filter(|span| kind(span, SpanKind::Client))
        .collect();
    tries.sort_by_key(|span| span.start_time_unix_nano);
    let versions: Vec<_> = tries
        .iter()
        .map(|span| of(span, "tyrian.version"))
        .collect();
    assert_eq!(versions, ["v2", "v1"]);
    assert_eq!(of(tries[0], "error.type"), "connection");
    assert_eq!(of(tries[0], "tyrian.endpoint"), gone.to_string());
}
