//! A route as an exchange needs it: names resolved, timeouts merged, counters at hand.

use super::{Hosted, MirrorTarget, Target, Watched};
use crate::config::Name;
use crate::config::compress::Table as Compress;
use crate::config::route::{self as config, PathMatch, Rewrite};
use crate::config::selector::Known;
use crate::config::service::Timeouts;
use crate::config::upkeep::Importance;
use crate::policy::auth::{Authorities, Guard};
use crate::policy::in_flight::Cap;
use crate::policy::limit::Limiter;
use crate::policy::mirror::Mirror;
use crate::routing::ServiceId;
use crate::telemetry::metrics::series::RouteSeries;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One TCP connection attempt, unless configured.
const CONNECT: Duration = Duration::from_secs(1);

/// One route, built.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    pub target: Target,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    /// The whole exchange; `None`: no limit but silence.
    pub request_timeout: Option<Duration>,
    /// Largest request body in bytes.
    pub body_max: Option<u64>,
    /// What the upstream sees instead; `None`: what was asked for.
    pub rewrite: Option<Box<(Rewrite, PathMatch)>>,
    /// Who must be known.
    pub guard: Option<Arc<Guard>>,
    /// Limits that need nothing of a token or a color: asked before either is known.
    pub early_limits: Vec<Toll>,
    /// Limits that do.
    pub late_limits: Vec<Toll>,
    pub cap: Option<Arc<Cap>>,
    pub importance: Importance,
    pub mirror: Option<Arc<Mirror>>,
    /// Where its copies go.
    pub mirror_target: Option<MirrorTarget>,
    /// Which of its answers are compressed.
    pub compress: Option<Arc<Compress>>,
    /// Whether its requests appear in the access log.
    pub logged: bool,
    /// Colors that a rollout compares here.
    pub watched: Box<[Watched]>,
    /// In the order in which they run.
    pub plugins: Box<[Arc<Hosted>]>,
    pub series: Arc<RouteSeries>,
}

impl Route {
    pub fn build(
        name: &Name,
        config: &config::Route,
        target: Target,
        of_service: Timeouts,
        policies: &Policies,
        logged: bool,
        previous: Option<&Self>,
    ) -> Self {
        let timeouts = config.timeouts.or(of_service);
        let goes_up = matches!(target, Target::Upstream(_));
        Self {
            name: name.clone(),
            target,
            connect_timeout: timeouts.connect.unwrap_or(CONNECT),
            idle_timeout: timeouts.silence(),
            request_timeout: timeouts.request,
            body_max: config.body_max.map(|max| max.0),
            rewrite: (goes_up && config.rewrite != Rewrite::default())
                .then(|| Box::new((config.rewrite.clone(), config.matches.path.clone()))),
            guard: config
                .auth
                .as_ref()
                .map(|auth| Arc::new(Guard::build(auth, policies.authorities))),
            early_limits: policies.tolls(config, false),
            late_limits: policies.tolls(config, true),
            cap: config
                .max_in_flight
                .map(|cap| Cap::build(cap, previous.and_then(|route| route.cap.as_ref()))),
            importance: config.importance,
            mirror: config.mirror.as_ref().map(|mirror| {
                Mirror::build(mirror, previous.and_then(|route| route.mirror.as_ref()))
            }),
            mirror_target: None,
            compress: match &config.compress {
                Some(own) => own.0.clone(),
                None => policies.compress.clone(),
            },
            logged,
            watched: Box::default(),
            plugins: config
                .plugins
                .iter()
                .filter_map(|name| policies.plugins.get(name).cloned())
                .collect(),
            series: previous
                .map(|route| route.series.clone())
                .unwrap_or_default(),
        }
    }

    /// Returns the service that its requests go to, if they go to one.
    pub const fn service(&self) -> Option<ServiceId> {
        match self.target {
            Target::Upstream(service) => Some(service),
            Target::Fixed(_) | Target::Redirect(_) => None,
        }
    }
}

/// A limit, and what a request costs it.
#[derive(Debug, Clone)]
pub struct Toll {
    pub limiter: Arc<Limiter>,
    pub cost: u32,
}

/// The policies of a configuration, built.
#[derive(Debug)]
pub struct Policies<'p> {
    pub authorities: &'p Authorities,
    pub limiters: &'p BTreeMap<Name, Arc<Limiter>>,
    /// Where a route does not say.
    pub compress: Option<Arc<Compress>>,
    pub plugins: &'p BTreeMap<Name, Arc<Hosted>>,
}

impl Policies<'_> {
    fn tolls(&self, route: &config::Route, late: bool) -> Vec<Toll> {
        let tolls = route.limits.iter().filter_map(|limit| {
            let limiter = self.limiters.get(&limit.name)?.clone();
            Some(Toll {
                limiter,
                cost: limit.cost,
            })
        });
        tolls
            .filter(|toll| {
                let mut key = toll.limiter.config.key.iter();
                key.any(|part| part.known() == Known::WithIdentity) == late
            })
            .collect()
    }
}
