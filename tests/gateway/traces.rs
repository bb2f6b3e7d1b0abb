//! Traces: what upstreams are told, which requests leave spans, and how those look.

use crate::client::Connection;
use crate::collector::{Collector, attribute, hex};
use crate::gateway::{Gateway, listeners};
use crate::upstream::Upstream;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::net::SocketAddr;

pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub const SPAN: &str = "b7ad6b7169203331";

/// A gateway before one upstream; `traces` is the table's inside.
pub fn config(upstream: &Upstream, trust: &str, traces: &str) -> String {
    format!(
        "{}\n[services.app]\nretry = {{ attempts = 2, on = [\"503\"], budget = \"100%\" }}\n\
         [services.app.versions.v1]\nendpoints = [\"{}\"]\n\
         [colors.canary]\nversions = {{ app = \"v1\" }}\n\
         [coloring]\nbaggage = \"color\"\n\
         [routes.all]\nmatch = {{ path = \"/app/*\" }}\nservice = \"app\"\n\
         [routes.moved]\nmatch = {{ path = \"/old/*\" }}\nservice = \"app\"\n\
         rewrite = {{ replace_prefix = \"/new\" }}\n\
         [routes.often]\nmatch = {{ path = \"/often/*\" }}\nservice = \"app\"\n\
         [routes.ping]\nmatch = {{ path = \"/ping\" }}\nrespond = {{ text = \"ok\" }}\n\
         [telemetry]\nservice_name = \"edge\"\ntraces = {{ {traces} }}\n",
        listeners(trust),
        upstream.address
    )
}

/// Batches leave at once, and are given up soon.
const QUICK: [(&str, &str); 2] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "300"),
];

pub fn start(upstream: &Upstream, trust: &str, traces: &str) -> Gateway {
    start_under(upstream, trust, traces, &[])
}

pub fn start_under(
    upstream: &Upstream,
    trust: &str,
    traces: &str,
    variables: &[(&str, &str)],
) -> Gateway {
    let text = config(upstream, trust, traces);
    Gateway::start_with(&text, |command| {
        command.envs(QUICK.iter().chain(variables).copied());
    })
}

pub fn otlp(collector: &Collector) -> String {
    format!("otlp = \"{}\"", collector.url())
}

pub fn of(span: &Span, key: &str) -> String {
    attribute(&span.attributes, key).unwrap_or_default()
}

pub fn kind(span: &Span, kind: SpanKind) -> bool {
    span.kind == i32::from(kind)
}

/// The first span of this kind.
pub fn first(spans: &[Span], wanted: SpanKind) -> &Span {
    spans.iter().find(|span| kind(span, wanted)).unwrap()
}

/// The trace, span and flags of the `traceparent` that the upstream got last.
pub fn upstream_parent(upstream: &Upstream) -> (String, String, String) {
    let parents = upstream.header("traceparent");
    assert_eq!(parents.len(), 1, "{}", upstream.last_head());
    let mut fields = parents[0].split('-').map(str::to_owned);
    assert_eq!(fields.next().as_deref(), Some("00"));
    let mut next = || fields.next().unwrap();
    (next(), next(), next())
}

fn attributes_follow_the_conventions(server: &Span, client: &Span, place: SocketAddr) {
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.path", "/app/x"),
        ("http.route", "all"),
        ("http.response.status_code", "200"),
        ("server.address", "a.example"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "t/1"),
        ("tyrian.route", "all"),
        ("tyrian.service", "app"),
        ("tyrian.version", "v1"),
        ("tyrian.color.requested", "canary"),
        ("tyrian.color.served", "canary"),
        ("tyrian.generation", "1"),
    ] {
        assert_eq!(of(server, key), value, "{key}");
    }
    for (key, value) in [
        ("server.address", "127.0.0.1".to_owned()),
        ("server.port", place.port().to_string()),
        ("url.full", format!("http://{place}/app/x")),
        ("http.response.status_code", "200".to_owned()),
        ("tyrian.version", "v1".to_owned()),
    ] {
        assert_eq!(of(client, key), value, "{key}");
    }
}

