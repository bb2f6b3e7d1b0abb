//! `/v1/mirrors`: what copies were answered, beside what the originals were.

use super::Admin;
use crate::config::Name;
use crate::policy::mirror::{Counts, Mirror, Report};
use crate::rollout::chance;
use crate::snapshot::Snapshot;
use crate::telemetry::watch::Reading;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// Differences less likely than this, were copies no other than second askings, are no noise.
const CHANCE_MAX: f64 = 0.001;

pub async fn list(State(admin): State<Admin>) -> Json<Value> {
    Json(mirrors(&admin.live.current.load()))
}

fn mirrors(snapshot: &Snapshot) -> Value {
    let routes = snapshot.routes.iter();
    let mirrors = routes.filter_map(|route| Some(one(&route.name, route.mirror.as_deref()?)));
    json!({ "mirrors": mirrors.collect::<Vec<_>>() })
}

fn one(route: &Name, mirror: &Mirror) -> Value {
    let config = &mirror.config;
    json!({
        "route": &**route,
        "service": &*config.service,
        "version": config.version.as_deref(),
        "percent": config.percent,
        "sent": mirror.sent.load(Relaxed),
        "failed": mirror.failed.load(Relaxed),
        "dropped": mirror.dropped.load(Relaxed),
        "compared": mirror.tally.as_ref().map(|tally| compared(&tally.report())),
    })
}

fn compared(report: &Report) -> Value {
    let (copy, noise) = (&report.copy, &report.noise);
    let mut differ = vec![
        row("anything", copy, noise, |counts| counts.any),
        row("status", copy, noise, |counts| counts.status),
    ];
    if copy.grpc.or(noise.grpc).is_some() {
        let of = |counts: &Counts| counts.grpc.unwrap_or(0);
        differ.push(row("grpc-status", copy, noise, of));
    }
    for (index, name) in report.headers.iter().enumerate() {
        let of = |counts: &Counts| counts.headers.get(index).copied().unwrap_or(0);
        differ.push(row(&format!("header {name}"), copy, noise, of));
    }
    differ.push(row("body", copy, noise, |counts| counts.body));
    json!({
        "since": report.since.to_string(),
        "copies": copy.compared,
        "noise": noise.compared,
        "unfinished": report.unfinished,
        "differ": differ,
        "statuses": report.pairs,
        "latency": {
            "original": latency(&report.original_latency),
            "copy": latency(&report.copy_latency),
            "noise": latency(&report.noise_latency),
        },
        "examples": report.examples,
    })
}

fn row(what: &str, copy: &Counts, noise: &Counts, of: impl Fn(&Counts) -> u64) -> Value {
    let (own, background) = (of(copy), of(noise));
    json!({
        "what": what,
        "copies": own,
        "noise": background,
        "beyond_noise": is_beyond((own, copy.compared), (background, noise.compared)),
    })
}

/// Whether copies differ more often than the original's version differs from itself: given all
/// differences, each is a copy's with a chance that follows from how many of both were compared.
/// `None`: nothing was asked twice, so nothing is known of noise.
fn is_beyond(copies: (u64, u64), noise: (u64, u64)) -> Option<bool> {
    let (differing, compared) = copies;
    (noise.1 > 0).then(|| {
        let due = compared as f64 / (compared + noise.1) as f64;
        differing > 0 && chance(differing, differing + noise.0, due) < CHANCE_MAX
    })
}

/// To the head of the answer.
fn latency(reading: &Reading) -> Value {
    let ms = |q: f64| Some(reading.quantile(q)?.as_secs_f64() * 1000.0);
    json!({ "p50_ms": ms(0.5), "p99_ms": ms(0.99) })
}

#[cfg(test)]
mod tests {
    use super::is_beyond;

    #[test]
    fn only_more_than_noise_is_told_apart() {
        assert_eq!(is_beyond((50, 1000), (0, 0)), None);
        assert_eq!(is_beyond((0, 1000), (0, 100)), Some(false));
        // Five percent each.
        assert_eq!(is_beyond((50, 1000), (5, 100)), Some(false));
        assert_eq!(is_beyond((200, 1000), (5, 100)), Some(true));
        // Every answer has its own time in it.
        assert_eq!(is_beyond((1000, 1000), (100, 100)), Some(false));
        assert_eq!(is_beyond((40, 100), (0, 100)), Some(true));
        assert_eq!(is_beyond((3, 100), (0, 100)), Some(false));
    }
}
