//! Both text formats, and what each gets of the same values.

use super::labels::{CodeLabel, MethodLabel};
use super::process::Process;
use super::series::{Durations, Key};
use super::{Descriptor, Distribution, Family, FamilyKind, Metrics, Points, TextEncoder};
use super::{encode, routes};
use crate::telemetry::trace::{Id, TraceId};
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// Something that is counted.
struct Pot {
    name: &'static str,
    counts: [u64; 3],
}

impl Pot {
    const METRICS: &[Family<Self>] = &[
        Family::counter("pot_spoons_total", "Spoons", |pot, points| {
            points.each("size", [("small", 7_u64), ("large", 0)]);
            points.with(&[("size", "?"), ("note", pot.name)], 0.5);
        }),
        Family::gauge("pot_heat", "Heat now", |_, points| points.add(2_u64)),
        Family::up_down("pot_guests", "Guests", |_, points| {
            points.maybe(None::<u64>);
        }),
        Family::histogram("pot_seconds", "Time", Self::time),
    ];

    fn time(&self, points: &mut Points<'_>) {
        let value = Distribution::new(&[0.000_025, 1.0], &self.counts, 1_500_000);
        points.histogram(&[], &value);
    }
}

fn texts() -> (String, String) {
    let pot = Pot {
        name: "a\\\"b,c=\n",
        counts: [1, 0, 2],
    };
    let text = |mut encoder: TextEncoder| {
        let owners = [([("pot", "x")], &pot)];
        encode(&mut encoder, Pot::METRICS, owners);
        encoder.finish()
    };
    (
        text(TextEncoder::openmetrics()),
        text(TextEncoder::classic()),
    )
}

#[test]
fn openmetrics_has_families_without_the_ending_of_counters_and_an_end() {
    let wanted = r#"# HELP pot_spoons Spoons
# TYPE pot_spoons counter
pot_spoons_total{pot="x",size="small"} 7
pot_spoons_total{pot="x",size="large"} 0
pot_spoons_total{pot="x",size="?",note="a\\\"b,c=\n"} 0.5
# HELP pot_heat Heat now
# TYPE pot_heat gauge
pot_heat{pot="x"} 2.0
# HELP pot_guests Guests
# TYPE pot_guests gauge
# HELP pot_seconds Time
# TYPE pot_seconds histogram
pot_seconds_sum{pot="x"} 1.5
pot_seconds_count{pot="x"} 3
pot_seconds_bucket{le="0.000025",pot="x"} 1
pot_seconds_bucket{le="1.0",pot="x"} 1
pot_seconds_bucket{le="+Inf",pot="x"} 3
# EOF
"#;
    assert_eq!(texts().0, wanted);
}

#[test]
fn the_classic_format_names_a_counter_as_its_samples() {
    let (openmetrics, classic) = texts();
    let classic_names = openmetrics.replace("pot_spoons ", "pot_spoons_total ");
    assert_eq!(classic + "# EOF\n", classic_names);
}

#[test]
fn points_without_labels_have_no_braces() {
    let mut encoder = TextEncoder::classic();
    encode(&mut encoder, Metrics::METRICS, [([], &Metrics::default())]);
    let text = encoder.finish();
    assert!(text.contains("\ntyrian_panics_total 0\n"), "{text}");
    assert!(
        text.contains("\ntyrian_overhead_seconds_sum 0.0\n"),
        "{text}"
    );
    let bucket = "\ntyrian_overhead_seconds_bucket{le=\"+Inf\"} 0\n";
    assert!(text.contains(bucket), "{text}");
}

fn key(metrics: &Metrics, version: &str, code: u16) -> Key {
    Key {
        version: metrics.label(&Arc::from(version)),
        color: metrics.label(&Arc::from("blue")),
        method: MethodLabel::new(&Method::GET),
        code: CodeLabel::new(code),
    }
}

#[test]
fn series_are_added_up_and_a_bucket_leads_to_the_latest_trace_in_it() {
    let (metrics, route) = (Metrics::default(), super::series::RouteSeries::default());
    let (first, last) = (TraceId::fresh(), TraceId::fresh());
    let ms = Duration::from_millis;
    let observe = |durations: &Durations, trace, took| {
        durations.observe(took);
        durations.traced(trace, took);
    };
    observe(
        &route.series(key(&metrics, "shop/v1", 200)).duration,
        first,
        ms(7),
    );
    observe(
        &route.series(key(&metrics, "shop/v2", 200)).duration,
        last,
        ms(8),
    );
    let text = |mut encoder: TextEncoder| {
        routes::encode(&mut encoder, &metrics, [("r", &route)].into_iter());
        encoder.finish()
    };
    let openmetrics = text(TextEncoder::openmetrics());
    let of = "route=\"r\",service=\"shop\",version=\"v2\",color=\"blue\",code=\"200\"";
    let line = format!("\ntyrian_requests_total{{{of}}} 1\n");
    assert!(openmetrics.contains(&line), "{openmetrics}");
    let of = "http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"r\"";
    let name = "http_server_request_duration_seconds_bucket";
    let trace = last.hex();
    let line = format!(
        "\n{name}{{le=\"0.01\",{of}}} 2 # {{trace_id=\"{}\"}} 0.008 ",
        trace.as_str()
    );
    assert!(openmetrics.contains(&line), "{openmetrics}");
    assert_eq!(openmetrics.matches("trace_id").count(), 1, "{openmetrics}");
    let classic = text(TextEncoder::classic());
    assert!(
        classic.contains(&format!("\n{name}{{le=\"0.01\",{of}}} 2\n")),
        "{classic}"
    );
    assert!(!classic.contains("trace_id"), "{classic}");
}

/// Keeps the descriptions of families.
#[derive(Default)]
struct Declared(Vec<Descriptor>);

impl super::MetricEncoder for Declared {
    fn family(&mut self, family: &Descriptor) {
        self.0.push(*family);
    }

    fn number(&mut self, _: &[super::Label<'_>], _: f64) {}

    fn histogram(&mut self, _: &[super::Label<'_>], _: &Distribution<'_>) {}
}

#[test]
fn counters_alone_end_in_total_and_help_is_one_line() {
    let (mut declared, metrics) = (Declared::default(), Metrics::default());
    routes::encode(&mut declared, &metrics, [].into_iter());
    encode(&mut declared, Metrics::METRICS, [([], &metrics)]);
    encode(&mut declared, Process::METRICS, [([], &Process::read())]);
    assert!(declared.0.len() > 20);
    for Descriptor { name, help, kind } in declared.0 {
        assert_eq!(
            name.ends_with("_total"),
            kind == FamilyKind::Counter,
            "{name}"
        );
        assert!(!help.contains(['\n', '\\']), "{name}");
    }
}