#[test]
fn a_request_is_a_server_span_and_each_try_a_client_span() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let mut gateway = start(&upstream, "\"127.0.0.0/8\"", &traces);
    let answer = gateway.get(
        "/app/x?secret=1",
        &format!("Traceparent: 00-{TRACE}-{SPAN}-01\r\nTracestate: a=b\r\nX-Tyrian-Color: canary\r\nUser-Agent: t/1\r\n"),
    );
    assert_eq!(answer.status, 200);
    let (trace, parent, flags) = upstream_parent(&upstream);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_eq!(upstream.header("tracestate"), ["a=b"]);
    assert_eq!(upstream.header("baggage"), ["color=canary"]);
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    let server = first(&spans, SpanKind::Server);
    let client = first(&spans, SpanKind::Client);
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(span.trace_state, "a=b");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    assert_eq!(hex(&server.parent_span_id), SPAN);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(
        hex(&client.span_id),
        parent,
        "the upstream's parent is the try"
    );
    assert_eq!(server.name, "GET all");
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    attributes_follow_the_conventions(server, client, upstream.address);
    assert!(
        !format!("{spans:?}").contains("secret"),
        "queries are not told"
    );
    let line = gateway.logged(|line| line["route"] == "all");
    assert_eq!(line["trace_id"], TRACE);
    let resource = collector.messages()[0].resource_spans[0]
        .resource
        .clone()
        .unwrap();
    let told = |key| attribute(&resource.attributes, key);
    assert_eq!(told("service.name").as_deref(), Some("edge"));
    assert!(told("service.version").is_some() && told("service.instance.id").is_some());
    gateway.counts("tyrian_trace_spans_exported_total", 2.0);
    assert!(
        gateway.log().contains("\"message\":\"traces\""),
        "{}",
        gateway.log()
    );
}

#[test]
fn spans_tell_the_protocol_and_what_upstreams_were_asked_for() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    let old = "GET /old/x HTTP/1.0\r\nHost: a.example\r\n\r\n";
    assert_eq!(gateway.connect().exchange(old.as_bytes()).status, 200);
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    let server = first(&spans, SpanKind::Server);
    let client = first(&spans, SpanKind::Client);
    assert_eq!(of(server, "network.protocol.version"), "1.0");
    assert_eq!(of(server, "url.path"), "/old/x");
    let asked = format!("http://{}/new/x", upstream.address);
    assert_eq!(of(client, "url.full"), asked);
    let log = gateway.log();
    assert!(log.contains("\"protocol\":\"http/protobuf\""), "{log}");
}

#[test]
fn each_retry_is_a_span_of_its_own() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    assert_eq!(gateway.get("/app/x", "").status, 200);
    upstream.say_status(503);
    assert_eq!(gateway.get("/app/x", "").status, 503);
    let spans = collector.wait_for("five spans", |spans| spans.len() == 5);
    let of_second: Vec<_> = spans[2..].iter().collect();
    let server = of_second
        .iter()
        .find(|s| kind(s, SpanKind::Server))
        .unwrap();
    assert_eq!(of(server, "tyrian.tries"), "2");
    assert_eq!(of(server, "error.type"), "503");
    let tries: Vec<_> = of_second
        .iter()
        .filter(|s| kind(s, SpanKind::Client))
        .collect();
    assert_eq!(tries.len(), 2);
    assert_ne!(tries[0].span_id, tries[1].span_id);
    for (number, one) in tries.iter().enumerate() {
        assert_eq!(one.parent_span_id, server.span_id);
        assert_eq!(of(one, "http.response.status_code"), "503");
        let resent = of(one, "http.request.resend_count");
        assert_eq!(resent, if number == 0 { "" } else { "1" });
    }
    // Each try told its upstream its own span.
    let told: Vec<String> = upstream.heads()[1..]
        .iter()
        .map(|head| head.split("traceparent: 00-").nth(1).unwrap()[33..49].to_owned())
        .collect();
    let spans: Vec<String> = tries.iter().map(|one| hex(&one.span_id)).collect();
    assert_eq!(told, spans);
}

