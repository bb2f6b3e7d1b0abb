//! The only place that makes a snapshot: from a checked configuration and the state of the
//! generation before.

use super::plugins;
use super::rollout_series::RolloutsSeries;
use super::route::Policies;
use super::target::ServiceIds;
use super::watched::watched;
use super::{Color, ListenerSettings, MirrorTarget, Route, Snapshot, Target};
use crate::config::{Config, Name};
use crate::discovery::Discovery;
use crate::policy::limit::Limiter;
use crate::policy::overload::Overload;
use crate::policy::{Materials, auth};
use crate::routing::Table;
use crate::routing::inputs::Inputs;
use crate::state::Folder;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::otel::setup::PushSetup;
use crate::telemetry::redact;
use crate::telemetry::trace::Tracer;
use crate::tls::UpstreamTls;
use crate::upstream::{self, Carried, Service};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a checked configuration can still fail on.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        path: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Client(String),
    #[error("cannot send spans: {0}")]
    Collector(String),
}

/// What a snapshot is built in, besides its configuration.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub metrics: Arc<Metrics>,
    /// Where state is kept over restarts; `None`: nowhere.
    pub folder: Option<Folder>,
    pub overload: Arc<Overload>,
    pub discovery: Arc<Discovery>,
}

impl BuildError {
    /// The key that is to blame.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::AccessLog { .. } => "telemetry.access_log.path",
            Self::Client(_) => "forward_auth",
            Self::Collector(_) => "telemetry.traces.otlp",
        }
    }
}

impl Snapshot {
    /// Builds a generation, taking over whatever `previous` knows that is still true.
    ///
    /// # Errors
    /// When something outside the configuration is missing; `previous` is untouched then.
    pub fn build(
        config: Arc<Config>,
        table: Table,
        mut materials: Materials,
        previous: Option<&Self>,
        generation: u64,
        surroundings: &Surroundings,
    ) -> Result<(Self, Carried), BuildError> {
        let metrics = &surroundings.metrics;
        let made = std::mem::take(&mut materials.plugins);
        let plugins = plugins::host(&config, made, previous.map(|previous| &previous.plugins));
        let stale = std::mem::take(&mut materials.stale);
        let mut carried = Carried::default();
        let listeners = listeners(&config, &mut materials, previous);
        let upstream_tls = std::mem::take(&mut materials.upstreams);
        let services = services(&config, &upstream_tls, previous, metrics, &mut carried);
        let before = previous.map(|previous| &previous.authorities);
        let stash = surroundings.folder.as_ref();
        let authorities =
            auth::build(&config, materials, before, stash).map_err(BuildError::Client)?;
        let limiters = limiters(&config, previous, &mut carried);
        let policies = Policies {
            authorities: &authorities,
            limiters: &limiters,
            compress: config.server.compress.0.clone(),
            plugins: &plugins,
        };
        let routes = routes(&config, &services, &policies, previous);
        let snapshot = Self {
            generation,
            services,
            routes,
            colors: colors(&config, metrics),
            listeners,
            access_log: access_log(&config, previous, metrics)?,
            tracer: tracer(&config, previous, metrics)?,
            push: PushSetup::from_environment(
                &config.telemetry,
                previous.and_then(|previous| previous.push.as_ref()),
            ),
            inputs: inputs(&config),
            guarded: auth::forwarded_headers(&config),
            secret_headers: config
                .api_keys
                .values()
                .map(|keys| keys.header.clone())
                .collect(),
            authorities,
            limiters,
            plugins,
            overload: surroundings.overload.clone(),
            discovery: surroundings.discovery.clone(),
            stale,
            rollouts: rollouts(&config, previous),
            table,
            config,
        };
        Ok((snapshot, carried))
    }
}

/// Counters of listeners go on by name.
fn listeners(
    config: &Config,
    materials: &mut Materials,
    previous: Option<&Snapshot>,
) -> BTreeMap<Name, Arc<ListenerSettings>> {
    let settings = config.listeners.iter().map(|(name, listener)| {
        let before = previous.and_then(|previous| previous.listener(name));
        let tls = materials.listeners.remove(name);
        let settings = ListenerSettings::new(listener, tls, before.as_deref());
        (name.clone(), Arc::new(settings))
    });
    settings.collect()
}

fn colors(config: &Config, metrics: &Metrics) -> Vec<Color> {
    let colors = config.colors.keys().map(|name| Color {
        name: name.clone(),
        value: http::HeaderValue::from_str(name)
            .unwrap_or_else(|_| http::HeaderValue::from_static("")),
        label: metrics.label(name),
    });
    colors.collect()
}

