//! What is wrong around the running gateway, in sentences: the part of `check --online` that the
//! process knows by itself.

use crate::policy::auth::Authority;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::telemetry::otel::Counters;
use crate::telemetry::process;
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
    for (name, authority) in &snapshot.authorities {
        if let Authority::Jwt(provider) = authority
            && let Some(failed) = provider
                .failed_fetches()
                .filter(|failed| *failed >= FETCHES)
        {
            let left = match provider.keys_age() {
                Some(age) => format!("those at hand are {} minutes old", age / 60),
                None => "there are none".to_owned(),
            };
            found.push(format!(
                "keys of {name} cannot be fetched ({failed} times in a row); {left}"
            ));
        }
    }
    found.extend(snapshot.stale.iter().cloned());
    let lines = metrics.access_log_dropped.load(Relaxed);
    if lines > 0 {
        found.push(format!("lines of the access log were lost: {lines}"));
    }
    lost(&metrics.spans, "spans", &mut found);
    lost(&metrics.pushes, "points of metrics", &mut found);
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
