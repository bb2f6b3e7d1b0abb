//! Plugins of all types in one list: for the gateway, not for authors of plugins.

use crate::exchange::{Body, Flow, Log, Request, Response, State};
use crate::{Phases, Plugin};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::Arc;

/// An instance, whatever its type. As [`Plugin`].
#[expect(missing_docs, reason = "the same as in `Plugin`")]
pub trait Instance: Send + Sync {
    fn start(&self);
    fn stop(&self);
    fn early(&self, request: &mut Request, state: &mut State) -> Flow;
    fn request_head(&self, request: &mut Request, state: &mut State) -> Flow;
    fn request_body(&self, body: &mut Body, state: &mut State) -> Flow;
    fn response_head(&self, response: &mut Response, state: &State) -> Flow;
    fn response_body(&self, body: &mut Body, state: &mut State) -> Flow;
    fn log(&self, log: &mut Log, state: &mut State);
}

impl<P: Plugin> Instance for P {
    fn start(&self) {
        Plugin::start(self);
    }

    fn stop(&self) {
        Plugin::stop(self);
    }

    fn early(&self, request: &mut Request, state: &mut State) -> Flow {
        Plugin::early(self, request, state)
    }

    fn request_head(&self, request: &mut Request, state: &mut State) -> Flow {
        Plugin::request_head(self, request, state)
    }

    fn request_body(&self, body: &mut Body, state: &mut State) -> Flow {
        Plugin::request_body(self, body, state)
    }

    fn response_head(&self, response: &mut Response, state: &State) -> Flow {
        Plugin::response_head(self, response, state)
    }

    fn response_body(&self, body: &mut Body, state: &mut State) -> Flow {
        Plugin::response_body(self, body, state)
    }

    fn log(&self, log: &mut Log, state: &mut State) {
        Plugin::log(self, log, state);
    }
}

/// Makes instances of one plugin.
#[derive(Debug, Clone, Copy)]
pub struct Factory {
    pub name: &'static str,
    pub version: &'static str,
    pub about: &'static str,
    pub phases: Phases,
    pub before: &'static [&'static str],
    pub after: &'static [&'static str],
    /// The JSON Schema of its configuration.
    pub schema: fn() -> Value,
    /// Makes an instance of a configuration.
    pub make: fn(&Value) -> Result<Arc<dyn Instance>, BadConfig>,
}

/// Why a configuration is not one of the plugin's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadConfig {
    /// Where, such as `request.set[0]`; empty for the whole.
    pub path: String,
    pub message: String,
}

impl Factory {
    pub const fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            about: P::ABOUT,
            phases: P::PHASES,
            before: P::BEFORE,
            after: P::AFTER,
            schema: schema::<P>,
            make: make::<P>,
        }
    }
}

fn schema<P: Plugin>() -> Value {
    // In one piece, since it becomes a part of another schema.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings
        .into_generator()
        .into_root_schema_for::<P::Config>();
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

fn make<P: Plugin>(config: &Value) -> Result<Arc<dyn Instance>, BadConfig> {
    let config: P::Config = serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        BadConfig {
            path: if path == "." { String::new() } else { path },
            message: error.inner().to_string(),
        }
    })?;
    let made = P::new(config).map_err(|message| BadConfig {
        path: String::new(),
        message,
    })?;
    Ok(Arc::new(made))
}
