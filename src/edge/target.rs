//! Which endpoint gets this try: the decided version's, then, if its color allows, the default's.

use super::context::{Attempt, Journey, Refusal};
use super::{beside, grpc, peer};
use crate::config::limit::KeyPart;
use crate::policy::limit;
use crate::reason::Reason;
use crate::routing::{FallbackReason, carried, claims};
use crate::upstream::balance::stable_hash;
use crate::upstream::{Service, Version};
use http::{HeaderMap, HeaderValue, header};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use smallvec::SmallVec;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Chooses an endpoint and describes the connection to it.
///
/// # Errors
/// When nobody is left to try.
pub fn choose(session: &mut Session, journey: &mut Journey) -> Result<Box<HttpPeer>, Refusal> {
    journey.end_try();
    let now = Instant::now();
    if journey.deadline.is_some_and(|deadline| deadline <= now) {
        return Err(Refusal::new(
            Reason::UpstreamTimeout,
            "the request took too long",
        ));
    }
    let hash = hash(session, journey);
    loop {
        let tried = &journey.attempt.tried;
        let sticky = journey.attempt.sticky;
        let picked = journey.version().and_then(|version| {
            let (index, endpoint) = sticky
                .and_then(|id| version.sticky(id, tried))
                .or_else(|| version.pick(tried, hash))?;
            let permit = version.breaker.as_ref().map(|breaker| breaker.admit(now));
            Some((index, endpoint.state.clone(), permit))
        });
        let refusal = match picked {
            Some((_, _, Some(Err(wait)))) => {
                if fall_back(journey, FallbackReason::Breaker) {
                    continue;
                }
                beside::recall(session, journey, breaker_open(journey, wait))
            }
            Some((index, state, permit)) => {
                let peer = peer::describe(session, &state, journey)?;
                let attempt = &mut journey.attempt;
                attempt.number = attempt.number.saturating_add(1);
                attempt.endpoint = Some(index);
                attempt.tried.push(index);
                attempt.in_flight = Some(state.enter());
                attempt.permit = permit.and_then(Result::ok);
                attempt.since = Some(now);
                attempt.grpc = None;
                // A body that was sent before is sent again from its beginning.
                journey.body_bytes = 0;
                journey.trail.tries(now, &journey.attempt);
                return Ok(Box::new(peer));
            }
            // All have been tried and some are still there: another round.
            None if !tried.is_empty() && journey.version().is_some_and(Version::available) => {
                journey.attempt.tried.clear();
                continue;
            }
            None if fall_back(journey, FallbackReason::Unhealthy) => continue,
            None => nobody(),
        };
        return Err(refusal);
    }
}

fn nobody() -> Refusal {
    Reason::NoHealthyEndpoint.into()
}

/// What is said while a breaker is open: what its table says, else when to come again.
fn breaker_open(journey: &Journey, wait: Duration) -> Refusal {
    let refusal = Refusal::from(Reason::BreakerOpen);
    let again = HeaderValue::from(limit::seconds(wait));
    let headers = vec![(header::RETRY_AFTER, again)];
    let service = journey.service();
    let Some(answer) = service.and_then(|service| service.breaker_answer.as_ref()) else {
        return refusal.with(headers);
    };
    let status = answer.status.as_u16();
    let mut headers = if status >= 400 { headers } else { Vec::new() };
    headers.push((header::CONTENT_TYPE, answer.content_type.clone()));
    refusal.answering(status, headers, answer.body.clone())
}

/// What the hashing balancers go by: the service's key, else the client's address.
fn hash(session: &Session, journey: &mut Journey) -> u64 {
    if let Some(hash) = journey.attempt.hash {
        return hash;
    }
    let Some(service) = journey.service().cloned() else {
        return 0;
    };
    let headers = &session.req_header().headers;
    if let Some(sticky) = &service.sticky {
        let id = carried::cookie(headers, &sticky.cookie.0);
        let id = id.and_then(|id| std::str::from_utf8(id).ok());
        journey.attempt.sticky = id.and_then(|id| u64::from_str_radix(id, 16).ok());
    }
    let hashes = journey.version().is_some_and(Version::hashes);
    let hash = if hashes {
        hash_of(&service, headers, journey)
    } else {
        0
    };
    journey.attempt.hash = Some(hash);
    hash
}

