//! Metrics as a push has them: the text of a scrape, said in OTLP. What is pushed is what is scraped,
//! because it is made of it.

use super::resource::{Resource, SCHEMA, scope, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};

/// What a family is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    /// Of what comes and goes: a gauge in a scrape, a sum that may fall here.
    UpDown,
    Histogram,
}

/// Families that the conventions have as counters that go up and down.
const UP_DOWN: &[&str] = &["http_server_active_requests"];

/// A family as its lines come.
struct Family<'t> {
    name: &'t str,
    help: &'t str,
    kind: Kind,
    points: Vec<NumberDataPoint>,
    histograms: Vec<HistogramDataPoint>,
}

/// The message of a scrape's text; times in nanoseconds since 1970.
pub fn message(
    scrape: &str,
    resource: &Resource,
    start: u64,
    now: u64,
) -> ExportMetricsServiceRequest {
    let mut metrics = Vec::new();
    let mut family: Option<Family> = None;
    let mut help = "";
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            metrics.extend(family.take().and_then(Family::metric));
            family = Family::begin(rest, std::mem::take(&mut help));
        } else if let Some(family) = &mut family {
            let _ = family.add(line, start, now);
        }
    }
    metrics.extend(family.and_then(Family::metric));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.message()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                schema_url: SCHEMA.to_owned(),
            }],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}

/// How many points a message has.
pub fn points(message: &ExportMetricsServiceRequest) -> usize {
    let scopes = message
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics
        .map(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            _ => 0,
        })
        .sum()
}

impl<'t> Family<'t> {
    fn begin(rest: &'t str, help: &'t str) -> Option<Self> {
        let (name, kind) = rest.split_once(' ')?;
        let kind = match kind {
            "counter" => Kind::Counter,
            "gauge" if UP_DOWN.contains(&name) => Kind::UpDown,
            "gauge" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            _ => return None,
        };
        Some(Self {
            name,
            help: help.trim_end_matches('.'),
            kind,
            points: Vec::new(),
            histograms: Vec::new(),
        })
    }

