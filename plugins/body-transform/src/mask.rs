//! What is done to a value: which of its fields stay, go, are hidden, or are set.

use crate::Changes;
use std::collections::BTreeMap;
use tyrian_plugin::serde_json::{Map, Value};

/// Every field of an object, every element of a list.
const ANY: &str = "*";
/// What stands for a hidden value.
const HIDDEN: &str = "***";

type Path = Vec<String>;

/// Changes, ready to be applied.
#[derive(Debug)]
pub struct Mask {
    keep: Option<Tree>,
    remove: Vec<Path>,
    mask: Vec<Path>,
    set: Vec<(Path, Value)>,
}

/// Paths that stay, by their first name. One without names below it stays as it is.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Tree>);

impl Mask {
    /// `None`: nothing is changed.
    pub fn new(changes: &Changes) -> Result<Option<Self>, String> {
        let keep = paths(&changes.keep)?;
        let set = changes.set.iter().map(|(text, value)| {
            let path = path(text)?;
            match path.iter().any(|name| name == ANY) {
                true => Err(format!("`set` cannot say which of `{text}`")),
                false => Ok((path, value.clone())),
            }
        });
        let mask = Self {
            keep: (!keep.is_empty()).then(|| Tree::of(&keep)),
            remove: paths(&changes.remove)?,
            mask: paths(&changes.mask)?,
            set: set.collect::<Result<_, String>>()?,
        };
        let nothing = mask.keep.is_none()
            && mask.remove.is_empty()
            && mask.mask.is_empty()
            && mask.set.is_empty();
        Ok((!nothing).then_some(mask))
    }

    pub fn apply(&self, value: &mut Value) {
        if let Some(keep) = &self.keep {
            keep.prune(value);
        }
        for path in &self.remove {
            remove(value, path);
        }
        for path in &self.mask {
            each(value, path, &mut |value| *value = HIDDEN.into());
        }
        for (path, new) in &self.set {
            set(value, path, new);
        }
    }
}

fn paths(texts: &[String]) -> Result<Vec<Path>, String> {
    texts.iter().map(|text| path(text)).collect()
}

fn path(text: &str) -> Result<Path, String> {
    let names: Path = text.split('.').map(ToOwned::to_owned).collect();
    match names.iter().any(String::is_empty) {
        true => Err(format!("`{text}` is no path, such as `user.email`")),
        false => Ok(names),
    }
}

impl Tree {
    fn of(paths: &[Path]) -> Self {
        let mut tree = Self::default();
        for path in paths {
            tree.add(path);
        }
        tree
    }

    fn add(&mut self, path: &[String]) {
        if let Some((first, rest)) = path.split_first() {
            let known = self.0.contains_key(first);
            let below = self.0.entry(first.clone()).or_default();
            // Who keeps the whole keeps its parts.
            let whole = known && below.0.is_empty();
            match rest {
                [] => below.0.clear(),
                rest if !whole => below.add(rest),
                _ => {}
            }
        }
    }

    /// Returns whether the value itself stays: a path that leads into it finds something to lead to.
    fn prune(&self, value: &mut Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| {
                    let below = self.0.get(name).or_else(|| self.0.get(ANY));
                    below.is_some_and(|below| below.prune(value))
                });
                true
            }
            Value::Array(elements) => {
                elements
                    .retain_mut(|value| self.0.get(ANY).is_some_and(|below| below.prune(value)));
                true
            }
            _ => false,
        }
    }
}

/// Does something to every value of a path.
fn each(value: &mut Value, path: &[String], act: &mut dyn FnMut(&mut Value)) {
    let Some((first, rest)) = path.split_first() else {
        return act(value);
    };
    match value {
        Value::Object(fields) if first == ANY => {
            for value in fields.values_mut() {
                each(value, rest, act);
            }
        }
        Value::Object(fields) => {
            if let Some(value) = fields.get_mut(first) {
                each(value, rest, act);
            }
        }
        Value::Array(elements) if first == ANY => {
            for value in elements {
                each(value, rest, act);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    each(value, above, &mut |value| match value {
        Value::Object(fields) if last == ANY => fields.clear(),
        Value::Object(fields) => drop(fields.remove(last)),
        Value::Array(elements) if last == ANY => elements.clear(),
        _ => {}
    });
}

/// Sets a value where there are objects on the way, or nothing.
fn set(value: &mut Value, path: &[String], new: &Value) {
    let (Value::Object(fields), Some((first, rest))) = (value, path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        fields.insert(first.clone(), new.clone());
    } else {
        let below = fields.entry(first.clone());
        set(below.or_insert_with(|| Map::new().into()), rest, new);
    }
}

#[cfg(test)]
mod tests {
    use super::Mask;
    use crate::Changes;
    use tyrian_plugin::serde_json::{Value, from_value, json};

    fn changed(changes: Value, mut value: Value) -> Value {
        let changes: Changes = from_value(changes).unwrap();
        Mask::new(&changes).unwrap().unwrap().apply(&mut value);
        value
    }

    #[test]
    fn fields_go_at_any_depth() {
        let value = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "l": [{ "x": 1, "y": 2 }, 7] });
        let changes = json!({ "remove": ["a", "b.c", "l.*.x", "not.there", "a.b"] });
        let left = json!({ "b": { "d": 3 }, "l": [{ "y": 2 }, 7] });
        assert_eq!(changed(changes, value.clone()), left);
        let all = json!({ "remove": ["b.*", "l.*"] });
        assert_eq!(changed(all, value), json!({ "a": 1, "b": {}, "l": [] }));
    }

    #[test]
    fn what_is_hidden_is_hidden_whatever_it_is() {
        let value =
            json!({ "token": { "deep": 1 }, "cards": [{ "no": "4111" }, { "no": 7, "of": "a" }] });
        let changes = json!({ "mask": ["token", "cards.*.no", "none"] });
        let hidden =
            json!({ "token": "***", "cards": [{ "no": "***" }, { "no": "***", "of": "a" }] });
        assert_eq!(changed(changes, value), hidden);
    }

    #[test]
    fn only_what_is_kept_stays() {
        let value = json!({
            "id": 1, "user": { "name": "a", "mail": "b" }, "items": [{ "n": 1, "p": 2 }, 3], "log": [1],
        });
        let changes = json!({ "keep": ["id", "user.name", "items.*.n", "log.first"] });
        let left = json!({ "id": 1, "user": { "name": "a" }, "items": [{ "n": 1 }], "log": [] });
        assert_eq!(changed(changes, value.clone()), left);
        // A path into something that has no inside finds nothing.
        assert_eq!(
            changed(json!({ "keep": ["id.x"] }), value.clone()),
            json!({})
        );
        let both = json!({ "keep": ["user.name", "user"] });
        assert_eq!(
            changed(both, value),
            json!({ "user": { "name": "a", "mail": "b" } })
        );
    }

    #[test]
    fn values_are_set_and_ways_are_made() {
        let changes = json!({ "set": { "a.b": 1, "c": [2], "d.e": 3 } });
        let left = json!({ "a": { "b": 1 }, "c": [2], "d": "text" });
        assert_eq!(changed(changes.clone(), json!({ "d": "text" })), left);
        assert_eq!(changed(changes, json!([1])), json!([1]));
    }
}
