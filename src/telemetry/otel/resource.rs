//! Who sends: the resource of all spans and metrics.

use super::environment::Environment;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as Message;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The conventions that names of attributes follow.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// One process is one instance, through all its generations.
static INSTANCE: LazyLock<String> = LazyLock::new(|| uuid::Uuid::now_v7().to_string());

/// Attributes by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource(BTreeMap<String, String>);

impl Resource {
    /// `service.name` is `OTEL_SERVICE_NAME`, else what `OTEL_RESOURCE_ATTRIBUTES` says, else the
    /// configuration's.
    pub fn of(service_name: &str, env: &Environment) -> Self {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |key: &str, value: &str| {
            all.insert(key.to_owned(), value.to_owned());
        };
        set("service.name", service_name);
        set("service.version", env!("CARGO_PKG_VERSION"));
        set("service.instance.id", &INSTANCE);
        set("process.pid", &std::process::id().to_string());
        set("telemetry.sdk.name", "tyrian");
        set("telemetry.sdk.language", "rust");
        set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        if let Ok(host) = nix::unistd::gethostname() {
            set("host.name", &host.to_string_lossy());
        }
        let own = env.parsed("OTEL_RESOURCE_ATTRIBUTES", pairs);
        for (key, value) in own.unwrap_or_default() {
            set(&key, &value);
        }
        if let Some(name) = env.text("OTEL_SERVICE_NAME") {
            set("service.name", &name);
        }
        Self(all)
    }

    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub fn message(&self) -> Message {
        let typed = |(key, value): (&String, &String)| match (key.as_str(), value.parse()) {
            ("process.pid", Ok(number)) => attribute(key, Value::IntValue(number)),
            _ => text(key, value),
        };
        Message {
            attributes: self.0.iter().map(typed).collect(),
            ..Message::default()
        }
    }
}

/// An attribute that is text.
pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// What has made spans and metrics.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "tyrian".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// `key=value,key=value`, percent-decoded. One that is wrong makes all of them wrong, as the
/// specification wants it.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text.trim());
        bytes.decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members
        .map(|member| {
            let (key, value) = member.split_once('=')?;
            let key = decoded(key).filter(|key| !key.is_empty())?;
            Some((key, decoded(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Resource, Value, pairs};
    use crate::telemetry::otel::environment::Environment;

    #[test]
    fn the_name_comes_from_its_variable_before_all_others() {
        let name = |variables: &[(&str, &str)]| {
            let get = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let resource = Resource::of("edge", &Environment::new(&get));
            (
                resource.get("service.name").to_owned(),
                resource.get("team").to_owned(),
            )
        };
        let both = |name: &str, team: &str| (name.to_owned(), team.to_owned());
        assert_eq!(name(&[]), both("edge", ""));
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=b%20c");
        assert_eq!(name(&[attributes]), both("a", "b c"));
        let own = ("OTEL_SERVICE_NAME", "d");
        assert_eq!(name(&[attributes, own]), both("d", "b c"));
    }

    #[test]
    fn the_number_of_the_process_is_a_number() {
        let resource = Resource::of("edge", &Environment::new(&|_: &str| None)).message();
        let mut attributes = resource.attributes.iter();
        let pid = attributes.find(|attribute| attribute.key == "process.pid");
        let value = pid.unwrap().value.as_ref().unwrap().value.as_ref();
        assert_eq!(value, Some(&Value::IntValue(std::process::id().into())));
    }

    #[test]
    fn one_wrong_pair_makes_all_wrong() {
        assert_eq!(pairs("a=b, c=d").unwrap().len(), 2);
        assert_eq!(pairs("a=b,c"), None);
        assert_eq!(pairs("=b"), None);
    }
}
