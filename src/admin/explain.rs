//! What a running gateway adds to an explanation: who holds a key, what is exhausted, which breakers
//! are open and which version serves instead.

use super::Admin;
use super::api::Problem;
use crate::config::breaker;
use crate::config::policy::Mode;
use crate::policy::auth::{Authority, Found};
use crate::policy::in_flight::Cap;
use crate::question::{Holder, Question, World};
use crate::reason::Reason;
use crate::routing::explain::{Endpoint, Explanation, PassedOver, Policy, Refused};
use crate::routing::selector::Selectable;
use crate::routing::{
    Availability, ColorId, FallbackReason, Fallbacks, ServiceId, VersionId, View,
};
use crate::snapshot::{Route, Snapshot};
use crate::upstream::{EndpointState, Health, Version};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use http::HeaderMap;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most endpoints that one reason names.
const ENDPOINTS_NAMED: usize = 5;

/// `POST /v1/explain`
pub async fn explain(State(admin): State<Admin>, body: Bytes) -> Result<Json<Value>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let snapshot = admin.live.current.load_full();
    let running = Running(&snapshot);
    let explanation = question
        .ask(&snapshot.table, &snapshot.config, &running)
        .map_err(bad)?;
    serde_json::to_value(explanation)
        .map(Json)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The live generation.
struct Running<'s>(&'s Snapshot);

impl Availability for Running<'_> {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        self.0.available(service, version)
    }

    fn exists(&self, service: ServiceId, version: VersionId) -> bool {
        self.0.exists(service, version)
    }

    fn broken(&self, service: ServiceId, version: VersionId) -> bool {
        self.0.broken(service, version)
    }
}

impl World for Running<'_> {
    fn color_by_token(&self, token: &str) -> Option<(String, u64)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.0
            .color_by_token(token, now.unwrap_or_default().as_secs())
    }

    fn holder(&self, provider: &str, headers: &HeaderMap) -> Holder {
        match self.0.authorities.get(provider) {
            Some(Authority::ApiKeys(keys)) => match keys.look_up(headers) {
                None => Holder::NoKey,
                Some(Found::Unknown) => Holder::Unknown,
                Some(Found::Stale) => Holder::Stale,
                Some(Found::Consumer(consumer)) => Holder::Known(consumer.claims.clone()),
            },
            _ => Holder::NoKey,
        }
    }

    fn amend(&self, view: &View, explanation: &mut Explanation) {
        let name = explanation.route.as_ref().map(|route| route.name.clone());
        let mut routes = self.0.routes.iter();
        let route = name.and_then(|name| routes.find(|route| *route.name == *name));
        let Some(route) = route else { return };
        if self.0.overload.sheds(route.importance) {
            explanation.refusal = Some(refused(Reason::Overloaded));
        }
        let color = explanation.color.requested.as_deref();
        let color = color.and_then(|name| self.0.table.color_named(name));
        limits(route, view, explanation);
        places(explanation, "route in flight", route.cap.as_deref());
        if let Some(service) = route.service() {
            let cap = self
                .0
                .service(service)
                .and_then(|service| service.cap.as_deref());
            places(explanation, "service in flight", cap);
            self.versions(service, color, explanation);
        }
    }
}

impl Running<'_> {
    /// Follows the request from version to version as a try does, and tells why it passes one over.
    fn versions(&self, id: ServiceId, color: Option<ColorId>, explanation: &mut Explanation) {
        let Some(service) = self.0.service(id) else {
            return;
        };
        let at = |name: &str| {
            service
                .versions
                .iter()
                .position(|known| *known.name == *name)
        };
        let decided = explanation.version.as_deref().and_then(at);
        self.not_decided(id, color, explanation);
        let Some(mut at) = decided else { return };
        let mut fallbacks = Fallbacks::default();
        while let Some(version) = service.versions.get(at) {
            let (available, broken) = (version.available(), version.broken());
            if available && !broken {
                break;
            }
            passes_over(explanation, version);
            let from = VersionId(at as u16);
            let why = match available {
                true => FallbackReason::Breaker,
                false => FallbackReason::Unhealthy,
            };
            let Some(other) = fallbacks.next(&self.0.table, id, from, color, why) else {
                let refusal = match available {
                    true => left_alone(version),
                    false => refused(Reason::NoHealthyEndpoint),
                };
                refuse(explanation, refusal);
                break;
            };
            at = usize::from(other.0);
        }
        if let Some(version) = service.versions.get(at) {
            explanation.version = Some(version.name.to_string());
            explanation.endpoints = version.set().endpoints().iter().map(endpoint).collect();
            breaker_now(explanation, version);
        }
    }

    /// Tells why the decision itself has passed over the version of the color, or the default one.
    fn not_decided(&self, id: ServiceId, color: Option<ColorId>, explanation: &mut Explanation) {
        let Some(service) = self.0.service(id) else {
            return;
        };
        let table = &self.0.table;
        let own = color.and_then(|color| table.version_of_color(color, id));
        let default = table.default_version(id);
        let fell_back = explanation.color.reason.is_some();
        let candidates = [
            own.filter(|_| fell_back),
            default.filter(|_| explanation.version.is_none()),
        ];
        for candidate in candidates.into_iter().flatten() {
            let version = service.versions.get(usize::from(candidate.0));
            if let Some(version) = version.filter(|known| !known.available() || known.broken()) {
                passes_over(explanation, version);
                breaker_now(explanation, version);
            }
        }
    }
}