#[test]
fn what_is_not_drawn_leaves_no_span_but_a_sound_traceparent() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!(
        "sample = \"0%\", routes = {{ often = \"100%\" }}, {}",
        otlp(&collector)
    );
    let mut gateway = start(&upstream, "", &traces);
    gateway.get("/app/x", "Tracestate: orphan=1\r\n");
    let (trace, _, flags) = upstream_parent(&upstream);
    assert_eq!(flags, "00");
    assert!(
        upstream.header("tracestate").is_empty(),
        "it belonged to no trace"
    );
    let line = gateway.logged(|line| line["route"] == "all");
    assert_eq!(line["trace_id"], trace.as_str());
    // A stranger's trace goes on, but its wish is not obeyed.
    gateway.get("/app/x", &format!("Traceparent: 00-{TRACE}-{SPAN}-01\r\n"));
    let (trace, _, flags) = upstream_parent(&upstream);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    // One that nobody wants has the try as its parent too; a state that is malformed is dropped.
    let headers = format!("Traceparent: 00-{TRACE}-{SPAN}-00\r\nTracestate: a=1,A=2\r\n");
    gateway.get("/app/x", &headers);
    let (trace, span, flags) = upstream_parent(&upstream);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_ne!(span, SPAN);
    assert!(upstream.header("tracestate").is_empty());
    // A malformed one is replaced.
    gateway.get("/app/x", "Traceparent: 00-zz-zz-01\r\n");
    let (trace, _, _) = upstream_parent(&upstream);
    assert_eq!(trace.len(), 32);
    gateway.get("/often/x", "");
    let spans = collector.wait_for("two spans", |spans| spans.len() >= 2);
    assert!(
        spans.iter().all(|span| of(span, "http.route") != "all"),
        "{spans:#?}"
    );
    assert_eq!(spans.len(), 2);
}

#[test]
fn a_trusted_parent_decides() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"0%\", {}", otlp(&collector));
    let gateway = start(&upstream, "\"127.0.0.0/8\"", &traces);
    gateway.get("/app/x", &format!("Traceparent: 00-{TRACE}-{SPAN}-00\r\n"));
    gateway.get("/app/y", &format!("Traceparent: 00-{TRACE}-{SPAN}-01\r\n"));
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    let server = first(&spans, SpanKind::Server);
    assert_eq!(of(server, "url.path"), "/app/y");
}

#[test]
fn b3_is_spoken_where_it_is_wished_for() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!(
        "sample = \"0%\", propagate = [\"b3\", \"b3multi\", \"tracecontext\"], {}",
        otlp(&collector)
    );
    let gateway = start(&upstream, "\"127.0.0.0/8\"", &traces);
    gateway.get("/app/x", &format!("B3: {TRACE}-{SPAN}-1\r\n"));
    let (trace, span, flags) = upstream_parent(&upstream);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_eq!(upstream.header("b3"), [format!("{TRACE}-{span}-1")]);
    assert_eq!(upstream.header("x-b3-traceid"), [TRACE]);
    assert_eq!(upstream.header("x-b3-spanid"), [span]);
    assert_eq!(upstream.header("x-b3-sampled"), ["1"]);
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    assert!(spans.iter().any(|one| hex(&one.parent_span_id) == SPAN));
}

#[test]
fn hostile_paths_methods_and_hosts_name_no_span() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    let mut connection = Connection::to(gateway.address("web"));
    for number in 0..20 {
        let long = "x".repeat(3_000);
        let request =
            format!("BREW{number} /app/{number}{long} HTTP/1.1\r\nHost: h{number}.example\r\n\r\n");
        connection.exchange(request.as_bytes());
    }
    let spans = collector.wait_for("spans", |spans| spans.len() >= 40);
    for span in &spans {
        assert!(
            ["HTTP all", "HTTP"].contains(&span.name.as_str()),
            "{}",
            span.name
        );
        assert_eq!(of(span, "http.request.method"), "_OTHER");
        assert!(span.attributes.iter().all(|a| a.key.len() < 64));
        assert!(of(span, "url.path").len() <= 1024);
    }
}

#[test]
fn a_slow_bucket_leads_to_a_trace_for_those_who_ask_for_openmetrics() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    gateway.get("/app/x", "");
    let spans = collector.wait_for("two spans", |spans| spans.len() == 2);
    let scrape = |accept: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n");
        let answer = Connection::to(gateway.address("metrics")).exchange(request.as_bytes());
        let kind = answer.header("content-type").unwrap().to_owned();
        (kind, String::from_utf8(answer.body).unwrap())
    };
    let (kind, text) =
        scrape("Accept: application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1\r\n");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let exemplar = format!(" # {{trace_id=\"{}\"}} ", hex(&spans[0].trace_id));
    // Of the request, and of its try.
    for family in ["http_server_", "http_client_"] {
        let lines = text.lines().filter(|line| line.starts_with(family));
        let examples = lines.filter(|line| line.contains(&exemplar));
        assert_eq!(examples.count(), 1, "{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    let (kind, text) = scrape("");
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert!(!text.contains("trace_id") && text.contains("# TYPE tyrian_requests_total counter"));
}
