//! Spans and metrics on their way to a collector, and that a collector in trouble is nobody's trouble.

use crate::collector::{Collector, Mood, attribute};
use crate::gateway::Gateway;
use crate::traces::{config, otlp, start, start_under, upstream_parent};
use crate::upstream::Upstream;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tyrian::tls::dev::{Authority, Role};

#[test]
fn grpc_is_spoken_too_with_headers_from_the_environment() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::grpc());
    let traces = format!(
        "sample = \"100%\", protocol = \"grpc\", {}",
        otlp(&collector)
    );
    let key = [("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush")];
    let gateway = start_under(&upstream, "", &traces, &key);
    gateway.get("/app/x", "");
    collector.wait_for("two spans", |spans| spans.len() == 2);
    assert_eq!(collector.received()[0].header("api-key"), Some("hush"));
    assert!(!gateway.log().contains("hush"), "{}", gateway.log());
}

#[test]
fn headers_from_the_file_reach_the_collector_and_no_log() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!(
        "sample = \"100%\", headers = {{ x-scope-orgid = \"shop\", api-key = {{ env = \"KEY\" }} }}, {}",
        otlp(&collector)
    );
    let gateway = start_under(&upstream, "", &traces, &[("KEY", "hush")]);
    gateway.get("/app/x", "");
    collector.wait_for("two spans", |spans| spans.len() == 2);
    let received = &collector.received()[0];
    assert_eq!(received.header("x-scope-orgid"), Some("shop"));
    assert_eq!(received.header("api-key"), Some("hush"));
    assert!(!gateway.log().contains("hush"), "{}", gateway.log());
    let (_, text) = gateway.api("GET", "/v1/config", "");
    assert!(!text.to_string().contains("hush"), "{text}");
    // Without its secret a configuration never goes live.
    let table = config(&upstream, "", &traces.replace("KEY", "NOBODY_SET_THIS"));
    gateway.write_config(&table);
    let (status, verdict) = gateway.api("POST", "/v1/config/reload", "");
    assert_eq!(status, 422, "{verdict}");
    assert!(verdict.to_string().contains("headers.api-key"), "{verdict}");
}

#[test]
fn a_collector_in_trouble_costs_nothing_but_counted_drops() {
    let upstream = Upstream::start("v1");
    let gone = Upstream::start("gone").stop();
    for (mood, reason) in [
        (Some(Mood::Refuses(400)), "rejected"),
        (Some(Mood::Refuses(503)), "unreachable"),
        (Some(Mood::Silent), "timeout"),
        (None, "unreachable"),
    ] {
        let collector = Collector::http();
        collector.becomes(mood.unwrap_or(Mood::Takes));
        let place = if mood.is_some() {
            collector.address
        } else {
            gone
        };
        let traces = format!("sample = \"100%\", otlp = \"http://{place}\"");
        let small = [("OTEL_BSP_MAX_QUEUE_SIZE", "8")];
        let mut gateway = start_under(&upstream, "", &traces, &small);
        for _ in 0..40 {
            assert_eq!(gateway.get("/app/x", "").status, 200);
        }
        let dropped = |gateway: &Gateway, reason: &str| {
            let name = format!("tyrian_trace_spans_dropped_total{{reason=\"{reason}\"}}");
            gateway.metric(&name).unwrap_or(0.0) as u64
        };
        gateway.wait_for("drops", |gateway| dropped(gateway, reason) > 0);
        // Whoever has refused is left alone for a while.
        if matches!(mood, Some(Mood::Silent | Mood::Refuses(400))) {
            assert!(dropped(&gateway, "queue_full") > 0, "{mood:?}");
        }
        // All are accounted for, in the end.
        gateway.wait_for("all spans", |gateway| {
            let reasons = ["queue_full", "unreachable", "timeout", "rejected"];
            let lost: u64 = reasons.iter().map(|why| dropped(gateway, why)).sum();
            lost == 80
        });
        let told = gateway.log().matches("spans are lost").count();
        assert_eq!(told, 1, "trouble is told once: {}", gateway.log());
        let (_, status) = gateway.api("GET", "/v1/status", "");
        let findings = status["findings"].to_string();
        assert!(findings.contains("spans were lost"), "{findings}");
        if mood.is_some() {
            collector.becomes(Mood::Takes);
            gateway.get("/app/x", "");
            collector.wait_for("spans", |spans| spans.len() >= 2);
            gateway.wait_for("good news", |gateway| gateway.log().contains("taken again"));
        }
        gateway.signal("TERM");
        assert!(gateway.wait().success());
    }
}

#[test]
fn spans_that_a_collector_does_not_want_are_counted() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    collector.becomes(Mood::Picky);
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let gateway = start(&upstream, "", &traces);
    gateway.get("/app/x", "");
    gateway.counts("tyrian_trace_spans_dropped_total{reason=\"rejected\"}", 1.0);
    gateway.counts("tyrian_trace_spans_exported_total", 1.0);
}

