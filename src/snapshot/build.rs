//! The only place that makes a snapshot: from a checked configuration and the state of the
//! generation before.

use super::{Color, ListenerSettings, Route, Snapshot};
use crate::config::Config;
use crate::config::route::Target;
use crate::routing::{ServiceId, Table};
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;
use crate::upstream::{Carried, Service};
use std::collections::HashMap;
use std::sync::Arc;

/// What a checked configuration can still fail on.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        path: String,
        source: std::io::Error,
    },
}

impl Snapshot {
    /// Builds a generation, taking over whatever `previous` knows that is still true.
    ///
    /// # Errors
    /// When something outside the configuration is missing; `previous` is untouched then.
    pub fn build(
        config: Arc<Config>,
        table: Table,
        previous: Option<&Self>,
        generation: u64,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Carried), BuildError> {
        let mut carried = Carried::default();
        let services = services(&config, previous, metrics, &mut carried);
        let routes = routes(&config, &services, previous);
        let colors = config.colors.keys().map(|name| Color {
            name: name.clone(),
            value: http::HeaderValue::from_str(name)
                .unwrap_or_else(|_| http::HeaderValue::from_static("")),
            label: metrics.label(name),
        });
        let listeners = config
            .listeners
            .iter()
            .map(|(name, listener)| (name.clone(), Arc::new(ListenerSettings::new(listener))));
        let snapshot = Self {
            generation,
            services,
            routes,
            colors: colors.collect(),
            listeners: listeners.collect(),
            access_log: access_log(&config, previous, metrics)?,
            table,
            config,
        };
        Ok((snapshot, carried))
    }
}

fn services(
    config: &Config,
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
            Arc::new(Service::build(name, service, before, &label, carried))
        })
        .collect()
}

fn routes(config: &Config, services: &[Arc<Service>], previous: Option<&Snapshot>) -> Vec<Route> {
    let before: HashMap<&str, &Route> = previous
        .iter()
        .flat_map(|snapshot| &snapshot.routes)
        .map(|route| (route.name.as_ref(), route))
        .collect();
    let ids: HashMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(index, service)| (service.name.as_ref(), index))
        .collect();
    let skipped = &config.telemetry.access_log.skip.0;
    config
        .routes
        .iter()
        .map(|(name, route)| {
            let service = match &route.target {
                Target::Service(service) => ids.get(service.as_ref()).and_then(|index| {
                    let timeouts = services.get(*index)?.timeouts;
                    Some((ServiceId(*index as u32), timeouts))
                }),
                Target::Respond { .. } | Target::Redirect { .. } => None,
            };
            let logged = !skipped.contains(name);
            Route::build(
                name,
                route,
                service,
                logged,
                before.get(name.as_ref()).copied(),
            )
        })
        .collect()
}

/// The open log goes on as long as its path does.
fn access_log(
    config: &Config,
    previous: Option<&Snapshot>,
    metrics: &Arc<Metrics>,
) -> Result<AccessLog, BuildError> {
    let path = &config.telemetry.access_log.path;
    match previous.map(|snapshot| &snapshot.access_log) {
        Some(log) if log.path() == path => Ok(log.clone()),
        _ => AccessLog::open(path, metrics.clone()).map_err(|source| BuildError::AccessLog {
            path: format!("{path:?}"),
            source,
        }),
    }
}
