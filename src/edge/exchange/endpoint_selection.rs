//! Selection of the endpoint of a try: one of the decided version, else, if the color allows it,
//! one of the default version.

use super::admission;
use super::context::RequestContext;
use super::tries::Attempt;
use crate::edge::filters::stale_response;
use crate::edge::rejection::Rejection;
use crate::policy::last_good;
use crate::policy::limit;
use crate::reason::Reason;
use crate::routing::selector::Selected;
use crate::routing::{FallbackReason, carried};
use crate::upstream::balance::stable_hash;
use crate::upstream::{EndpointState, Service, Version};
use http::request::Parts;
use http::{HeaderValue, header};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Chooses the endpoint of the next try.
///
/// # Errors
/// When no endpoint is left to try.
pub fn choose(head: &Parts, context: &mut RequestContext) -> Result<Arc<EndpointState>, Rejection> {
    let now = Instant::now();
    if let Some(late) = context.deadlines.passed(now) {
        return Err(late.into());
    }
    let hash = hash(head, context);
    loop {
        let tried = &context.attempt.tried;
        let sticky = context.attempt.sticky;
        let picked = context.version().and_then(|version| {
            let set = version.set();
            let endpoint = sticky
                .and_then(|id| set.sticky(id, tried))
                .or_else(|| set.pick(tried, hash))?;
            let permit = version.breaker.as_ref().map(|breaker| breaker.admit(now));
            Some((endpoint.state.clone(), permit))
        });
        match picked {
            Some((_, Some(Err(wait)))) => {
                if !fall_back(context, FallbackReason::Breaker) {
                    let open = breaker_open(context, wait);
                    return Err(recall(head, context, open));
                }
            }
            Some((state, permit)) => {
                let permit = permit.and_then(Result::ok);
                context.attempt.begin(&state, permit, now);
                context.trace.tries(now, &context.attempt);
                return Ok(state);
            }
            // All have been tried and some are still there: another round.
            None if !tried.is_empty() && context.version().is_some_and(Version::available) => {
                context.attempt.tried.clear();
            }
            None if fall_back(context, FallbackReason::Unhealthy) => {}
            None => return Err(Reason::NoHealthyEndpoint.into()),
        }
    }
}

impl Attempt {
    fn begin(
        &mut self,
        state: &Arc<EndpointState>,
        permit: Option<crate::policy::breaker::Permit>,
        now: Instant,
    ) {
        self.number = self.number.saturating_add(1);
        self.tried.push(state.serial());
        self.in_flight = Some(state.enter());
        self.permit = permit;
        self.since = Some(now);
        self.grpc = None;
    }

    /// Forgets the last endpoint as tried: it may be tried again, over a fresh connection.
    pub fn may_repeat(&mut self) {
        self.tried.pop();
    }
}

/// Returns the key of the stale answer to this request. `None`: the client is known, and may have
/// been given an answer that is for it alone.
pub fn stale_key(head: &Parts, context: &RequestContext) -> Option<u64> {
    let certified = context.certificate.is_some() && context.forwards_certificate;
    if context.identity.is_some() || certified {
        return None;
    }
    let view = admission::view(head, context);
    let color = context.requested_color();
    let color = color.and_then(|id| context.snapshot.color(id));
    let asked = last_good::Asked {
        scheme: context.scheme(),
        host: view.host,
        port: admission::port(head),
        path: view.path,
        query: view.query,
        route: context.route().map_or("", |route| &route.name),
        version: context.version().map_or("", |version| &version.name),
        color: color.map_or("", |color| &color.name),
    };
    last_good::key(view.method, &asked, view.headers)
}

/// Returns the last good answer in place of a rejection, where the service keeps them.
fn recall(head: &Parts, context: &RequestContext, rejection: Rejection) -> Rejection {
    let service = context.service().cloned();
    let Some((kept, max)) = service.as_ref().and_then(|of| of.last_good.as_ref()) else {
        return rejection;
    };
    let rules = context.route().and_then(|route| route.compress.as_deref());
    stale_response::recall(kept, *max, stale_key(head, context), rules, rejection)
}

/// Returns the rejection while a breaker is open: the answer of its table, else when to come again.
fn breaker_open(context: &RequestContext, wait: Duration) -> Rejection {
    let rejection = Rejection::from(Reason::BreakerOpen);
    let again = HeaderValue::from(limit::seconds(wait));
    let headers = vec![(header::RETRY_AFTER, again)];
    let service = context.service();
    let Some(answer) = service.and_then(|service| service.breaker_answer.as_ref()) else {
        return rejection.with(headers);
    };
    let status = answer.status.as_u16();
    let mut headers = if status >= 400 { headers } else { Vec::new() };
    headers.push((header::CONTENT_TYPE, answer.content_type.clone()));
    rejection.answering(status, headers, answer.body.clone())
}

/// Returns the key of the hashing balancers: by the service's `hash`, else the client's address.
fn hash(head: &Parts, context: &mut RequestContext) -> u64 {
    if let Some(hash) = context.attempt.hash {
        return hash;
    }
    let Some(service) = context.service().cloned() else {
        return 0;
    };
    if let Some(sticky) = &service.sticky {
        let id = carried::cookie(&head.headers, &sticky.cookie.0);
        let id = id.and_then(|id| std::str::from_utf8(id).ok());
        context.attempt.sticky = id.and_then(|id| u64::from_str_radix(id, 16).ok());
    }
    let hashes = context
        .version()
        .is_some_and(|version| version.set().hashes());
    let hash = if hashes {
        hash_of(&service, head, context)
    } else {
        0
    };
    context.attempt.hash = Some(hash);
    hash
}

fn hash_of(service: &Service, head: &Parts, context: &RequestContext) -> u64 {
    let request = admission::selectable(head, context);
    let value = service.hash.as_ref().and_then(|key| key.value(&request));
    let value = value.unwrap_or_else(|| Selected::network(context.client.ip));
    stable_hash(&[&value])
}

/// Turns to another version when the target has no endpoint left or its breaker is open. Returns
/// whether there is one.
fn fall_back(context: &mut RequestContext, reason: FallbackReason) -> bool {
    let Some((service, version)) = context.attempt.target else {
        return false;
    };
    let color = context.requested_color();
    let table = &context.snapshot.table;
    let fallbacks = &mut context.attempt.fallbacks;
    let Some(other) = fallbacks.next(table, service, version, color, reason) else {
        return false;
    };
    context.attempt.target = Some((service, other));
    context.attempt.tried.clear();
    context.attempt.in_flight = None;
    if let Some(decision) = &mut context.decision
        && decision.color.requested.is_some()
    {
        decision.color.served = None;
        decision.color.reason = Some(reason);
    }
    true
}
