//! The end of the road: metrics by handles that the snapshot prepared, and one access-log line.

use super::connection::Server;
use super::context::{Journey, Refusal};
use super::facts::Facts;
use super::inputs;
use super::plugins;
use super::refusal::trace_id;
use crate::snapshot::Ended;
use crate::telemetry::access_log::{number_field, string_field};
use crate::telemetry::series::{CodeLabel, Key, LabelId, MethodLabel, RouteSeries};
use http::{HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::time::Duration;

/// Counts and logs a request that has ended.
pub fn request(session: &Session, journey: &mut Journey) {
    journey.end_try();
    let took = journey.started.elapsed();
    let status = status(session, journey);
    count(session, journey, status, took);
    plugins::log(journey, status, took);
    let kept = &journey.metrics().recent;
    kept.remember(|out| recent(out, session, journey));
    let logged = journey.route().is_none_or(|route| route.logged);
    if logged && journey.snapshot.access_log.enabled() {
        let journey = &*journey;
        journey
            .snapshot
            .access_log
            .write(|out| line(out, session, journey, status, took));
    }
}

/// The status the client got, or the one that stands for why it got none.
fn status(session: &Session, journey: &Journey) -> u16 {
    match (session.response_written(), &journey.refusal) {
        (Some(head), _) => head.status.as_u16(),
        (None, Some(refusal)) => refusal.status,
        (None, None) => 0,
    }
}

fn count(session: &Session, journey: &Journey, status: u16, took: Duration) {
    let metrics = journey.metrics();
    let route = journey.route();
    let series: &RouteSeries = route.map_or(&metrics.unrouted, |route| &route.series);
    let color = journey
        .requested_color()
        .and_then(|id| journey.snapshot.color(id));
    let key = Key {
        version: journey
            .version()
            .map_or(LabelId(0), |version| version.label),
        color: color.map_or(LabelId(0), |color| color.label),
        method: MethodLabel::new(&session.req_header().method),
        code: CodeLabel::new(status),
    };
    series.series(key).duration.observe(took);
    if let Some(refusal) = &journey.refusal {
        series.refused(refusal.reason);
    }
    let watched = route.map_or(&[][..], |route| &route.watched);
    if let Some(decision) = journey.decision.filter(|_| !watched.is_empty()) {
        let ended = Ended {
            decision,
            version: journey.attempt.target.map(|(_, version)| version),
            status,
            refused: journey.refusal.as_ref().map(|refusal| refusal.reason),
            took: (!journey.endless).then_some(took),
        };
        for watched in watched {
            watched.observe(&ended);
        }
    }
    metrics
        .overhead
        .observe(took.saturating_sub(journey.attempt.upstream_time));
}

fn line(out: &mut Vec<u8>, session: &Session, journey: &Journey, status: u16, took: Duration) {
    let head = session.req_header();
    let text =
        |value: Option<&HeaderValue>| value.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    string_field(out, "time", &jiff::Timestamp::now().to_string());
    number_field(out, "status", status);
    asked(out, head, journey);
    string_field(out, "client", &journey.client.ip.to_string());
    string_field(out, "listener", &journey.client.listener);
    number_field(out, "generation", journey.snapshot.generation);
    inputs::fields(out, head, journey);
    if let Some(route) = journey.route() {
        string_field(out, "route", &route.name);
    }
    for (field, value) in journey
        .identity
        .iter()
        .flat_map(|identity| &identity.logged)
    {
        string_field(out, field, value);
    }
    for (field, value) in &journey.hooks.logged {
        string_field(out, field, value);
    }
    upstream_fields(out, journey);
    color_fields(out, journey);
    if let Some(refusal) = &journey.refusal {
        string_field(out, "reason", refusal.reason.name());
        string_field(out, "detail", refusal.detail);
    }
    string_field(out, "request_id", &text(journey.request_id.as_ref()));
    if let Some(trace) = trace_id(&head.headers) {
        string_field(out, "trace_id", trace);
    }
    number_field(out, "bytes_in", journey.body_bytes);
    number_field(out, "bytes_out", session.body_bytes_sent());
    number_field(out, "duration_ms", millis(took));
    number_field(out, "upstream_ms", millis(journey.attempt.upstream_time));
    out.extend_from_slice(b"}\n");
}

/// Method, host and path in normal form.
fn asked(out: &mut Vec<u8>, head: &RequestHeader, journey: &Journey) {
    string_field(out, "method", head.method.as_str());
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let field = || head.headers.get(header::HOST)?.to_str().ok();
    string_field(out, "host", authority.or_else(field).unwrap_or(""));
    match &journey.path {
        Some(path) => string_field(out, "path", path),
        None => {
            let raw = head.raw_path();
            let path = raw.split(|byte| *byte == b'?').next().unwrap_or(&[]);
            string_field(out, "path", &String::from_utf8_lossy(path));
        }
    }
}

/// A request as its decision saw it.
fn recent(out: &mut Vec<u8>, session: &Session, journey: &Journey) {
    use std::io::Write;
    let head = session.req_header();
    asked(out, head, journey);
    out.extend_from_slice(b",\"client\":\"");
    let _ = write!(out, "{}\"", journey.client.ip);
    inputs::fields(out, head, journey);
    out.push(b'}');
}

fn upstream_fields(out: &mut Vec<u8>, journey: &Journey) {
    let (Some(service), Some(version)) = (journey.service(), journey.version()) else {
        return;
    };
    string_field(out, "service", &service.name);
    string_field(out, "version", &version.name);
    if let Some(endpoint) = journey.endpoint() {
        string_field(out, "endpoint", &endpoint.address);
    }
    number_field(out, "tries", journey.attempt.number);
}

fn color_fields(out: &mut Vec<u8>, journey: &Journey) {
    let Some(decision) = &journey.decision else {
        return;
    };
    let name = |id| journey.snapshot.color(id).map(|color| color.name.as_ref());
    if let Some(color) = decision.color.requested.and_then(name) {
        string_field(out, "color_requested", color);
    }
    if let Some(color) = decision.color.served.and_then(name) {
        string_field(out, "color_served", color);
    }
    if let Some(reason) = decision.color.reason {
        string_field(out, "color_reason", reason.name());
    }
}

/// Milliseconds with three decimals.
fn millis(duration: Duration) -> String {
    let us = duration.as_micros();
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// Logs a refusal that was made before there was a request.
pub fn without_request(server: &Server, facts: &Facts, refusal: &Refusal, id: &HeaderValue) {
    let snapshot = server.current.load();
    if !snapshot.access_log.enabled() {
        return;
    }
    snapshot.access_log.write(|out| {
        string_field(out, "time", &jiff::Timestamp::now().to_string());
        number_field(out, "status", refusal.status);
        string_field(out, "client", &facts.ip().to_string());
        string_field(out, "listener", &facts.listener);
        number_field(out, "generation", snapshot.generation);
        string_field(out, "reason", refusal.reason.name());
        string_field(out, "detail", refusal.detail);
        string_field(out, "request_id", id.to_str().unwrap_or("-"));
        out.extend_from_slice(b"}\n");
    });
}
