//! Which endpoint gets this try: the decided version's, then, if its color allows, the default's.

use super::context::{Attempt, Journey, Refusal};
use crate::reason::Reason;
use crate::routing::{FallbackReason, VersionId};
use crate::snapshot::{Fallback, Route};
use pingora::upstreams::peer::HttpPeer;
use std::time::{Duration, Instant};

/// How long an unused upstream connection is kept.
const POOL_IDLE: Duration = Duration::from_mins(1);

/// Chooses an endpoint and describes the connection to it.
///
/// # Errors
/// When nobody is left to try.
pub fn choose(journey: &mut Journey) -> Result<Box<HttpPeer>, Refusal> {
    journey.end_try();
    let nobody = Refusal::new(Reason::NoHealthyEndpoint, "no healthy endpoint is left");
    if journey
        .deadline
        .is_some_and(|deadline| deadline <= Instant::now())
    {
        return Err(Refusal::new(
            Reason::UpstreamTimeout,
            "the request took too long",
        ));
    }
    loop {
        let picked = journey.version().and_then(|version| {
            let (index, endpoint) = version.pick(&journey.attempt.tried)?;
            Some((index, endpoint.state.clone()))
        });
        if let Some((index, state)) = picked {
            let Some(address) = state.socket_address() else {
                return Err(nobody);
            };
            let attempt = &mut journey.attempt;
            attempt.number = attempt.number.saturating_add(1);
            attempt.endpoint = Some(index);
            attempt.tried.push(index);
            attempt.in_flight = Some(state.enter());
            attempt.since = Some(Instant::now());
            return Ok(Box::new(peer(address, journey)));
        }
        if !fall_back(journey) {
            return Err(nobody);
        }
    }
}

/// Turns to the default version when the color's own has nobody left. Returns whether it did.
fn fall_back(journey: &mut Journey) -> bool {
    let Some((service, version)) = journey.attempt.target else {
        return false;
    };
    let Some(default) = fallback(journey, version) else {
        return false;
    };
    journey.attempt.target = Some((service, default));
    journey.attempt.tried.clear();
    journey.attempt.endpoint = None;
    if let Some(decision) = &mut journey.decision {
        decision.color.served = None;
        decision.color.reason = Some(FallbackReason::Unhealthy);
    }
    true
}

fn fallback(journey: &Journey, served: VersionId) -> Option<VersionId> {
    let config = &journey.snapshot.config;
    let color = journey
        .requested_color()
        .and_then(|id| journey.snapshot.color(id))?;
    let service = config.services.get(&journey.service()?.name)?;
    let default = service
        .versions
        .keys()
        .position(|name| *name == service.default)?;
    let default = VersionId(default as u16);
    Fallback::of(config.colors.get(&color.name), default, served).0
}

fn peer(address: std::net::SocketAddr, journey: &Journey) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    let options = &mut peer.options;
    options.idle_timeout = Some(POOL_IDLE);
    if let Some(route) = journey.route() {
        let left = journey.deadline.map(|deadline| {
            // Zero would mean no timeout at all.
            deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1))
        });
        let within = |limit: Duration| left.map_or(limit, |left| left.min(limit));
        options.connection_timeout = Some(within(route.connect_timeout));
        options.total_connection_timeout = Some(within(route.connect_timeout));
        options.read_timeout = Some(within(route.idle_timeout));
        options.write_timeout = Some(within(route.idle_timeout));
    }
    peer
}

/// When the whole exchange must be over, by the route's settings.
pub fn deadline(route: Option<&Route>, started: Instant) -> Option<Instant> {
    route?.request_timeout.map(|limit| started + limit)
}

impl Attempt {
    /// Forgets the last endpoint as tried: it may be tried again, over a fresh connection.
    pub fn may_repeat(&mut self) {
        self.tried.pop();
    }
}
