//! Values of verified token claims, by name.

use serde_json::Value;
use smallvec::SmallVec;
use std::borrow::Cow;

/// What a verified token says.
pub type Claims = serde_json::Map<String, Value>;

/// The values of a claim as text. `scope` is a list in one string (RFC 8693, section 4.2); of a
/// list, each element counts; dots lead into objects unless a claim has that very name.
pub fn values<'c>(claims: &'c Claims, name: &str) -> SmallVec<[Cow<'c, str>; 2]> {
    let mut values = SmallVec::new();
    match (find(claims, name), name) {
        (Some(Value::String(list)), "scope" | "scp") => {
            values.extend(
                list.split(' ')
                    .filter(|scope| !scope.is_empty())
                    .map(Cow::Borrowed),
            );
        }
        (Some(Value::Array(list)), _) => values.extend(list.iter().filter_map(text)),
        (Some(value), _) => values.extend(text(value)),
        (None, _) => {}
    }
    values
}

/// The first of the [`values`] of a claim.
pub fn first<'c>(claims: &'c Claims, name: &str) -> Option<Cow<'c, str>> {
    match (find(claims, name)?, name) {
        (Value::String(list), "scope" | "scp") => {
            let mut scopes = list.split(' ').filter(|scope| !scope.is_empty());
            scopes.next().map(Cow::Borrowed)
        }
        (Value::Array(list), _) => list.iter().find_map(text),
        (value, _) => text(value),
    }
}

fn find<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (outer, inner) = name.split_once('.')?;
    find(claims.get(outer)?.as_object()?, inner)
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Claims, first, values};

    #[test]
    fn claims_are_found_wherever_issuers_put_them() {
        let claims: Claims = serde_json::from_str(
            r#"{"sub":"alice","n":7,"ok":true,"group":["beta","staff",1],"scope":"a b  c",
                "realm":{"roles":["admin"]},"https://x.example/plan":"pro","none":null}"#,
        )
        .unwrap();
        for (name, expected) in [
            ("sub", vec!["alice"]),
            ("n", vec!["7"]),
            ("ok", vec!["true"]),
            ("group", vec!["beta", "staff", "1"]),
            ("scope", vec!["a", "b", "c"]),
            ("realm.roles", vec!["admin"]),
            ("https://x.example/plan", vec!["pro"]),
            ("none", vec![]),
            ("realm", vec![]),
            ("missing.too", vec![]),
        ] {
            assert_eq!(
                values(&claims, name).as_slice(),
                expected.as_slice(),
                "{name}"
            );
            assert_eq!(
                first(&claims, name),
                values(&claims, name).into_iter().next()
            );
        }
    }
}