fn tracer(
    config: &Config,
    previous: Option<&Snapshot>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Tracer>>, BuildError> {
    let before = previous.and_then(|previous| previous.tracer.as_deref());
    let tracer = Tracer::build(config, before, metrics).map_err(BuildError::Collector)?;
    Ok(tracer.map(Arc::new))
}

/// What is written of requests. Whatever carries credentials here is secret, whatever its name.
fn inputs(config: &Config) -> Inputs {
    let more = &config.telemetry.access_log.redact;
    let places = config.jwt.values().flat_map(|jwt| &jwt.token);
    let carries = |name: &str| {
        let mut keys = config.api_keys.values();
        keys.any(|keys| keys.header == name)
            || places
                .clone()
                .filter_map(|place| place.argument())
                .any(|known| known.eq_ignore_ascii_case(name))
    };
    Inputs::of(config, |name| {
        redact::is_secret(name, more) || carries(name)
    })
}

fn services(
    config: &Config,
    tls: &BTreeMap<(Name, Name), Arc<UpstreamTls>>,
    previous: Option<&Snapshot>,
    metrics: &Metrics,
    carried: &mut Carried,
) -> Vec<Arc<Service>> {
    let before: HashMap<&str, &Arc<Service>> = previous
        .iter()
        .flat_map(|snapshot| &snapshot.services)
        .map(|service| (service.name.as_ref(), service))
        .collect();
    let label = |value: &Arc<str>| metrics.label(value);
    config
        .services
        .iter()
        .map(|(name, service)| {
            let before = before.get(name.as_ref()).map(AsRef::as_ref);
            if before.is_none() && previous.is_some() {
                carried.reset.push(format!("service {name}: new"));
            }
            let breaker = service
                .breaker
                .as_ref()
                .and_then(|name| config.breakers.get(name));
            let surroundings = upstream::Surroundings {
                breaker,
                label: &label,
                tls: &|version| tls.get(&(name.clone(), version.clone())).cloned(),
            };
            Arc::new(Service::build(
                name,
                service,
                before,
                &surroundings,
                carried,
            ))
        })
        .collect()
}

/// Limits go on with their buckets; a changed rate or burst starts from the same share of fill.
fn limiters(
    config: &Config,
    previous: Option<&Snapshot>,
    carried: &mut Carried,
) -> BTreeMap<Name, Arc<Limiter>> {
    let build = |(name, limit): (&Name, &crate::config::limit::Limit)| {
        let before = previous.and_then(|previous| previous.limiters.get(name));
        if before.is_some_and(|before| before.config.key != limit.key) {
            carried.reset.push(format!("limit {name}: its key changed"));
        }
        (name.clone(), Limiter::build(name, limit, before))
    };
    config.limits.iter().map(build).collect()
}

fn routes(
    config: &Config,
    services: &[Arc<Service>],
    policies: &Policies,
    previous: Option<&Snapshot>,
) -> Vec<Route> {
    let before: HashMap<&str, &Route> = previous
        .iter()
        .flat_map(|snapshot| &snapshot.routes)
        .map(|route| (route.name.as_ref(), route))
        .collect();
    let ids = ServiceIds::of_all(config);
    let skipped = &config.telemetry.access_log.skip;
    config
        .routes
        .iter()
        .map(|(name, route)| {
            let target = Target::build(&route.target, &ids);
            let of_service = match &target {
                Target::Upstream(service) => services.get(service.0 as usize),
                Target::Fixed(_) | Target::Redirect(_) => None,
            };
            let of_service = of_service.map(|service| service.timeouts);
            let of_service = of_service.unwrap_or_default();
            let mirror = route.mirror.as_ref();
            let logged = !skipped.contains(name);
            let before = before.get(name.as_ref()).copied();
            Route {
                watched: watched(config, route, before),
                mirror_target: mirror.map(|mirror| MirrorTarget::build(mirror, config, &ids)),
                ..Route::build(name, route, target, of_service, policies, logged, before)
            }
        })
        .collect()
}

/// Counters of rollouts go on by name.
fn rollouts(config: &Config, previous: Option<&Snapshot>) -> RolloutsSeries {
    let names = config.rollouts.keys();
    let series = names.map(|name| {
        let before = previous.and_then(|previous| previous.rollouts.get(name));
        (name.clone(), before.cloned().unwrap_or_default())
    });
    series.collect()
}

/// The open log goes on as long as its path does.
fn access_log(
    config: &Config,
    previous: Option<&Snapshot>,
    metrics: &Arc<Metrics>,
) -> Result<AccessLog, BuildError> {
    let config = &config.telemetry.access_log;
    match previous.map(|snapshot| &snapshot.access_log) {
        Some(log) if *log.path() == config.path => Ok(log.with_form(config)),
        _ => AccessLog::open(config, metrics.clone()).map_err(|source| BuildError::AccessLog {
            path: config.path.to_string(),
            source,
        }),
    }
}
