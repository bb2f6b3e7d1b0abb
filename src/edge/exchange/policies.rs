//! The policies of a route, enforced before anything is sent, cheap ones first: overload, limits
//! that need no identity, authentication, color, limits that need an identity, requests in flight.
//! Each try asks the breaker (`endpoint_selection`).

use super::admission::{self, Found};
use super::context::RequestContext;
use crate::config::limit::Headers;
use crate::config::policy::Mode;
use crate::edge::rejection::Rejection;
use crate::policy::auth::{Denial, Entry, Question};
use crate::policy::limit::{self, Limiter, Verdict};
use crate::reason::Reason;
use crate::routing::{ColorChoice, Decision, Outcome, RouteId};
use crate::snapshot::{Route, Snapshot, Toll};
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Decides what becomes of a request, and whether it may.
///
/// # Errors
/// The rejection to answer with.
pub async fn enforce(
    head: &Parts,
    context: &mut RequestContext,
    found: Found,
) -> Result<Outcome, Rejection> {
    let (route, decided) = match found {
        Found::Decided(decision) => (decision.route, Some(decision)),
        Found::Guarded(route) => (Some(route), None),
    };
    context.decision = Some(decided.unwrap_or_else(|| undecided(route)));
    let snapshot = context.snapshot.clone();
    let (Some(id), Some(built)) = (route, route.and_then(|id| snapshot.route(id))) else {
        return Ok(
            decided.map_or(Outcome::Refuse(Reason::NoRoute), |decision| {
                decision.outcome
            }),
        );
    };
    if snapshot.overload.sheds(built.importance) {
        return Err(Rejection::new(
            Reason::Overloaded,
            "the gateway has too much to do",
        ));
    }
    take_tolls(head, context, &built.early_limits)?;
    let decision = match decided {
        Some(decision) => decision,
        None => guarded(head, context, built, id).await?,
    };
    context.decision = Some(decision);
    if let Outcome::Refuse(_) = decision.outcome {
        return Ok(decision.outcome);
    }
    take_tolls(head, context, &built.late_limits)?;
    if let Outcome::Upstream { service, .. } = decision.outcome {
        take_places(context, &snapshot, built, service).await?;
    }
    Ok(decision.outcome)
}

/// What a request whose route is known, and nothing else, is counted as.
pub fn undecided(route: Option<RouteId>) -> Decision {
    Decision {
        route,
        color: ColorChoice::default(),
        outcome: Outcome::Refuse(Reason::NoRoute),
    }
}

/// Authenticates the client, and decides with its identity.
async fn guarded(
    head: &Parts,
    context: &mut RequestContext,
    route: &Route,
    id: RouteId,
) -> Result<Decision, Rejection> {
    let mut view = admission::view(head, context);
    let mut identity = None;
    if let Some(guard) = &route.guard {
        // The service that is asked judges what was matched and what goes to the upstream, not
        // another spelling of it.
        let question = Question {
            method: view.method,
            host: view.host,
            port: admission::port(head),
            path: view.path,
            query: view.query,
            headers: view.headers,
            client: view.client,
            scheme: context.scheme(),
        };
        match guard.admit(&question).await {
            Entry::Anonymous => {}
            Entry::Known(known) => identity = Some(known),
            Entry::Refused(denial) => return Err(denied(denial)),
        }
    }
    view.claims = identity.as_ref().map(|identity| &identity.claims);
    let snapshot = context.snapshot.as_ref();
    let decision = snapshot.table.dye(id, &view, snapshot);
    context.identity = identity;
    Ok(decision)
}