/// Marks limits that would refuse the request now. Nothing is taken from them.
fn limits(route: &Route, view: &View, explanation: &mut Explanation) {
    let color = explanation.color.requested.clone().unwrap_or_default();
    let request = Selectable {
        route: &route.name,
        color: &color,
        ..view.selectable()
    };
    for toll in route.early_limits.iter().chain(&route.late_limits) {
        let Some(wait) = toll.limiter.wait(&request, toll.cost) else {
            continue;
        };
        let start = format!("{}: ", toll.limiter.name);
        let found =
            |policy: &&mut Policy| policy.name == "limit" && policy.value.starts_with(&start);
        let policy = explanation.policies.iter_mut().find(found);
        let Some(policy) = policy else { continue };
        policy.value += &format!("; exhausted, passes again in {}", seconds(wait));
        if toll.limiter.config.mode == Mode::Enforce {
            policy.trouble = true;
            refuse(explanation, refused(Reason::RateLimited));
        }
    }
}

fn passes_over(explanation: &mut Explanation, version: &Version) {
    let passed = PassedOver {
        version: version.name.to_string(),
        why: why(version),
    };
    if !explanation.passed_over.contains(&passed) {
        explanation.passed_over.push(passed);
    }
}

/// Why a version gets no request now.
fn why(version: &Version) -> String {
    if version.available() {
        let breaker = version.breaker.as_ref();
        let held = breaker.is_some_and(|breaker| breaker.held());
        let left = breaker.and_then(|breaker| breaker.remaining(Instant::now()));
        return match (held, left) {
            (true, _) => "its breaker is held open by hand".to_owned(),
            (false, Some(left)) => format!("its breaker is open for another {}", seconds(left)),
            (false, None) => "its breaker waits for its probes".to_owned(),
        };
    }
    let set = version.set();
    let named = set.endpoints().iter().take(ENDPOINTS_NAMED);
    let named: Vec<String> = named
        .map(|known| format!("{} is {}", known.address, trouble(&known.state)))
        .collect();
    match set.endpoints().len().saturating_sub(ENDPOINTS_NAMED) {
        0 if named.is_empty() => "it has no endpoint".to_owned(),
        0 => format!("no endpoint is available: {}", named.join(", ")),
        more => format!(
            "no endpoint is available: {}, and {more} more",
            named.join(", ")
        ),
    }
}

fn endpoint(known: &crate::upstream::Endpoint) -> Endpoint {
    let healthy = known.state.available();
    Endpoint {
        address: known.address.to_string(),
        healthy,
        state: (!healthy).then(|| trouble(&known.state).to_owned()),
        source: known.member.source.as_deref().map(str::to_owned),
    }
}

/// Why an endpoint gets no request.
fn trouble(state: &EndpointState) -> &'static str {
    match state.health() {
        _ if state.is_drained() => "drained by hand",
        _ if state.is_down() => "down: no connection can be made",
        _ if state.is_ejected() => "ejected",
        Health::Unhealthy => "unhealthy",
        _ if !state.reachable() => "not resolved",
        Health::Awaited => "not checked yet",
        Health::Assumed | Health::Healthy => "healthy",
    }
}

/// The refusal while a breaker is open, with the status that its table names.
fn left_alone(version: &Version) -> Refused {
    let breaker = version.breaker.as_ref();
    let fallback = breaker.and_then(|breaker| breaker.config.fallback.as_ref());
    let mut refusal = refused(Reason::BreakerOpen);
    if let Some(breaker::Fallback::Fixed { status, .. }) = fallback {
        refusal.status = *status;
    }
    refusal
}

/// Adds the phase of a version's breaker to the policy.
fn breaker_now(explanation: &mut Explanation, version: &Version) {
    let mut policies = explanation.policies.iter_mut();
    let policy = policies.find(|policy| policy.name == "breaker");
    let (Some(breaker), Some(policy)) = (&version.breaker, policy) else {
        return;
    };
    policy.value += &format!("; {} is {} now", version.name, breaker.phase().name());
    policy.trouble |= version.broken();
    if let (true, Some(breaker::Fallback::Cached(_))) = (version.broken(), &breaker.config.fallback)
    {
        policy.value += "; an answer that is kept is served if there is one";
    }
}

/// Adds how many places are taken, and refuses where none is left.
fn places(explanation: &mut Explanation, name: &str, cap: Option<&Cap>) {
    let Some((max, taken, ..)) = cap.map(Cap::state) else {
        return;
    };
    let mut policies = explanation.policies.iter_mut();
    if let Some(policy) = policies.find(|policy| policy.name == name) {
        policy.value += &format!("; {taken} now");
        policy.trouble = taken >= max;
    }
    if taken >= max {
        refuse(explanation, refused(Reason::TooManyInFlight));
    }
}

/// Notes a refusal unless an earlier policy refuses already.
fn refuse(explanation: &mut Explanation, refusal: Refused) {
    explanation.refusal.get_or_insert(refusal);
    explanation.status = None;
}

fn refused(reason: Reason) -> Refused {
    Refused {
        status: reason.status(),
        reason: reason.name().to_owned(),
    }
}

/// A time as people read it, in whole tenths of a second.
fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}
