//! Writes metrics in the Prometheus text format, through prometheus-client's encoder.

use super::histogram::{HTTP_BOUNDS, OVERHEAD_BOUNDS};
use super::metrics::Metrics;
use super::otel::Counters;
use super::process::Process;
use super::series::{LabelId, RouteSeries, Series};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A route's name and its series.
pub type NamedSeries = (Arc<str>, Arc<RouteSeries>);

/// One family of metrics with one value per label set.
pub fn family<const N: usize>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    kind: MetricType,
    rows: &[([(&str, &str); N], f64)],
) -> Result {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in rows {
        if labels.is_empty() {
            one(&mut metric, kind, *value)?;
        } else {
            one(&mut metric.encode_family(labels)?, kind, *value)?;
        }
    }
    Ok(())
}

fn one(metric: &mut MetricEncoder, kind: MetricType, value: f64) -> Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}

/// One histogram by its bounds in seconds: counts per bucket, and the sum in microseconds.
pub fn histogram<const B: usize>(
    metric: &mut MetricEncoder,
    bounds: &[f64],
    (counts, sum_us): ([u64; B], u64),
) -> Result {
    let buckets: Vec<(f64, u64)> = bounds
        .iter()
        .copied()
        .chain([f64::INFINITY])
        .zip(counts.iter().copied())
        .collect();
    let count = counts.iter().sum();
    metric.encode_histogram::<NoLabelSet>(sum_us as f64 / 1e6, count, &buckets, None)
}

/// What every route has served and refused.
pub fn routes(
    encoder: &mut DescriptorEncoder,
    metrics: &Metrics,
    routes: &[NamedSeries],
) -> Result {
    let labels = metrics.label_values();
    let value = |id: LabelId| labels.get(id.0 as usize).map_or("", AsRef::as_ref);
    let mut all: Vec<(&str, &RouteSeries)> = routes
        .iter()
        .map(|(name, series)| (name.as_ref(), series.as_ref()))
        .collect();
    all.push(("", &metrics.unrouted));
    requests(encoder, &all, &value)?;
    grpc(encoder, &all, &value)?;
    durations(encoder, &all)?;
    bytes(encoder, &all)?;
    refusals(encoder, &all)
}

fn bytes(encoder: &mut DescriptorEncoder, routes: &[(&str, &RouteSeries)]) -> Result {
    let rows = |of: fn(&RouteSeries) -> &AtomicU64| {
        let rows = routes.iter().map(|(route, series)| {
            let count = of(series).load(Relaxed) as f64;
            ([("route", *route)], count)
        });
        rows.collect::<Vec<_>>()
    };
    let (came, went) = (
        rows(|series| &series.bytes_in),
        rows(|series| &series.bytes_out),
    );
    let counter = MetricType::Counter;
    let help = "Bytes of request bodies that came from clients";
    family(encoder, "tyrian_request_bytes", help, counter, &came)?;
    let help = "Bytes of response bodies that went to clients";
    family(encoder, "tyrian_response_bytes", help, counter, &went)
}

fn requests<'a>(
    encoder: &mut DescriptorEncoder,
    routes: &[(&str, &RouteSeries)],
    value: &impl Fn(LabelId) -> &'a str,
) -> Result {
    let help = "Requests by the route that took them and what they were served";
    let by_code = |one: &Series| {
        let mut code = String::new();
        one.key.code.write(&mut code);
        vec![(code, one.duration.read().0.iter().sum())]
    };
    let family = ("tyrian_requests", help, "code");
    answers(encoder, family, routes, value, by_code, |code| code)
}

/// Only routes that gRPC has answered on have any.
fn grpc<'a>(
    encoder: &mut DescriptorEncoder,
    routes: &[(&str, &RouteSeries)],
    value: &impl Fn(LabelId) -> &'a str,
) -> Result {
    let help = "Answers of gRPC upstreams by the status in them";
    let family = ("tyrian_grpc_responses", help, "grpc_status");
    let by_status = |one: &Series| one.grpc().collect();
    answers(encoder, family, routes, value, by_status, |status| {
        status.map_or("other".to_owned(), |status| status.to_string())
    })
}