/// RFC 6750, section 3: whose tokens are wanted, and what was wrong with the one that came.
fn denied(denial: Denial) -> Rejection {
    let mut rejection = Rejection::new(denial.reason, denial.detail);
    rejection.told.clone_from(&denial.told);
    if let Some(answer) = denial.answer {
        return rejection.answering(answer.status, answer.headers, answer.body.into());
    }
    if let Some(seconds) = denial.retry_after {
        return rejection.with(vec![(header::RETRY_AFTER, HeaderValue::from(seconds))]);
    }
    let realm = denial.realm.as_deref().unwrap_or("tyrian");
    let detail = denial.detail;
    let challenge = match denial.reason {
        // Nothing is said of an error where there was nothing that could be wrong (section 3.1).
        Reason::JwtMissing => format!("Bearer realm=\"{realm}\""),
        Reason::ApiKey => format!("ApiKey realm=\"{realm}\""),
        Reason::JwtScope => format!(
            "Bearer realm=\"{realm}\", error=\"insufficient_scope\", \
             error_description=\"{detail}\", scope=\"{}\"",
            denial.scope.unwrap_or_default()
        ),
        reason if reason.status() == 401 => format!(
            "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{detail}\""
        ),
        _ => return rejection,
    };
    let value = HeaderValue::try_from(challenge);
    let value = value.unwrap_or(HeaderValue::from_static("Bearer realm=\"tyrian\""));
    rejection.with(vec![(header::WWW_AUTHENTICATE, value)])
}

/// Asks limits one after the other; the first that refuses ends it.
fn take_tolls(head: &Parts, context: &mut RequestContext, tolls: &[Toll]) -> Result<(), Rejection> {
    for toll in tolls {
        let limiter = &toll.limiter;
        let verdict = limiter.check(&admission::selectable(head, context), toll.cost);
        if limiter.config.mode != Mode::Enforce {
            continue;
        }
        match verdict {
            Verdict::Pass(Some(reading)) if limiter.config.headers == Headers::Always => {
                let state = limiter.fields().state(reading);
                context
                    .readings
                    .push((limiter.fields().policy.clone(), state));
            }
            Verdict::Pass(_) => {}
            Verdict::NoKey => return Err(over(limiter, None)),
            Verdict::Over(reading) => return Err(over(limiter, Some(reading))),
        }
    }
    Ok(())
}

fn over(limiter: &Limiter, reading: Option<limit::Reading>) -> Rejection {
    let Some(reading) = reading else {
        let detail = "the request lacks what its limit goes by";
        return Rejection::new(Reason::RateLimited, detail).telling(&limiter.fields().keyless);
    };
    let wait = HeaderValue::from(limit::seconds(reading.reset));
    let mut headers = vec![(header::RETRY_AFTER, wait)];
    if limiter.config.headers != Headers::Never {
        headers.push((RATE_LIMIT_POLICY.clone(), limiter.fields().policy.clone()));
        headers.push((RATE_LIMIT.clone(), limiter.fields().state(reading)));
    }
    Rejection::new(Reason::RateLimited, "too many requests")
        .telling(&limiter.fields().over)
        .with(headers)
}

/// What limits tell with every answer.
pub fn readings(context: &RequestContext) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    context
        .readings
        .iter()
        .flat_map(|(policy, state)| [(&RATE_LIMIT_POLICY, policy), (&RATE_LIMIT, state)])
}

/// Takes the places of route and service, waiting where that is allowed.
async fn take_places(
    context: &mut RequestContext,
    snapshot: &Snapshot,
    route: &Route,
    service: crate::routing::ServiceId,
) -> Result<(), Rejection> {
    let full = |whose: &'static str| {
        let detail = "too many requests are in flight";
        Rejection::new(Reason::TooManyInFlight, detail).telling(whose)
    };
    if let Some(cap) = &route.cap {
        let full = || full("`max_in_flight` of the route is reached");
        context.places.of_route = Some(cap.take().await.ok_or_else(full)?);
    }
    let Some(service) = snapshot.service(service) else {
        return Ok(());
    };
    if let Some(cap) = &service.cap {
        let full = || full("`max_in_flight` of the service is reached");
        context.places.of_service = Some(cap.take().await.ok_or_else(full)?);
    }
    if let Some(adaptive) = &service.adaptive {
        let busy = |()| {
            Rejection::new(Reason::Overloaded, "the service has too much to do")
                .telling("`adaptive` of the service has found its limit")
        };
        context.places.adaptive = adaptive.take().await.map_err(busy)?;
    }
    service.budget.pay(service.retry.budget);
    Ok(())
}
