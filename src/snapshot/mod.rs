//! One generation, ready to serve: everything a request needs, resolved, indexed and immutable.
//!
//! **Invariant:** a request loads one snapshot and keeps it to its end, so no reload changes it
//! midway. What requests learn lives in `Arc`s that the next generation takes over.

mod build;
mod exposition;
mod listener;
mod listener_series;
mod plugins;
mod rollout_series;
mod route;
mod target;
mod turns;
mod watched;

pub use build::{BuildError, Surroundings};
pub use listener::{ListenerSettings, ListenerTlsSettings};
pub use listener_series::ListenerSeries;
pub use plugins::Hosted;
pub use rollout_series::RolloutSeries;
pub use route::{Route, Toll};
pub use target::{MirrorTarget, Redirect, Target};
pub use watched::{Ended, Watched, grpc_fails};

use crate::config::units::Percent;
use crate::config::{Config, Name};
use crate::discovery::Discovery;
use crate::policy::auth::{Authorities, Authority};
use crate::policy::limit::Limiter;
use crate::policy::overload::Overload;
use crate::policy::{InUse, Stale};
use crate::routing::inputs::Inputs;
use crate::routing::{Availability, ColorId, RouteId, ServiceId, Table, VersionId};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::labels::LabelId;
use crate::telemetry::otel::setup::PushSetup;
use crate::telemetry::trace::Tracer;
use crate::upstream::{Service, Version};
use arc_swap::ArcSwap;
use http::HeaderName;
use rollout_series::RolloutsSeries;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the live snapshot is found: one atomic load per request, one store per reload.
pub type Current = Arc<ArcSwap<Snapshot>>;

/// One generation of the configuration, built.
#[derive(Debug)]
pub struct Snapshot {
    pub generation: u64,
    pub config: Arc<Config>,
    pub table: Table,
    /// By [`ServiceId`].
    pub services: Vec<Arc<Service>>,
    /// By [`RouteId`].
    pub routes: Vec<Route>,
    /// By [`ColorId`].
    pub colors: Vec<Color>,
    pub access_log: AccessLog,
    /// `None`: nothing is traced.
    pub tracer: Option<Arc<Tracer>>,
    /// `None`: metrics are only scraped.
    pub push: Option<PushSetup>,
    pub authorities: Authorities,
    pub limiters: BTreeMap<Name, Arc<Limiter>>,
    pub plugins: BTreeMap<Name, Arc<Hosted>>,
    /// What the access log keeps of requests, for trying configurations on.
    pub inputs: Inputs,
    /// Headers that only the gateway may set.
    pub guarded: Vec<HeaderName>,
    /// Headers that carry credentials of the gateway's own, and never go up.
    pub secret_headers: Vec<HeaderName>,
    pub overload: Arc<Overload>,
    pub discovery: Arc<Discovery>,
    /// What cannot be read anew.
    pub stale: Vec<Stale>,
    /// Counters of rollouts.
    pub rollouts: RolloutsSeries,
    listeners: BTreeMap<Name, Arc<ListenerSettings>>,
}

/// A color, as an exchange needs it.
#[derive(Debug)]
pub struct Color {
    pub name: Name,
    /// The name as a header value, made once.
    pub value: http::HeaderValue,
    pub label: LabelId,
}

