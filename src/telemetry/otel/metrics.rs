//! Metrics as a push has them: the encoder of OTLP. It is given the values of a scrape.

use super::resource::{Resource, SCHEMA, scope, text};
use crate::telemetry::metrics::{Descriptor, Distribution, FamilyKind, Label, MetricEncoder};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};

/// Makes a message of OTLP.
#[derive(Debug)]
pub struct OtlpEncoder {
    /// Times in nanoseconds since 1970.
    start: u64,
    now: u64,
    metrics: Vec<Metric>,
    points: usize,
}

impl OtlpEncoder {
    /// Makes an encoder of what has been counted since `start`; times in nanoseconds since 1970.
    pub const fn new(start: u64, now: u64) -> Self {
        Self {
            start,
            now,
            metrics: Vec::new(),
            points: 0,
        }
    }

    /// Returns how many points it was given.
    pub const fn points(&self) -> usize {
        self.points
    }

    /// Returns the message; families without points are left out.
    pub fn message(mut self, resource: &Resource) -> ExportMetricsServiceRequest {
        self.metrics.retain(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
            Some(Data::Sum(sum)) => !sum.data_points.is_empty(),
            Some(Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
            _ => false,
        });
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(resource.message()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    metrics: self.metrics,
                    schema_url: SCHEMA.to_owned(),
                }],
                schema_url: SCHEMA.to_owned(),
            }],
        }
    }

    fn data(&mut self) -> Option<&mut Data> {
        self.metrics.last_mut()?.data.as_mut()
    }
}

impl MetricEncoder for OtlpEncoder {
    fn family(&mut self, family: &Descriptor) {
        let temporality = AggregationTemporality::Cumulative.into();
        let data = match family.kind {
            FamilyKind::Gauge => Data::Gauge(Gauge::default()),
            FamilyKind::Counter | FamilyKind::UpDown => Data::Sum(Sum {
                data_points: Vec::new(),
                aggregation_temporality: temporality,
                is_monotonic: family.kind == FamilyKind::Counter,
            }),
            FamilyKind::Histogram => Data::Histogram(Histogram {
                data_points: Vec::new(),
                aggregation_temporality: temporality,
            }),
        };
        let (name, unit) = name_and_unit(family.name);
        self.metrics.push(Metric {
            name: name.to_owned(),
            description: family.help.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }

    fn number(&mut self, labels: &[Label<'_>], value: f64) {
        let mut point = NumberDataPoint {
            attributes: attributes(labels),
            time_unix_nano: self.now,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let start = self.start;
        match self.data() {
            Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
            Some(Data::Sum(sum)) => {
                point.start_time_unix_nano = start;
                sum.data_points.push(point);
            }
            _ => return,
        }
        self.points += 1;
    }

    fn histogram(&mut self, labels: &[Label<'_>], value: &Distribution<'_>) {
        let point = HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: value.count(),
            sum: Some(value.sum()),
            bucket_counts: value.counts.to_vec(),
            explicit_bounds: value.bounds.to_vec(),
            ..HistogramDataPoint::default()
        };
        if let Some(Data::Histogram(histogram)) = self.data() {
            histogram.data_points.push(point);
            self.points += 1;
        }
    }
}

/// Splits a name in Prometheus's spelling: the unit at its end is a field of its own here, and the names
/// of the conventions have dots.
fn name_and_unit(name: &str) -> (&str, &'static str) {
    match name {
        "http_server_request_duration_seconds" => return ("http.server.request.duration", "s"),
        "http_client_request_duration_seconds" => return ("http.client.request.duration", "s"),
        "http_server_active_requests" => return ("http.server.active_requests", "{request}"),
        _ => {}
    }
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_timestamp_seconds") {
        (name, "s")
    } else if let Some(name) = name.strip_suffix("_seconds") {
        (name, "s")
    } else if let Some(name) = name.strip_suffix("_bytes") {
        (name, "By")
    } else {
        (name, "1")
    }
}

/// Returns the labels that have a value, by the names of the conventions where those have dots.
fn attributes(labels: &[Label<'_>]) -> Vec<KeyValue> {
    let said = labels.iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| {
        let name = match *name {
            "http_request_method" => "http.request.method",
            "http_response_status_code" => "http.response.status_code",
            "http_route" => "http.route",
            name => name,
        };
        text(name, value)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::OtlpEncoder;
    use crate::config::telemetry::Telemetry;
    use crate::telemetry::metrics::{Distribution, Family, encode};
    use crate::telemetry::otel::environment::Environment;
    use crate::telemetry::otel::resource::{Resource, text};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    const FAMILIES: &[Family<()>] = &[
        Family::histogram("a_seconds", "Time it took", |(), points| {
            let value = Distribution::new(&[0.5], &[2, 1], 1_500_000);
            points.histogram(&[("http_route", "x")], &value);
        }),
        Family::counter("b_total", "So many", |(), points| {
            points.with(&[("q", "a\"b"), ("empty", "")], 7_u64);
        }),
        Family::gauge("c", "Now", |(), points| points.add(4_u64)),
        Family::up_down("http_server_active_requests", "Now", |(), points| {
            points.add(2_u64);
        }),
        Family::gauge("nothing", "Without points", |(), _| {}),
    ];

    #[test]
    fn families_become_a_message() {
        let mut encoder = OtlpEncoder::new(1, 2);
        encode(&mut encoder, FAMILIES, [([], &())]);
        assert_eq!(encoder.points(), 4);
        let none = |_: &str| None;
        let service = Telemetry::default().service_name;
        let message = encoder.message(&Resource::of(&service, &Environment::new(&none)));
        let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> = metrics
            .iter()
            .map(|metric| (metric.name.as_str(), metric.unit.as_str()))
            .collect();
        let active = ("http.server.active_requests", "{request}");
        assert_eq!(names, [("a", "s"), ("b", "1"), ("c", "1"), active]);
        let Some(Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(1.5)));
        assert_eq!(point.bucket_counts, [2, 1]);
        assert_eq!(point.explicit_bounds, [0.5]);
        assert_eq!(point.attributes, [text("http.route", "x")]);
        let Some(Data::Sum(sum)) = &metrics[1].data else {
            panic!("{metrics:?}");
        };
        assert!(sum.is_monotonic && sum.data_points[0].start_time_unix_nano == 1);
        assert_eq!(sum.data_points[0].attributes, [text("q", "a\"b")]);
        let Some(Data::Sum(sum)) = &metrics[3].data else {
            panic!("{metrics:?}");
        };
        assert!(!sum.is_monotonic && sum.data_points[0].time_unix_nano == 2);
    }
}