/// Counts of a family, given by name, help and the label that tells kinds of answers apart; by what
/// was served, too.
fn answers<'a, K: Ord>(
    encoder: &mut DescriptorEncoder,
    (name, help, label): (&str, &str, &str),
    routes: &[(&str, &RouteSeries)],
    value: &impl Fn(LabelId) -> &'a str,
    of: impl Fn(&Series) -> Vec<(K, u64)>,
    shown: impl Fn(K) -> String,
) -> Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (route, series) in routes {
        let mut counts: BTreeMap<(&str, &str, K), u64> = BTreeMap::new();
        for one in series.iter() {
            for (kind, count) in of(one) {
                let key = (value(one.key.version), value(one.key.color), kind);
                *counts.entry(key).or_default() += count;
            }
        }
        for ((target, color, kind), count) in counts {
            let (service, version) = target.split_once('/').unwrap_or(("", ""));
            let kind = shown(kind);
            let labels = [
                ("route", *route),
                ("service", service),
                ("version", version),
                ("color", color),
                (label, kind.as_str()),
            ];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn durations(encoder: &mut DescriptorEncoder, routes: &[(&str, &RouteSeries)]) -> Result {
    let help = "Time from a request's head to the end of its answer";
    let name = "http_server_request_duration_seconds";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (route, series) in routes {
        let mut merged: BTreeMap<(&str, String), ([u64; 15], u64)> = BTreeMap::new();
        for one in series.iter() {
            let mut code = String::new();
            one.key.code.write(&mut code);
            let (counts, sum) = one.duration.conventional();
            let entry = merged.entry((one.key.method.name(), code)).or_default();
            entry
                .0
                .iter_mut()
                .zip(counts)
                .for_each(|(total, count)| *total += count);
            entry.1 += sum;
        }
        for ((method, code), (counts, sum_us)) in merged {
            let labels = [
                ("http_request_method", method),
                ("http_response_status_code", code.as_str()),
                ("http_route", *route),
            ];
            let buckets: Vec<(f64, u64)> = HTTP_BOUNDS
                .iter()
                .copied()
                .chain([f64::INFINITY])
                .zip(counts)
                .collect();
            metric
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    sum_us as f64 / 1e6,
                    counts.iter().sum(),
                    &buckets,
                    None,
                )?;
        }
    }
    Ok(())
}

fn refusals(encoder: &mut DescriptorEncoder, routes: &[(&str, &RouteSeries)]) -> Result {
    let help = "Requests the gateway refused or could not finish, by reason";
    let mut metric =
        encoder.encode_descriptor("tyrian_refusals", help, None, MetricType::Counter)?;
    for (route, series) in routes {
        for (reason, count) in series.refusals.iter().filter(|(_, count)| *count > 0) {
            let labels = [("reason", reason.name()), ("route", *route)];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

/// What the process as a whole has done.
pub fn process_wide(encoder: &mut DescriptorEncoder, metrics: &Metrics) -> Result {
    let gauge = MetricType::Gauge;
    let counter = MetricType::Counter;
    let plain = |value: f64| [([] as [(&str, &str); 0], value)];
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    family(
        encoder,
        "tyrian_build_info",
        "What is running",
        gauge,
        &[(version, 1.0)],
    )?;
    let active = metrics.active.load(Relaxed).max(0) as f64;
    let help = "Requests being served now";
    family(
        encoder,
        "http_server_active_requests",
        help,
        gauge,
        &plain(active),
    )?;
    let panics = metrics.panics.load(Relaxed) as f64;
    let help = "Panics, each of which cost one request or connection";
    family(encoder, "tyrian_panics", help, counter, &plain(panics))?;
    let dropped = metrics.access_log_dropped.load(Relaxed) as f64;
    let help = "Access-log lines lost because the log could not be written fast enough";
    family(
        encoder,
        "tyrian_access_log_dropped",
        help,
        counter,
        &plain(dropped),
    )?;
    exports(encoder, metrics)?;
    let help = "The gateway's own share of each request's time";
    let kind = MetricType::Histogram;
    let name = "tyrian_overhead_seconds";
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    histogram(&mut metric, &OVERHEAD_BOUNDS, metrics.overhead.read())?;
    reloads(encoder, metrics)
}

/// What is on its way to a collector.
fn exports(encoder: &mut DescriptorEncoder, metrics: &Metrics) -> Result {
    delivered(
        encoder,
        &metrics.spans,
        (
            "tyrian_trace_spans_exported",
            "Spans that the collector has taken",
        ),
        (
            "tyrian_trace_spans_dropped",
            "Spans that did not reach the collector",
        ),
    )?;
    delivered(
        encoder,
        &metrics.pushes,
        (
            "tyrian_metric_points_pushed",
            "Points of pushed metrics that the collector has taken",
        ),
        (
            "tyrian_metric_points_dropped",
            "Points of pushed metrics that did not reach the collector",
        ),
    )
}

/// What has arrived, and what was lost by its cause; each a name and its help.
fn delivered(
    encoder: &mut DescriptorEncoder,
    counters: &Counters,
    (taken, taken_help): (&str, &str),
    (lost, lost_help): (&str, &str),
) -> Result {
    let counter = MetricType::Counter;
    let sent = [([] as [(&str, &str); 0], counters.exported() as f64)];
    family(encoder, taken, taken_help, counter, &sent)?;
    let causes = counters.lost();
    let causes: Vec<_> = causes
        .map(|(why, count)| ([("reason", why.name())], count as f64))
        .collect();
    family(encoder, lost, lost_help, counter, &causes)
}

fn reloads(encoder: &mut DescriptorEncoder, metrics: &Metrics) -> Result {
    let gauge = MetricType::Gauge;
    let plain = |value: f64| [([] as [(&str, &str); 0], value)];
    let help = "Number of the configuration that is live";
    let generation = plain(metrics.generation() as f64);
    family(
        encoder,
        "tyrian_config_generation",
        help,
        gauge,
        &generation,
    )?;
    let successful = plain(f64::from(u8::from(metrics.last_reload_successful())));
    let help = "Whether the last attempt to load a configuration went live";
    family(
        encoder,
        "tyrian_config_last_reload_successful",
        help,
        gauge,
        &successful,
    )?;
    let at = plain(metrics.reload_success_at() as f64);
    let help = "When a configuration last went live";
    let name = "tyrian_config_last_reload_success_timestamp_seconds";
    family(encoder, name, help, gauge, &at)?;
    let (applied, rejected) = metrics.reloads();
    let rows = [
        ([("result", "applied")], applied as f64),
        ([("result", "rejected")], rejected as f64),
    ];
    let help = "Attempts to load a configuration";
    family(
        encoder,
        "tyrian_config_reloads",
        help,
        MetricType::Counter,
        &rows,
    )
}

/// The `process_*` family.
pub fn process(encoder: &mut DescriptorEncoder) -> Result {
    let process = Process::read();
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory",
            count(process.resident_bytes),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory",
            count(process.virtual_bytes),
        ),
        (
            "process_open_fds",
            "Open file descriptors",
            count(process.open_fds),
        ),
        (
            "process_max_fds",
            "Limit of open file descriptors",
            count(process.max_fds),
        ),
        ("process_threads", "Threads", count(process.threads)),
        (
            "process_start_time_seconds",
            "Start time since the epoch",
            process.start_time_seconds,
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            family(
                encoder,
                name,
                help,
                MetricType::Gauge,
                &[([] as [(&str, &str); 0], value)],
            )?;
        }
    }
    let Some(cpu) = process.cpu_seconds else {
        return Ok(());
    };
    let rows = [([] as [(&str, &str); 0], cpu)];
    let help = "CPU time, user and system";
    family(
        encoder,
        "process_cpu_seconds",
        help,
        MetricType::Counter,
        &rows,
    )
}