impl Snapshot {
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.0 as usize)
    }

    pub fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(id.0 as usize)
    }

    /// A service by its name; they are in name order.
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        let at = self
            .services
            .binary_search_by(|service| service.name.as_ref().cmp(name));
        self.services.get(at.ok()?)
    }

    pub fn version(&self, service: ServiceId, version: VersionId) -> Option<&Version> {
        self.service(service)?.versions.get(usize::from(version.0))
    }

    /// Returns the version that gets the copies of a route's requests of a color.
    pub fn mirror_version(&self, route: &Route, color: Option<ColorId>) -> Option<&Version> {
        let MirrorTarget { service, version } = route.mirror_target?;
        let of_color = || self.table.version_of_color(color?, service);
        let version = version
            .or_else(of_color)
            .or_else(|| self.table.default_version(service))?;
        self.version(service, version)
    }

    pub fn color(&self, id: ColorId) -> Option<&Color> {
        self.colors.get(usize::from(id.0))
    }

    /// Colors with a share, and what they have now.
    pub fn shares(&self) -> impl Iterator<Item = (Name, Percent)> + '_ {
        let colors = self.colors.iter().enumerate();
        colors.filter_map(|(index, color)| {
            let shares = self.table.shares()?;
            Some((color.name.clone(), shares.percent(ColorId(index as u16))?))
        })
    }

    /// The settings of a listener; `None` when this generation no longer has it (it stays open
    /// until the process restarts, with nothing to serve).
    pub fn listener(&self, name: &str) -> Option<Arc<ListenerSettings>> {
        self.listeners.get(name).cloned()
    }

    /// Listeners by name.
    pub fn listeners(&self) -> impl Iterator<Item = (&Name, &Arc<ListenerSettings>)> {
        self.listeners.iter()
    }

    /// What it has in use of files, which goes on where they cannot be read anew.
    pub fn in_use(&self) -> InUse<'_> {
        let listeners = self.listeners.iter();
        let versions = self.services.iter().flat_map(|service| {
            let versions = service.versions.iter();
            versions.map(move |version| (service, version))
        });
        InUse {
            config: &self.config,
            authorities: &self.authorities,
            listeners: listeners
                .filter_map(|(name, settings)| Some((name, &settings.tls.as_ref()?.of)))
                .collect(),
            upstreams: versions
                .filter_map(|(service, version)| {
                    let key = (service.name.clone(), version.name.clone());
                    Some((key, version.tls.clone()?))
                })
                .collect(),
        }
    }

    /// Its plugins begin to run.
    pub fn start_plugins(&self) {
        for hosted in self.plugins.values() {
            hosted.start();
        }
    }

    /// Forgets what policies no longer need: full buckets, expired verdicts.
    pub fn sweep(&self) {
        for limiter in self.limiters.values() {
            limiter.sweep();
        }
        for authority in self.authorities.values() {
            match authority {
                Authority::Jwt(provider) => provider.sweep(),
                Authority::ApiKeys(keys) => keys.sweep(),
                Authority::Forward(_) => {}
            }
        }
    }

    /// The color of a token that one of `coloring.signers` has signed, and when it expires.
    pub fn color_by_token(&self, token: &str, now: u64) -> Option<(String, u64)> {
        let mut signers = self.config.coloring.signers.iter();
        signers.find_map(|name| match self.authorities.get(name.0.as_str())? {
            Authority::Jwt(provider) => provider.color(token, now),
            Authority::ApiKeys(_) | Authority::Forward(_) => None,
        })
    }

    /// Fields of proxies that clients of a listener may send though they are not trusted.
    pub fn kept_fields(&self, listener: &str) -> &[HeaderName] {
        let settings = self.listeners.get(listener);
        settings.map_or(&[], |settings| &settings.keep)
    }

    /// Whether a peer's forwarded headers, request id and color are believed.
    pub fn trusts(&self, listener: &str, peer: std::net::IpAddr) -> bool {
        self.listeners
            .get(listener)
            .is_some_and(|settings| settings.trusts(peer))
    }
}

impl Availability for Snapshot {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        self.version(service, version)
            .is_some_and(Version::available)
    }

    fn exists(&self, service: ServiceId, version: VersionId) -> bool {
        self.version(service, version)
            .is_some_and(|version| version.is_discovered || !version.set().endpoints().is_empty())
    }

    fn broken(&self, service: ServiceId, version: VersionId) -> bool {
        self.version(service, version).is_some_and(Version::broken)
    }
}
