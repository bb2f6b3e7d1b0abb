//! Which of file and environment wins.

use super::{PushSetup, Setup};
use crate::config::telemetry::Telemetry;
use crate::config::traces::{HeaderText, Parent, Propagator, Protocol, Traces, Url};
use crate::config::units::Percent;
use crate::telemetry::otel::environment::Environment;
use http::HeaderValue;
use std::time::Duration;

fn asked() -> Telemetry {
    Telemetry {
        traces: Some(Traces {
            sample: Percent(500),
            otlp: Url::new("http://collector:4318/"),
            ..Traces::default()
        }),
        ..Telemetry::default()
    }
}

/// The setup under these variables, and what was wrong with them.
fn under(telemetry: &Telemetry, variables: &[(&str, &str)]) -> (Option<Setup>, Vec<String>) {
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let env = Environment::new(&get);
    let setup = Setup::of(telemetry, &env);
    (setup, env.wrong())
}

#[test]
fn without_variables_the_configuration_holds() {
    let (setup, wrong) = under(&asked(), &[]);
    let setup = setup.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(setup.sample, Percent(500));
    assert_eq!(setup.export.target.url, "http://collector:4318/v1/traces");
    assert_eq!(setup.export.batch.queue, 2048);
    assert!(under(&Telemetry::default(), &[]).0.is_none());
}

#[test]
fn variables_win() {
    let (setup, wrong) = under(
        &asked(),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://other:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%3Db"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_PROPAGATORS", "b3,tracecontext"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ],
    );
    let setup = setup.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    let target = &setup.export.target;
    assert_eq!(
        (target.url.as_str(), target.protocol),
        ("https://other:4317", Protocol::Grpc)
    );
    assert_eq!(target.timeout, Duration::from_millis(1500));
    assert_eq!(target.headers[0].0, "api-key");
    assert_eq!(target.headers[0].1, "a=b");
    assert!(!format!("{target:?}").contains("a=b"));
    assert_eq!(
        (setup.sample, setup.parent),
        (Percent(2500), Parent::Nobody)
    );
    assert_eq!(setup.propagate, [Propagator::B3, Propagator::Tracecontext]);
    // A batch larger than the queue would never be full.
    assert_eq!(
        (setup.export.batch.queue, setup.export.batch.size),
        (16, 16)
    );
}

#[test]
fn headers_of_the_file_hold_unless_a_variable_names_some() {
    let mut telemetry = asked();
    let open = HeaderText::Open(HeaderValue::from_static("shop"));
    if let Some(traces) = &mut telemetry.traces {
        traces.headers = vec![("x-scope-orgid".parse().unwrap(), open)];
    }
    let headers = |variables: &[(&str, &str)]| {
        let setup = under(&telemetry, variables).0.unwrap();
        let printed = format!("{setup:?}");
        assert!(!printed.contains("shop"), "{printed}");
        setup.export.target.headers
    };
    let [(name, value)] = &headers(&[])[..] else {
        panic!("one header");
    };
    assert_eq!(
        (name.as_str(), value.as_bytes()),
        ("x-scope-orgid", &b"shop"[..])
    );
    let own = headers(&[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a")]);
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].0, "api-key");
}

#[test]
fn a_collector_named_by_a_variable_is_enough_and_off_is_off() {
    let nothing = Telemetry::default();
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1/own");
    let setup = under(&nothing, &[own]).0.unwrap();
    assert_eq!(setup.export.target.url, "http://c:1/own");
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert!(under(&asked(), &[own, off]).0.is_none());
    }
    let off = under(&asked(), &[("OTEL_TRACES_SAMPLER", "always_off")])
        .0
        .unwrap();
    assert_eq!(off.sample, Percent(0));
    assert!(off.keep.is_empty());
}

#[test]
fn what_is_not_understood_is_said_and_ignored() {
    let (setup, wrong) = under(
        &asked(),
        &[
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_PROPAGATORS", "jaeger"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        ],
    );
    assert_eq!(
        setup.unwrap().export.target.protocol,
        Protocol::HttpProtobuf
    );
    assert_eq!(wrong.len(), 6, "{wrong:#?}");
}

#[test]
fn metrics_are_pushed_only_when_asked_for() {
    let push = |variables: &[(&str, &str)]| {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        PushSetup::of(&Telemetry::default(), &Environment::new(&get))
    };
    assert_eq!(push(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1")]), None);
    assert_eq!(push(&[("OTEL_METRICS_EXPORTER", "prometheus")]), None);
    let pushed = push(&[
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
    ]);
    let pushed = pushed.unwrap();
    assert_eq!(pushed.target.url, "http://localhost:4318/v1/metrics");
    assert_eq!(pushed.every, Duration::from_secs(5));
}