fn hash_of(service: &Service, headers: &HeaderMap, journey: &Journey) -> u64 {
    let known = match &service.hash {
        Some(KeyPart::Header(name)) => headers.get(name).map(|v| stable_hash(&[v.as_bytes()])),
        Some(KeyPart::Cookie(name)) => carried::cookie(headers, name).map(|v| stable_hash(&[v])),
        Some(KeyPart::Jwt(claim)) => {
            let identity = journey.identity.as_ref();
            let values = identity.map(|identity| claims::values(&identity.claims, claim));
            let values = values.unwrap_or_default();
            let words: SmallVec<[&[u8]; 2]> = values.iter().map(|v| v.as_bytes()).collect();
            (!words.is_empty()).then(|| stable_hash(&words))
        }
        Some(KeyPart::Ip | KeyPart::Route | KeyPart::Color) | None => None,
    };
    known.unwrap_or_else(|| match journey.client.ip {
        IpAddr::V4(ip) => stable_hash(&[&ip.octets()]),
        IpAddr::V6(ip) => stable_hash(&[&ip.octets()]),
    })
}

/// Turns to another version when the target has no endpoint left or its breaker is open. Returns
/// whether there is one.
fn fall_back(journey: &mut Journey, reason: FallbackReason) -> bool {
    let Some((service, version)) = journey.attempt.target else {
        return false;
    };
    let color = journey.requested_color();
    let table = &journey.snapshot.table;
    let fallbacks = &mut journey.attempt.fallbacks;
    let Some(other) = fallbacks.next(table, service, version, color, reason) else {
        return false;
    };
    journey.attempt.target = Some((service, other));
    journey.attempt.tried.clear();
    journey.attempt.endpoint = None;
    if let Some(decision) = &mut journey.decision
        && decision.color.requested.is_some()
    {
        decision.color.served = None;
        decision.color.reason = Some(reason);
    }
    true
}

/// When the try that begins now must have answered, and the exchange be over.
pub fn try_deadline(journey: &Journey) -> Option<Instant> {
    let per_try = journey.service().and_then(|service| service.retry.per_try);
    let per_try = per_try.map(|limit| Instant::now() + limit);
    match (journey.deadline, per_try) {
        (Some(whole), Some(per_try)) => Some(whole.min(per_try)),
        (whole, per_try) => whole.or(per_try),
    }
}

/// Longest pause before a try.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// How long to wait before the next try: full jitter over a doubling span.
pub fn backoff(journey: &Journey) -> Option<Duration> {
    if !journey.attempt.backs_off {
        return None;
    }
    let first = journey.service()?.retry.backoff;
    let doublings = u32::from(journey.attempt.number.saturating_sub(1)).min(8);
    let span = (first * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    Some(span.mul_f64(fastrand::f64()))
}

/// When the whole exchange must be over, by the route's settings and the client's wish.
pub fn deadline(session: &Session, journey: &Journey) -> Option<Instant> {
    let route = journey.route()?.request_timeout;
    // A client of gRPC says how long it will wait; no longer is anybody asked for it.
    let headers = &session.req_header().headers;
    let own = journey.call.and_then(|_| grpc::timeout(headers));
    let limit = match (route, own) {
        (Some(route), Some(own)) => Some(route.min(own)),
        (route, own) => route.or(own),
    };
    limit.and_then(|limit| journey.started.checked_add(limit))
}

impl Attempt {
    /// Forgets the last endpoint as tried: it may be tried again, over a fresh connection.
    pub fn may_repeat(&mut self) {
        self.tried.pop();
    }
}
