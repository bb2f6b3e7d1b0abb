//! Traced requests and tries as examples of durations: of each bucket of a series, the latest one. A
//! scrape in OpenMetrics has them, so that a slow bucket leads to a trace.

use super::histogram::{HTTP_BOUNDS, conventional_bucket};
use super::series::{Durations, RouteSeries};
use super::trace::{Id, TraceId};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// Buckets of a scrape, `+Inf` included.
const BUCKETS: usize = HTTP_BOUNDS.len() + 1;

/// One traced request or try.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar {
    trace: TraceId,
    took: Duration,
    at: Timestamp,
}

/// The latest traced one of each bucket.
#[derive(Debug, Default)]
pub struct Exemplars([Mutex<Option<Exemplar>>; BUCKETS]);

impl Exemplars {
    /// Notes a traced one. Never waits: a bucket in use keeps what it has.
    pub fn note(&self, trace: TraceId, took: Duration) {
        let slot = self.0.get(conventional_bucket(took));
        if let Some(mut slot) = slot.and_then(Mutex::try_lock) {
            let at = Timestamp::now();
            *slot = Some(Exemplar { trace, took, at });
        }
    }

    /// Keeps the later one of each bucket.
    fn merge(&self, known: &mut [Option<Exemplar>; BUCKETS]) {
        for (known, slot) in known.iter_mut().zip(&self.0) {
            let latest = slot
                .lock()
                .filter(|new| known.is_none_or(|known| known.at < new.at));
            *known = latest.or(*known);
        }
    }
}

/// Exemplars of all buckets, by the labels that a scrape writes.
type ByLabels = HashMap<String, [Option<Exemplar>; BUCKETS]>;

/// Families that have exemplars. Their labels differ, so labels alone tell their series apart.
const BUCKETS_OF: [&str; 2] = [
    "http_server_request_duration_seconds_bucket{le=\"",
    "http_client_request_duration_seconds_bucket{le=\"",
];

/// Whose exemplars a scrape shows.
pub struct Known<R, V> {
    /// Names of routes, and their series.
    pub routes: R,
    /// Services and versions, and how long tries took there.
    pub versions: V,
}

/// The text of a scrape with exemplars behind the buckets that have one.
pub fn annotated<'r>(
    scrape: &str,
    known: Known<
        impl Iterator<Item = (&'r str, &'r RouteSeries)>,
        impl Iterator<Item = ([&'r str; 2], &'r Durations)>,
    >,
) -> String {
    let mut all = ByLabels::new();
    requests(&mut all, known.routes);
    tries(&mut all, known.versions);
    let known = all;
    let mut text = String::with_capacity(scrape.len() + known.len() * 128);
    // The buckets of a series stand together, in their order.
    let (mut labels_before, mut bucket) = ("", 0);
    for line in scrape.lines() {
        text.push_str(line);
        if let Some(labels) = labels(line) {
            bucket = if labels == labels_before {
                bucket + 1
            } else {
                0
            };
            labels_before = labels;
            let exemplar = known.get(labels).and_then(|all| all.get(bucket));
            if let Some(Some(exemplar)) = exemplar {
                exemplar.write(&mut text);
            }
        }
        text.push('\n');
    }
    text
}

/// The labels of a bucket's line, without its bound.
fn labels(line: &str) -> Option<&str> {
    let rest = BUCKETS_OF.iter().find_map(|of| line.strip_prefix(of));
    let (_, rest) = rest?.split_once("\",")?;
    rest.rsplit_once('}').map(|(labels, _)| labels)
}

fn requests<'r>(all: &mut ByLabels, routes: impl Iterator<Item = (&'r str, &'r RouteSeries)>) {
    for (route, series) in routes {
        for (key, exemplars) in series.exemplars() {
            let mut labels = format!(
                "http_request_method=\"{}\",http_response_status_code=\"",
                key.method.name()
            );
            key.code.write(&mut labels);
            let _ = write!(labels, "\",http_route=\"{route}\"");
            exemplars.merge(all.entry(labels).or_default());
        }
    }
}

fn tries<'r>(all: &mut ByLabels, versions: impl Iterator<Item = ([&'r str; 2], &'r Durations)>) {
    for ([service, version], durations) in versions {
        if let Some(exemplars) = durations.exemplars() {
            let labels = format!("service=\"{service}\",version=\"{version}\"");
            exemplars.merge(all.entry(labels).or_default());
        }
    }
}

impl Exemplar {
    fn write(&self, text: &mut String) {
        let seconds = self.took.as_secs_f64();
        let at = self.at.as_millisecond() as f64 / 1e3;
        let trace = self.trace.hex();
        let _ = write!(
            text,
            " # {{trace_id=\"{}\"}} {seconds} {at}",
            trace.as_str()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, annotated};
    use crate::telemetry::series::{CodeLabel, Durations, Key, LabelId, MethodLabel, RouteSeries};
    use crate::telemetry::trace::{Id, TraceId};
    use http::Method;
    use std::time::Duration;

    #[test]
    fn a_bucket_leads_to_the_latest_trace_in_it() {
        let route = RouteSeries::default();
        let series = route.series(Key {
            version: LabelId(1),
            color: LabelId(0),
            method: MethodLabel::new(&Method::GET),
            code: CodeLabel::new(200),
        });
        let (first, last) = (TraceId::fresh(), TraceId::fresh());
        series.duration.traced(first, Duration::from_millis(7));
        series.duration.traced(last, Duration::from_millis(8));
        let (tries, at_upstream) = (Durations::default(), TraceId::fresh());
        tries.traced(at_upstream, Duration::from_millis(4));
        let labels = "http_request_method=\"GET\",http_response_status_code=\"200\",http_route";
        let line = |le: &str, route: &str| {
            let name = "http_server_request_duration_seconds_bucket";
            format!("{name}{{le=\"{le}\",{labels}=\"{route}\"}} 2\n")
        };
        let name = "http_client_request_duration_seconds_bucket";
        let scrape = [
            line("0.005", "other"),
            line("0.005", "r"),
            line("0.01", "r"),
            line("0.025", "r"),
            format!("{name}{{le=\"0.005\",service=\"s\",version=\"v2\"}} 1\n"),
            format!("{name}{{le=\"0.005\",service=\"s\",version=\"v1\"}} 1\n"),
            "# EOF\n".to_owned(),
        ];
        let known = Known {
            routes: std::iter::once(("r", &route)),
            versions: std::iter::once((["s", "v1"], &tries)),
        };
        let text = annotated(&scrape.concat(), known);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        let told = format!("2 # {{trace_id=\"{}\"}} 0.008 ", last.hex().as_str());
        assert!(lines[2].contains(&told), "{text}");
        let told = format!("1 # {{trace_id=\"{}\"}} 0.004 ", at_upstream.hex().as_str());
        assert!(lines[5].contains(&told), "{text}");
        assert_eq!(text.matches("trace_id").count(), 2, "{text}");
    }
}