    /// One line: `name{labels} value`, perhaps with an exemplar behind it.
    fn add(&mut self, line: &str, start: u64, now: u64) -> Option<()> {
        let line = line.split_once(" # {").map_or(line, |(line, _)| line);
        let (series, value) = line.rsplit_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let role = name.strip_prefix(self.name)?;
        let mut attributes = attributes(labels);
        if self.kind != Kind::Histogram {
            self.points.push(NumberDataPoint {
                attributes,
                start_time_unix_nano: if self.kind == Kind::Gauge { 0 } else { start },
                time_unix_nano: now,
                value: Some(Value::AsDouble(value)),
                ..NumberDataPoint::default()
            });
            return Some(());
        }
        let bound = attributes.iter().position(|label| label.key == "le");
        let bound = bound.map(|at| attributes.remove(at));
        // The lines of one histogram stand together, whatever their order.
        let last = self.histograms.last();
        if last.is_none_or(|last| last.attributes != attributes) {
            self.histograms.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            });
        }
        let point = self.histograms.last_mut()?;
        match role {
            "_sum" => point.sum = Some(value),
            "_count" => point.count = value as u64,
            "_bucket" => {
                // Counts are cumulative here, and per bucket there.
                let before: u64 = point.bucket_counts.iter().sum();
                point
                    .bucket_counts
                    .push((value as u64).saturating_sub(before));
                let bound = bound.as_ref().and_then(said);
                let bound: f64 = bound?.parse().ok()?;
                if bound.is_finite() {
                    point.explicit_bounds.push(bound);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn metric(self) -> Option<Metric> {
        let temporality = AggregationTemporality::Cumulative.into();
        let empty = self.points.is_empty() && self.histograms.is_empty();
        let data = match self.kind {
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: self.points,
            }),
            Kind::Counter | Kind::UpDown => Data::Sum(Sum {
                data_points: self.points,
                aggregation_temporality: temporality,
                is_monotonic: self.kind == Kind::Counter,
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: self.histograms,
                aggregation_temporality: temporality,
            }),
        };
        let (name, unit) = name_and_unit(self.name);
        (!empty).then(|| Metric {
            name,
            description: self.help.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }
}

/// The text of an attribute.
fn said(label: &KeyValue) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match label.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// The unit that a name in Prometheus's spelling ends with is a field of its own here; and the names
/// of the conventions have dots.
fn name_and_unit(name: &str) -> (String, &'static str) {
    let (name, unit) = match name {
        name if name.ends_with("_timestamp_seconds") => (name, "s"),
        name => match (name.strip_suffix("_seconds"), name.strip_suffix("_bytes")) {
            (Some(name), _) => (name, "s"),
            (_, Some(name)) => (name, "By"),
            _ => (name, "1"),
        },
    };
    let name = match name {
        "http_server_request_duration" => "http.server.request.duration".to_owned(),
        "http_client_request_duration" => "http.client.request.duration".to_owned(),
        "http_server_active_requests" => {
            return ("http.server.active_requests".to_owned(), "{request}");
        }
        name => name.to_owned(),
    };
    (name, unit)
}

/// Labels by the names of the conventions, where those have dots.
fn attributes(labels: &str) -> Vec<KeyValue> {
    let mut all = Vec::new();
    let mut rest = labels;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut letters = after.char_indices();
        let mut end = after.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                letter => value.push(letter),
            }
        }
        if !value.is_empty() {
            let name = match name {
                "http_request_method" => "http.request.method",
                "http_response_status_code" => "http.response.status_code",
                "http_route" => "http.route",
                name => name,
            };
            all.push(text(name, &value));
        }
        rest = after.get(end..).unwrap_or("").trim_start_matches(',');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{message, points, said};
    use crate::config::telemetry::Telemetry;
    use crate::telemetry::otel::environment::Environment;
    use crate::telemetry::otel::resource::Resource;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    const SCRAPE: &str = "# HELP a_seconds Time it took.
# TYPE a_seconds histogram
a_seconds_sum{r=\"x\"} 1.5
a_seconds_count{r=\"x\"} 3
a_seconds_bucket{le=\"0.5\",r=\"x\"} 2 # {trace_id=\"ab\"} 0.4 1.0
a_seconds_bucket{le=\"+Inf\",r=\"x\"} 3
# HELP b So many.
# TYPE b counter
b_total{q=\"a\\\"b,c=\\n\",empty=\"\"} 7
# HELP c Now.
# TYPE c gauge
c 4
# TYPE http_server_active_requests gauge
http_server_active_requests 2
# TYPE d info
d_info{x=\"y\"} 1
# EOF
";

    #[test]
    fn a_scrape_becomes_a_message() {
        let none = |_: &str| None;
        let service = Telemetry::default().service_name;
        let resource = Resource::of(&service, &Environment::new(&none));
        let message = message(SCRAPE, &resource, 1, 2);
        assert_eq!(points(&message), 4);
        let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> = metrics
            .iter()
            .map(|metric| (metric.name.as_str(), metric.unit.as_str()))
            .collect();
        let active = ("http.server.active_requests", "{request}");
        assert_eq!(names, [("a", "s"), ("b", "1"), ("c", "1"), active]);
        let Some(Data::Sum(sum)) = &metrics[3].data else {
            panic!("{metrics:?}");
        };
        assert!(!sum.is_monotonic && sum.data_points[0].start_time_unix_nano == 1);
        let Some(Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(1.5)));
        assert_eq!(point.bucket_counts, [2, 1]);
        assert_eq!(point.explicit_bounds, [0.5]);
        let Some(Data::Sum(sum)) = &metrics[1].data else {
            panic!("{metrics:?}");
        };
        let labels = &sum.data_points[0].attributes;
        assert_eq!(labels.len(), 1);
        assert_eq!(said(&labels[0]).as_deref(), Some("a\"b,c=\n"));
    }
}
