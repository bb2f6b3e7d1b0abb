//! What is out of order now, since when and why: breakers that are not closed, and endpoints that
//! get no requests.

use crate::policy::breaker::{Breaker, Phase};
use crate::snapshot::Snapshot;
use crate::upstream::{Endpoint, Health, Service, Trouble, Version};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Most breakers that one answer, or one frame of the stream, names.
const BREAKERS_MAX: usize = 200;

/// Versions with their services.
fn versions(snapshot: &Snapshot) -> impl Iterator<Item = (&Service, &Version)> {
    let services = snapshot.services.iter();
    services.flat_map(|service| {
        let versions = service.versions.iter();
        versions.map(|version| (service.as_ref(), version))
    })
}

/// An endpoint that gets no requests. What is not known is left out.
#[derive(Debug, Serialize)]
pub struct Out {
    service: String,
    version: String,
    endpoint: String,
    /// `unreachable`, `unhealthy`, `ejected`, `drained`, `awaited` or `unresolved`.
    state: &'static str,
    since: Option<String>,
    cause: Option<String>,
    /// When an ejection ends.
    until: Option<String>,
}

impl Out {
    /// Returns `service/version address`.
    pub fn name(&self) -> String {
        format!("{}/{} {}", self.service, self.version, self.endpoint)
    }
}

pub fn since(trouble: Option<Trouble>) -> Option<String> {
    trouble.map(|trouble| trouble.since.to_string())
}

pub fn cause(trouble: Option<Trouble>) -> Option<String> {
    trouble.map(|trouble| trouble.cause.to_string())
}

/// Lists endpoints that get no requests.
pub fn endpoints_out(snapshot: &Snapshot) -> Vec<Out> {
    let all = versions(snapshot).flat_map(|(service, version)| {
        let set = version.set();
        let endpoints = set.endpoints().iter();
        let out = endpoints.filter(|endpoint| !endpoint.state.available());
        out.map(|endpoint| out_of(service, version, endpoint))
            .collect::<Vec<_>>()
    });
    all.collect()
}

fn out_of(service: &Service, version: &Version, endpoint: &Endpoint) -> Out {
    let troubles = endpoint.state.troubles();
    let ejected = troubles.ejected.map(|(trouble, _)| trouble);
    // Several may hold at once; the first one in this order is told.
    let known = [
        ("unreachable", troubles.unreachable),
        ("unhealthy", troubles.unhealthy),
        ("ejected", ejected),
    ];
    let found = known.into_iter().find(|(_, trouble)| trouble.is_some());
    let (state, since, cause) = match (troubles.drained, found) {
        (Some(drained), _) => ("drained", Some(drained.to_string()), None),
        (None, Some((state, trouble))) => (state, since(trouble), cause(trouble)),
        (None, None) if endpoint.state.health() == Health::Awaited => ("awaited", None, None),
        (None, None) => ("unresolved", None, None),
    };
    let until = troubles.ejected.filter(|_| state == "ejected");
    Out {
        service: service.name.to_string(),
        version: version.name.to_string(),
        endpoint: endpoint.address.to_string(),
        state,
        since,
        cause,
        until: until.map(|(_, until)| until.to_string()),
    }
}

/// A breaker, and the latest change that led to its state.
#[derive(Debug, Serialize)]
struct Now {
    state: &'static str,
    held: bool,
    retry_in_ms: Option<u64>,
    since: Option<String>,
    cause: Option<&'static str>,
    /// Requests or probes that decided.
    requests: Option<u32>,
    failed: Option<u32>,
    slow: Option<u32>,
}

impl Now {
    fn of(breaker: &Breaker) -> Self {
        let last = breaker.last_change();
        let seen = last.map(|(change, _)| change.seen);
        let left = breaker.remaining(Instant::now());
        Self {
            state: breaker.phase().name(),
            held: breaker.held(),
            retry_in_ms: left.map(|left| left.as_millis() as u64),
            since: last.map(|(_, since)| since.to_string()),
            cause: last.map(|(change, _)| change.cause.name()),
            requests: seen.map(|seen| seen.total),
            failed: seen.map(|seen| seen.failed),
            slow: seen.map(|seen| seen.slow),
        }
    }
}

/// Returns the state of a breaker, the change that led to it, and what it has counted.
pub fn breaker(breaker: &Breaker) -> Value {
    #[derive(Serialize)]
    struct Whole {
        #[serde(flatten)]
        now: Now,
        refused: u64,
        mode: String,
        transitions: Value,
    }
    let [closed, half_open, open] = breaker.transitions();
    json!(Whole {
        now: Now::of(breaker),
        refused: breaker.refused.load(Relaxed),
        mode: breaker.config.mode.to_string(),
        transitions: json!({ "closed": closed, "half_open": half_open, "open": open }),
    })
}

/// Lists breakers that are not simply closed; one that is not named here is.
pub fn breakers(snapshot: &Snapshot) -> Value {
    #[derive(Serialize)]
    struct Named<'n> {
        service: &'n str,
        version: &'n str,
        #[serde(flatten)]
        now: Now,
    }
    let open = versions(snapshot).filter_map(|(service, version)| {
        let breaker = version.breaker.as_ref()?;
        let notable = breaker.held() || breaker.phase() != Phase::Closed;
        notable.then(|| Named {
            service: &service.name,
            version: &version.name,
            now: Now::of(breaker),
        })
    });
    json!(open.take(BREAKERS_MAX).collect::<Vec<_>>())
}
