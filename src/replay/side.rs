//! One of the two configurations, ready to decide: outcomes are names, told apart by number.

use super::report::{Key, Names};
use crate::config::Config;
use crate::routing::selftest::AllHealthy;
use crate::routing::{ColorId, Outcome as Decided, Table, View};

/// A configuration and its table.
#[derive(Debug)]
pub struct Side<'c> {
    table: &'c Table,
    up: AllHealthy,
    /// By id.
    routes: Vec<u32>,
    colors: Vec<u32>,
    versions: Vec<Vec<u32>>,
}

impl<'c> Side<'c> {
    pub(super) fn new(config: &Config, table: &'c Table, names: &mut Names) -> Self {
        let routes = config.routes.keys().map(|name| names.number(name));
        let routes = routes.collect();
        let colors = config
            .colors
            .keys()
            .map(|name| names.number(name))
            .collect();
        let versions = config.services.iter().map(|(service, known)| {
            let versions = known.versions.keys();
            versions
                .map(|version| names.number(&format!("{service}/{version}")))
                .collect()
        });
        Self {
            table,
            up: AllHealthy::of(config),
            versions: versions.collect(),
            routes,
            colors,
        }
    }

    pub(super) fn color_named(&self, name: &str) -> Option<ColorId> {
        self.table.color_named(name)
    }

    /// What becomes of a request.
    pub(super) fn decide(&self, view: &View, names: &mut Names) -> Key {
        let decision = self.table.decide(view, &self.up);
        let route = decision.route.and_then(|id| self.routes.get(id.0 as usize));
        let color = decision.color.requested;
        let color = color.and_then(|id| self.colors.get(usize::from(id.0)));
        let mut key = Key {
            route: route.copied().unwrap_or(Names::NONE),
            color: color.copied().unwrap_or(Names::NONE),
            ..Key::default()
        };
        match decision.outcome {
            Decided::Upstream { service, version } => {
                let versions = self.versions.get(service.0 as usize);
                let version = versions.and_then(|all| all.get(usize::from(version.0)));
                key.version = version.copied().unwrap_or(Names::NONE);
            }
            Decided::Refuse(reason) => key.refusal = names.number(reason.name()),
            Decided::Respond | Decided::Redirect => {}
        }
        key
    }
}
