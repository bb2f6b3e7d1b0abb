//! The metrics of routes: what their series add up to by the labels of each family.

use super::exemplars::Exemplars;
use super::family::{self, Distribution, Family, MetricEncoder, Points};
use super::global::Metrics;
use super::histogram::HTTP_BOUNDS;
use super::labels::LabelId;
use super::series::{RouteSeries, Series};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A route for a scrape.
struct Route<'a> {
    name: &'a str,
    series: &'a RouteSeries,
    /// Label values by [`LabelId`].
    values: &'a [Arc<str>],
}

/// Encodes the metrics of each route, and of the requests that no route took.
pub fn encode<'a>(
    encoder: &mut dyn MetricEncoder,
    metrics: &'a Metrics,
    routes: impl Iterator<Item = (&'a str, &'a RouteSeries)>,
) {
    let values = metrics.label_values();
    let routes = routes.chain([("", &metrics.unrouted)]);
    let routes = routes.map(|(name, series)| Route {
        name,
        series,
        values: &values,
    });
    let routes: Vec<_> = routes.collect();
    family::encode(
        encoder,
        Route::METRICS,
        routes.iter().map(|route| ([], route)),
    );
}

impl<'a> Route<'a> {
    const METRICS: &'a [Family<Self>] = &[
        Family::counter(
            "tyrian_requests_total",
            "Requests by the route that took them and what they were served",
            |route, points| {
                let counts = |series: &Series| [(series.key.code, series.count())];
                route.answers(points, "code", counts, |code| code.to_string());
            },
        ),
        // Only routes that gRPC has answered on have any.
        Family::counter(
            "tyrian_grpc_responses_total",
            "Answers of gRPC upstreams by the status in them",
            |route, points| {
                let word = |status: Option<u8>| {
                    status.map_or("other".to_owned(), |status| status.to_string())
                };
                route.answers(points, "grpc_status", Series::grpc, word);
            },
        ),
        Family::histogram(
            "http_server_request_duration_seconds",
            "Time from a request's head to the end of its answer",
            Self::durations,
        ),
        Family::counter(
            "tyrian_request_bytes_total",
            "Bytes of request bodies that came from clients",
            |route, points| points.with(&[("route", route.name)], &route.series.bytes_in),
        ),
        Family::counter(
            "tyrian_response_bytes_total",
            "Bytes of response bodies that went to clients",
            |route, points| points.with(&[("route", route.name)], &route.series.bytes_out),
        ),
        Family::counter(
            "tyrian_refusals_total",
            "Requests the gateway refused or could not finish, by reason",
            |route, points| {
                for (reason, count) in route.series.refusals.iter().filter(|(_, count)| *count > 0)
                {
                    points.with(&[("reason", reason.name()), ("route", route.name)], count);
                }
            },
        ),
    ];

    fn value(&self, id: LabelId) -> &'a str {
        self.values.get(id.0 as usize).map_or("", AsRef::as_ref)
    }

    /// Adds a point for each version, color and kind of answer; `label` tells the kinds apart.
    fn answers<K: Ord, C: IntoIterator<Item = (K, u64)>>(
        &self,
        points: &mut Points<'_>,
        label: &'static str,
        counts: impl Fn(&'a Series) -> C,
        word: impl Fn(K) -> String,
    ) {
        let mut merged: BTreeMap<(&str, &str, K), u64> = BTreeMap::new();
        for series in self.series.iter() {
            for (kind, count) in counts(series) {
                let key = (
                    self.value(series.key.version),
                    self.value(series.key.color),
                    kind,
                );
                *merged.entry(key).or_default() += count;
            }
        }
        for ((target, color, kind), count) in merged {
            let (service, version) = target.split_once('/').unwrap_or_default();
            let labels = [
                ("route", self.name),
                ("service", service),
                ("version", version),
                ("color", color),
                (label, &word(kind)),
            ];
            points.with(&labels, count);
        }
    }

    fn durations(&self, points: &mut Points<'_>) {
        let mut merged: BTreeMap<_, ([u64; HTTP_BOUNDS.len() + 1], u64, Vec<&Exemplars>)> =
            BTreeMap::new();
        for series in self.series.iter() {
            let key = (series.key.method.name(), series.key.code);
            let (counts, sum_us, exemplars) = merged.entry(key).or_default();
            let (more, more_us) = series.duration.conventional();
            counts
                .iter_mut()
                .zip(more)
                .for_each(|(count, more)| *count += more);
            *sum_us += more_us;
            exemplars.extend(series.duration.exemplars());
        }
        for ((method, code), (counts, sum_us, exemplars)) in merged {
            let labels = [
                ("http_request_method", method),
                ("http_response_status_code", &code.to_string()),
                ("http_route", self.name),
            ];
            let value = Distribution {
                bounds: &HTTP_BOUNDS,
                counts: &counts,
                sum_us,
                exemplars: &exemplars,
            };
            points.histogram(&labels, &value);
        }
    }
}
