//! `[plugins.NAME]`: a plugin, what it takes, and when it runs.

use super::color::When;
use super::diagnostic::Spot;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::shape::Shape;
use super::values::text;
use super::{Name, Place};
use crate::{table, words};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use toml::de::DeValue;

/// A plugin in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    pub uses: String,
    pub settings: Settings,
    pub on_error: OnError,
    pub when: Vec<When>,
    pub budget: Option<Duration>,
    pub at: Place,
}

table! {
    /// A plugin and its configuration. Routes name it in `plugins`.
    pub struct Table {
        /// The plugin's name; `tyrian plugin list` shows all.
        "use" => uses: String = required,
        /// What the plugin takes; `tyrian plugin schema NAME` shows it.
        "config" => settings: Settings = (Settings::default()) "{}",
        /// What becomes of a request when the plugin fails or panics.
        "on_error" => on_error: OnError = (OnError::Refuse) "\"refuse\"",
        /// Requests it runs for: any clause whose conditions all hold. Empty: all of the route's.
        "when" => when: Vec<When> = (Vec::new()) "[]",
        /// Longest time of one call; longer ones are counted. With it every call is timed, without it
        /// one in 17.
        "budget" => budget: Option<Duration> = none,
    }
}

words! {
    /// What becomes of a request when a plugin fails or panics.
    pub enum OnError {
        /// 500 `internal_error`.
        "refuse" => Refuse,
        /// It goes on as if the plugin were not there.
        "skip" => Skip,
    }
}

impl ReadNamed for Plugin {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        Some(Self {
            uses: table.uses,
            settings: table.settings,
            on_error: table.on_error,
            when: table.when,
            budget: table.budget,
            at,
        })
    }
}

/// What a plugin takes: as JSON, with the place of each value.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub value: Value,
    /// By path, such as `request.set[0]`.
    spots: BTreeMap<String, Spot>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Settings {
    /// Where the value of a path is written, or the nearest one that holds it.
    pub fn spot(&self, path: &str) -> Option<&Spot> {
        let mut path = path;
        loop {
            if let Some(spot) = self.spots.get(path) {
                return Some(spot);
            }
            path = path.rfind(['.', '[']).and_then(|at| path.get(..at))?;
        }
    }

    fn take(&mut self, node: &Node, cx: &Cx, path: &str) -> Option<Value> {
        self.spots.insert(path.to_owned(), node.spot());
        let leaf = |text: String| {
            cx.record(node, text, Vec::new());
            Some(())
        };
        Some(match node.value {
            DeValue::String(raw) => text(raw, node, cx)?.into(),
            DeValue::Boolean(value) => {
                leaf(value.to_string())?;
                (*value).into()
            }
            DeValue::Integer(number) => {
                let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
                leaf(number.as_str().to_owned())?;
                value?.into()
            }
            DeValue::Float(number) => {
                let value: Option<f64> = number.as_str().parse().ok();
                leaf(number.as_str().to_owned())?;
                value.and_then(serde_json::Number::from_f64)?.into()
            }
            DeValue::Datetime(moment) => {
                leaf(moment.to_string())?;
                moment.to_string().into()
            }
            DeValue::Array(_) => {
                let elements = node.elements(cx, false);
                let values = elements
                    .iter()
                    .enumerate()
                    .map(|(index, node)| self.take(node, cx, &format!("{path}[{index}]")));
                Value::Array(values.collect::<Option<_>>()?)
            }
            DeValue::Table(_) => {
                let mut object = Map::new();
                for (name, node) in node.table(cx)?.entries() {
                    let name = (*name.get_ref()).to_owned();
                    let path = match path {
                        "" => name.clone(),
                        path => format!("{path}.{name}"),
                    };
                    object.insert(name, self.take(&node, cx, &path)?);
                }
                Value::Object(object)
            }
        })
    }
}

impl Read for Settings {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let mut settings = Self::default();
        settings.value = settings.take(node, cx, "")?;
        Some(settings)
    }

    fn shape() -> Shape {
        Shape::Anything
    }
}
