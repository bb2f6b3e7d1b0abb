//! A route as the road needs it: names resolved, timeouts merged, counters at hand.

use crate::config::Name;
use crate::config::color;
use crate::config::route::{self as config, PathMatch, Rewrite};
use crate::config::service::Timeouts;
use crate::routing::{ServiceId, VersionId};
use crate::telemetry::series::RouteSeries;
use std::sync::Arc;
use std::time::Duration;

/// One TCP connection attempt, unless configured.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest silence of an upstream, unless configured.
const IDLE: Duration = Duration::from_mins(1);

/// One route, built.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    pub service: Option<ServiceId>,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    /// The whole exchange; `None`: no limit but silence.
    pub request_timeout: Option<Duration>,
    /// Largest request body in bytes.
    pub body_max: Option<u64>,
    /// What the upstream sees instead; `None`: what was asked for.
    pub rewrite: Option<Box<(Rewrite, PathMatch)>>,
    /// Whether its requests appear in the access log.
    pub logged: bool,
    pub series: Arc<RouteSeries>,
}

impl Route {
    pub fn build(
        name: &Name,
        config: &config::Route,
        service: Option<(ServiceId, Timeouts)>,
        logged: bool,
        previous: Option<&Self>,
    ) -> Self {
        let wider = service.map(|(_, timeouts)| timeouts).unwrap_or_default();
        let own = config.timeouts;
        Self {
            name: name.clone(),
            service: service.map(|(id, _)| id),
            connect_timeout: own.connect.or(wider.connect).unwrap_or(CONNECT),
            idle_timeout: own.idle.or(wider.idle).unwrap_or(IDLE),
            request_timeout: own.request.or(wider.request),
            body_max: config.body_max.map(|max| max.0),
            rewrite: (service.is_some() && config.rewrite != Rewrite::default())
                .then(|| Box::new((config.rewrite.clone(), config.matches.path.clone()))),
            logged,
            series: previous
                .map(|route| route.series.clone())
                .unwrap_or_default(),
        }
    }
}

/// Where a colored request may go when its color's version fails on the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback(pub Option<VersionId>);

impl Fallback {
    /// The default version, if the color allows it and is not served by it already.
    pub fn of(color: Option<&color::Color>, default: VersionId, served: VersionId) -> Self {
        let allowed = color.is_some_and(|color| color.fallback == color::Fallback::Default);
        Self((allowed && default != served).then_some(default))
    }
}