#[test]
fn the_last_spans_leave_with_the_process() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let traces = format!("sample = \"100%\", {}", otlp(&collector));
    let slow = [("OTEL_BSP_SCHEDULE_DELAY", "60000")];
    let mut gateway = start_under(&upstream, "", &traces, &slow);
    gateway.get("/app/x", "");
    assert!(collector.spans().is_empty());
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn variables_win_over_the_file_and_strangers_among_them_are_named() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let url = collector.url();
    let gateway = start_under(
        &upstream,
        "",
        "sample = \"0%\", otlp = \"http://127.0.0.1:1\"",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "other"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b"),
            ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
            ("OTEL_TRACE_SAMPLER", "always_off"),
            ("OTEL_LOG_LEVEL", "debug"),
        ],
    );
    gateway.get("/app/x", "");
    collector.wait_for("two spans", |spans| spans.len() == 2);
    let received = &collector.received()[0];
    assert_eq!(received.path, "/v1/traces");
    assert_eq!(received.header("content-encoding"), Some("gzip"));
    let resource = collector.messages()[0].resource_spans[0]
        .resource
        .clone()
        .unwrap();
    let told = |key| attribute(&resource.attributes, key);
    assert_eq!(told("service.name").as_deref(), Some("other"));
    assert_eq!(told("team").as_deref(), Some("a b"));
    let log = gateway.log();
    assert!(log.contains("did you mean OTEL_TRACES_SAMPLER?"), "{log}");
    assert!(
        log.contains("OTEL_LOG_LEVEL has no effect: see TYRIAN_LOG"),
        "{log}"
    );
}

#[test]
fn a_reload_changes_what_is_traced_and_where_it_goes() {
    let upstream = Upstream::start("v1");
    let (one, two) = (Collector::http(), Collector::http());
    let table = |share: &str, collector: &Collector| {
        config(
            &upstream,
            "",
            &format!("sample = \"{share}\", {}", otlp(collector)),
        )
    };
    let gateway = start(&upstream, "", &format!("sample = \"100%\", {}", otlp(&one)));
    gateway.get("/app/x", "");
    one.wait_for("two spans", |spans| spans.len() == 2);
    gateway.write_config(&table("100%", &two));
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    gateway.get("/app/x", "");
    two.wait_for("two spans", |spans| spans.len() == 2);
    assert_eq!(one.spans().len(), 2);
    gateway.write_config(&table("0%", &two));
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    gateway.get("/app/x", "");
    assert_eq!(upstream_parent(&upstream).2, "00");
    // Without the table, headers pass as they come.
    let text = table("0%", &two);
    let (text, _) = text.split_once("traces =").unwrap();
    gateway.write_config(text);
    assert_eq!(gateway.api("POST", "/v1/config/reload", "").0, 200);
    gateway.get("/app/x", "Traceparent: odd\r\n");
    assert_eq!(upstream.header("traceparent"), ["odd"]);
}

#[test]
fn metrics_are_pushed_where_that_is_wished_for() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::http());
    let text = config(
        &upstream,
        "",
        "sample = \"0%\", otlp = \"http://127.0.0.1:1\"",
    );
    let push = format!("metrics = {{ every = \"100ms\", {} }}\n", otlp(&collector));
    let mut gateway = Gateway::start(&format!("{text}{push}"));
    gateway.get("/app/x", "");
    let count = || {
        let metrics = collector.metrics();
        let durations = metrics
            .into_iter()
            .find(|metric| metric.name == "http.server.request.duration")?;
        let Some(Data::Histogram(histogram)) = durations.data else {
            return None;
        };
        let point = histogram.data_points.into_iter().next()?;
        assert_eq!(
            attribute(&point.attributes, "http.route").as_deref(),
            Some("all")
        );
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        Some(point.count)
    };
    gateway.wait_for("a push", |_| count() == Some(1));
    assert_eq!(collector.received()[0].path, "/v1/metrics");
    gateway.wait_for("counted points", |gateway| {
        gateway.metric("tyrian_metric_points_pushed_total") > Some(10.0)
    });
    collector.becomes(Mood::Refuses(500));
    gateway.wait_for("counted losses", |gateway| {
        let name = "tyrian_metric_points_dropped_total{reason=\"rejected\"}";
        gateway.metric(name) > Some(0.0)
    });
    assert_eq!(gateway.get("/app/x", "").status, 200);
}

#[test]
fn a_collector_over_tls_is_believed_by_its_authority() {
    let upstream = Upstream::start("v1");
    let dir = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let names = ["localhost".to_owned()];
    let pair = authority.sign(&names, Role::Server).unwrap();
    let collector = Collector::grpc_as(Some(&pair));
    let under = |believed: &Authority, file: &str| {
        let path = dir.path().join(file);
        std::fs::write(&path, &believed.certificate).unwrap();
        let traces = format!(
            "sample = \"100%\", protocol = \"grpc\", otlp = \"https://localhost:{}\"",
            collector.address.port()
        );
        let path = path.display().to_string();
        start_under(
            &upstream,
            "",
            &traces,
            &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &path)],
        )
    };
    let gateway = under(&stranger, "stranger.pem");
    gateway.get("/app/x", "");
    gateway.counts(
        "tyrian_trace_spans_dropped_total{reason=\"unreachable\"}",
        2.0,
    );
    assert!(collector.spans().is_empty());
    let gateway = under(&authority, "ca.pem");
    gateway.get("/app/x", "");
    collector.wait_for("two spans", |spans| spans.len() == 2);
}

#[test]
fn metrics_are_pushed_over_grpc_when_a_variable_says_so() {
    let (upstream, collector) = (Upstream::start("v1"), Collector::grpc());
    let url = collector.url();
    let variables = [
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let mut gateway = start_under(&upstream, "", "otlp = \"http://127.0.0.1:1\"", &variables);
    gateway.wait_for("a push", |_| {
        let metrics = collector.metrics();
        metrics
            .iter()
            .any(|metric| metric.name == "tyrian_config_generation")
    });
}
