//! Traced requests as examples of durations: of each bucket of a series, the latest one. A scrape in
//! OpenMetrics has them, so that a slow bucket leads to a trace.

use super::histogram::{HTTP_BOUNDS, conventional_bucket};
use super::series::RouteSeries;
use super::trace::{Id, TraceId};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// Buckets of a scrape, `+Inf` included.
const BUCKETS: usize = HTTP_BOUNDS.len() + 1;

/// One traced request.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar {
    trace: TraceId,
    took: Duration,
    at: Timestamp,
}

/// The latest traced request of each bucket.
#[derive(Debug, Default)]
pub struct Exemplars([Mutex<Option<Exemplar>>; BUCKETS]);

impl Exemplars {
    /// Notes a traced request. Never waits: a bucket in use keeps what it has.
    pub fn note(&self, trace: TraceId, took: Duration) {
        let slot = self.0.get(conventional_bucket(took));
        if let Some(mut slot) = slot.and_then(Mutex::try_lock) {
            let at = Timestamp::now();
            *slot = Some(Exemplar { trace, took, at });
        }
    }
}

/// Exemplars of all buckets, by the labels that a scrape writes.
type ByLabels = HashMap<String, [Option<Exemplar>; BUCKETS]>;

const BUCKET: &str = "http_server_request_duration_seconds_bucket{le=\"";

/// The text of a scrape with exemplars behind the buckets that have one.
pub fn annotated<'r>(
    scrape: &str,
    routes: impl Iterator<Item = (&'r str, &'r RouteSeries)>,
) -> String {
    let known = by_labels(routes);
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
    let (_, rest) = line.strip_prefix(BUCKET)?.split_once("\",")?;
    rest.rsplit_once('}').map(|(labels, _)| labels)
}

fn by_labels<'r>(routes: impl Iterator<Item = (&'r str, &'r RouteSeries)>) -> ByLabels {
    let mut all = ByLabels::new();
    for (route, series) in routes {
        for (key, exemplars) in series.exemplars() {
            let mut labels = format!(
                "http_request_method=\"{}\",http_response_status_code=\"",
                key.method.name()
            );
            key.code.write(&mut labels);
            let _ = write!(labels, "\",http_route=\"{route}\"");
            let known = all.entry(labels).or_default();
            for (known, slot) in known.iter_mut().zip(&exemplars.0) {
                let latest = slot
                    .lock()
                    .filter(|new| known.is_none_or(|known| known.at < new.at));
                *known = latest.or(*known);
            }
        }
    }
    all
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
    use super::annotated;
    use crate::telemetry::series::{CodeLabel, Key, LabelId, MethodLabel, RouteSeries};
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
        series.traced(first, Duration::from_millis(7));
        series.traced(last, Duration::from_millis(8));
        let labels = "http_request_method=\"GET\",http_response_status_code=\"200\",http_route";
        let line = |le: &str, route: &str| {
            let name = "http_server_request_duration_seconds_bucket";
            format!("{name}{{le=\"{le}\",{labels}=\"{route}\"}} 2\n")
        };
        let scrape = [
            line("0.005", "other"),
            line("0.005", "r"),
            line("0.01", "r"),
            line("0.025", "r"),
            "# EOF\n".to_owned(),
        ];
        let text = annotated(&scrape.concat(), std::iter::once(("r", &route)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        let told = format!("2 # {{trace_id=\"{}\"}} 0.008 ", last.hex().as_str());
        assert!(lines[2].contains(&told), "{text}");
        assert_eq!(text.matches("trace_id").count(), 1, "{text}");
    }
}
