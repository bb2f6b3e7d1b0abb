//! The schema of the format, with what each plugin takes.

use crate::config;
use serde_json::{Value, json};

/// The whole schema: `config` of a plugin is checked by its `use`.
pub fn schema() -> Value {
    let mut schema = config::schema::schema();
    let plugin = schema.pointer_mut("/properties/plugins/additionalProperties");
    if let Some(Value::Object(plugin)) = plugin {
        let rules = super::known().iter().map(|known| {
            json!({
                "if": { "properties": { "use": { "const": known.name } }, "required": ["use"] },
                "then": { "properties": { "config": (known.schema)() } },
            })
        });
        plugin.insert("allOf".to_owned(), rules.collect());
    }
    schema
}
