//! Plugins: which there are, and instances of those that a configuration uses.
//!
//! What a plugin is, and its life, is told by the crate `tyrian-plugin`; `edge/plugins.rs` runs
//! the hooks.

mod schema;

pub use schema::schema;
pub use tyrian_plugin::{Factory, Instance, Phases};

use crate::config::diagnostic::{Diagnostic, nearest};
use crate::config::plugin::Plugin;
use crate::config::{Config, Name};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The plugins that come with the gateway: the one list of them.
pub const BUNDLED: &[Factory] = &[
    Factory::of::<tyrian_plugin_body_transform::BodyTransform>(),
    Factory::of::<tyrian_plugin_cors::Cors>(),
    Factory::of::<tyrian_plugin_headers::Headers>(),
    Factory::of::<tyrian_plugin_inject_fault::InjectFault>(),
    Factory::of::<tyrian_plugin_ip_filter::IpFilter>(),
    Factory::of::<tyrian_plugin_request_validate::RequestValidate>(),
];

static KNOWN: OnceLock<Vec<Factory>> = OnceLock::new();

/// Adds plugins to the bundled ones; one of the same name takes the place of a bundled one. Once
/// per process, before anything is loaded.
pub fn register(more: &[Factory]) {
    let replaced = |known: &&Factory| !more.iter().any(|new| new.name == known.name);
    let mut all: Vec<Factory> = BUNDLED.iter().filter(replaced).copied().collect();
    all.extend_from_slice(more);
    all.sort_by_key(|factory| factory.name);
    let _ = KNOWN.set(all);
}

/// All plugins, by name.
pub fn known() -> &'static [Factory] {
    KNOWN.get().map_or(BUNDLED, Vec::as_slice)
}

/// Instances of a configuration's plugins, not started yet.
#[derive(Default)]
pub struct Plugins(pub BTreeMap<Name, Made>);

/// An instance and where it comes from.
#[derive(Clone)]
pub struct Made {
    pub factory: Factory,
    pub instance: Arc<dyn Instance>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Plugins {
    /// Makes all instances, and checks the order in which routes list them.
    ///
    /// # Errors
    /// What is wrong, all at once.
    pub fn make(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut made = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, plugin) in &config.plugins {
            match one(name, plugin) {
                Ok(instance) => drop(made.insert(name.clone(), instance)),
                Err(problem) => problems.push(*problem),
            }
        }
        for (name, route) in &config.routes {
            let listed = route
                .plugins
                .iter()
                .map(|plugin| (plugin, made.get(plugin)));
            let listed: Vec<_> = listed
                .filter_map(|(plugin, made)| Some((plugin, made?.factory)))
                .collect();
            for (index, (first, before)) in listed.iter().enumerate() {
                for (second, after) in listed.iter().skip(index + 1) {
                    if before.after.contains(&after.name) || after.before.contains(&before.name) {
                        let message = format!(
                            "route `{name}` lists plugin `{first}` before `{second}`, which must come first"
                        );
                        let diagnostic = Diagnostic::error("TY0304", message);
                        problems.push(diagnostic.at(&route.at.spot(), "in its `plugins`"));
                    }
                }
            }
        }
        match problems.is_empty() {
            true => Ok(Self(made)),
            false => Err(problems),
        }
    }
}

fn one(name: &Name, plugin: &Plugin) -> Result<Made, Box<Diagnostic>> {
    let Some(factory) = known().iter().find(|known| known.name == plugin.uses) else {
        let message = format!(
            "plugin `{name}` uses `{}`, which this gateway has not",
            plugin.uses
        );
        let diagnostic =
            Diagnostic::error("TY0101", message).at(&plugin.at.spot(), "no such plugin");
        let names = || known().iter().map(|known| known.name);
        return Err(Box::new(match nearest(&plugin.uses, names()) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => {
                let names: Vec<&str> = names().collect();
                diagnostic.help(format!("it has: {}", names.join(", ")))
            }
        }));
    };
    let empty = serde_json::json!({});
    let value = match plugin.settings.value.is_null() {
        true => &empty,
        false => &plugin.settings.value,
    };
    let instance = (factory.make)(value).map_err(|bad| {
        let message = format!("plugin `{name}`: {}", bad.message);
        let at = plugin.at.spot();
        let spot = plugin.settings.spot(&bad.path).unwrap_or(&at);
        let diagnostic = Diagnostic::error("TY0203", message).at(spot, "here");
        let help = format!("what it takes: tyrian plugin schema {}", factory.name);
        Box::new(diagnostic.help(help))
    })?;
    Ok(Made {
        factory: *factory,
        instance,
    })
}
