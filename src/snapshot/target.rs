//! What a route leads to, with names resolved and answers prepared.

use crate::config::location::Location;
use crate::config::mirror;
use crate::config::route as config;
use crate::config::{Config, Name};
use crate::policy::FixedAnswer;
use crate::routing::rewrite::{self, Asked};
use crate::routing::{ServiceId, VersionId};
use http::StatusCode;
use std::collections::HashMap;

/// What becomes of a request of a route.
#[derive(Debug)]
pub enum Target {
    Upstream(ServiceId),
    Fixed(FixedAnswer),
    Redirect(Redirect),
}

/// A redirect, whose `Location` may depend on the request.
#[derive(Debug)]
pub struct Redirect {
    pub status: StatusCode,
    location: Location,
    keep_path: bool,
}

impl Redirect {
    /// Returns the `Location` for a request. `None`: it needs a host, and the request names none.
    pub fn location(&self, asked: Asked<'_>) -> Option<String> {
        rewrite::location(&self.location, self.keep_path, asked)
    }
}

impl Target {
    pub(super) fn build(target: &config::Target, ids: &ServiceIds) -> Self {
        match target {
            config::Target::Service(name) => Self::Upstream(ids.of(name)),
            config::Target::Respond {
                status,
                text,
                content_type,
            } => Self::Fixed(FixedAnswer::new(*status, content_type.clone(), text)),
            config::Target::Redirect {
                status,
                location,
                keep_path,
            } => Self::Redirect(Redirect {
                // The configuration has one of the five statuses of redirects.
                status: StatusCode::from_u16(*status).unwrap_or(StatusCode::PERMANENT_REDIRECT),
                location: location.clone(),
                keep_path: *keep_path,
            }),
        }
    }
}

/// Where copies of requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorTarget {
    pub service: ServiceId,
    /// `None`: that of the request's color, else the default one.
    pub version: Option<VersionId>,
}

impl MirrorTarget {
    pub(super) fn build(mirror: &mirror::Mirror, config: &Config, ids: &ServiceIds) -> Self {
        let version = mirror.version.as_ref().map(|name| {
            let known = config.services.get(&mirror.service);
            let index = known.and_then(|known| known.versions.keys().position(|v| v == name));
            VersionId(index.map_or(u16::MAX, |index| index as u16))
        });
        Self {
            service: ids.of(&mirror.service),
            version,
        }
    }
}

/// The ids of services by their names.
#[derive(Debug)]
pub(super) struct ServiceIds<'c>(HashMap<&'c str, ServiceId>);

impl<'c> ServiceIds<'c> {
    pub fn of_all(config: &'c Config) -> Self {
        let names = config.services.keys().enumerate();
        Self(
            names
                .map(|(index, name)| (name.as_ref(), ServiceId(index as u32)))
                .collect(),
        )
    }

    /// Returns the id of a service. The check has seen that it exists; that of one that does not
    /// leads nowhere.
    fn of(&self, name: &Name) -> ServiceId {
        let id = self.0.get(name.as_ref()).copied();
        id.unwrap_or(ServiceId(u32::MAX))
    }
}
