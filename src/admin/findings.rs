//! What is wrong around the running gateway, in sentences: the part of `check --online` that the
//! process knows by itself.

use crate::policy::auth::Authority;
use crate::policy::jwt::Provider;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::process;
use crate::telemetry::otel::Counters;
use std::sync::atomic::Ordering::Relaxed;

/// Seconds; certificates that end sooner are named.
pub const CERTIFICATE: i64 = 14 * 24 * 60 * 60;
/// A fetch of keys may fail now and then; so many in a row are named.
const FETCHES: u64 = 3;

/// Everything that is worth a look.
pub fn all(snapshot: &Snapshot, metrics: &Metrics) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(short) = process::too_few_descriptors(&snapshot.config) {
        found.push(short);
    }
    let now = jiff::Timestamp::now().as_second();
    for (listener, file, end) in snapshot.certificates() {
        match end - now {
            left if left <= 0 => found.push(format!("{file} of listener {listener} has expired")),
            left if left < CERTIFICATE => {
                let days = left / (24 * 60 * 60);
                found.push(format!(
                    "{file} of listener {listener} expires in {days} days"
                ));
            }
            _ => {}
        }
    }
    for authority in snapshot.authorities.values() {
        if let Authority::Jwt(provider) = authority {
            found.extend(keys(provider));
        }
    }
    let now = jiff::Timestamp::now();
    found.extend(snapshot.stale.iter().map(|stale| stale.sentence(now)));
    let lines = metrics.access_log_dropped.load(Relaxed);
    if lines > 0 {
        found.push(format!("lines of the access log were lost: {lines}"));
    }
    lost(&metrics.spans, "spans", &mut found);
    lost(&metrics.pushes, "points of metrics", &mut found);
    found
}

/// What is wrong with the keys of a token provider.
fn keys(provider: &Provider) -> Vec<String> {
    let name = &provider.name;
    let mut found = Vec::new();
    let ended = provider.stale_since().map(|since| {
        let since = i64::try_from(since).ok();
        let since = since.and_then(|since| jiff::Timestamp::from_second(since).ok());
        let since = since.map_or_else(String::new, |since| format!(" since {since}"));
        format!("those at hand are no longer accepted{since} (`max_stale`)")
    });
    let failed = provider.failed_fetches().unwrap_or(0);
    if failed >= FETCHES || (failed > 0 && ended.is_some()) {
        let left = ended.unwrap_or_else(|| match provider.keys_age() {
            Some(age) => format!("those at hand are {} minutes old", age / 60),
            None => "there are none".to_owned(),
        });
        let times = if failed == 1 { "time" } else { "times" };
        found.push(format!(
            "keys of {name} cannot be fetched ({failed} {times} in a row); {left}"
        ));
    } else if let Some(ended) = ended {
        found.push(format!("keys of {name} are too old: {ended}"));
    }
    if let Some(algorithms) = provider.uncovered() {
        found.push(format!(
            "{name} has no key for {algorithms}: tokens of these algorithms are refused"
        ));
    }
    found
}

/// What has not reached a collector since the start.
fn lost(counters: &Counters, what: &str, found: &mut Vec<String>) {
    let lost = counters.lost().filter(|(_, count)| *count > 0);
    let lost: Vec<String> = lost
        .map(|(why, count)| format!("{count} {}", why.name()))
        .collect();
    if !lost.is_empty() {
        let sent = counters.exported();
        found.push(format!(
            "{what} were lost: {} ({sent} arrived)",
            lost.join(", ")
        ));
    }
}
