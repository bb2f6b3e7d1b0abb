//! The JSON Schema of the format (draft-07, which TOML editors know), made from its shape.

use super::root;
use super::shape::{KeyShape, Shape, TableShape};
use serde_json::{Map, Value, json};

/// The whole schema, with everything in place.
pub fn schema() -> Value {
    let mut schema = table(&root::whole::shape());
    if let Some(object) = schema.as_object_mut() {
        object.insert(
            "$schema".into(),
            "http://json-schema.org/draft-07/schema#".into(),
        );
        object.insert("title".into(), "tyrian.toml".into());
    }
    schema
}

fn table(table: &TableShape) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = table
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": table.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some(object) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        object.insert("required".into(), json!(required));
    }
    schema
}

fn property(key: &KeyShape) -> Value {
    let mut schema = value(&key.shape);
    let Some(object) = schema.as_object_mut() else {
        return schema;
    };
    let mut about = key.about.clone();
    if let Some(default) = key.default {
        about = format!("{about} Default: {default}.");
    }
    object.insert("description".into(), about.into());
    schema
}

fn value(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Text(_, "") => json!({ "type": "string" }),
        Shape::Text(_, pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Words(words) => json!({ "type": "string", "enum": words }),
        Shape::List(one, true) => {
            let one = value(one);
            json!({ "anyOf": [{ "type": "array", "items": one }, one] })
        }
        Shape::List(one, false) => json!({ "type": "array", "items": value(one) }),
        Shape::Map(_, one) => json!({ "type": "object", "additionalProperties": value(one) }),
        Shape::Table(shape) => table(shape),
        Shape::Any(shapes) => json!({ "anyOf": shapes.iter().map(value).collect::<Vec<_>>() }),
        Shape::Anything => json!({}),
    }
}
