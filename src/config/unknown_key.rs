//! Where a key belongs that its table does not have: written right, one level too high, or by
//! another product's name.

use super::diagnostic::{Diagnostic, Spot};
use super::foreign;
use super::shape::{Shape, TableShape};
use toml::de::DeValue;

/// From this likeness on, a key is a misspelt one of the table rather than one of another table.
const MISSPELT: f64 = 0.9;
/// Below this likeness, two names have nothing to do with each other.
const LIKE: f64 = 0.8;

/// Longer paths are left out of a help.
const PATH_SHOWN: usize = 40;

/// A key that its table does not have.
pub struct UnknownKey<'s> {
    /// Dotted path of the table.
    pub table: &'s str,
    pub key: &'s str,
    pub value: &'s DeValue<'s>,
}

impl UnknownKey<'_> {
    /// Adds to a diagnostic what was probably meant.
    pub fn placed(
        &self,
        diagnostic: Diagnostic,
        spot: &Spot,
        known: &[&'static str],
        shape: fn() -> Shape,
    ) -> Diagnostic {
        let like = |name: &&'static str| (strsim::jaro_winkler(self.key, name), *name);
        let best = known
            .iter()
            .map(like)
            .max_by(|one, two| one.0.total_cmp(&two.0));
        let misspelt = best.filter(|(likeness, _)| *likeness > MISSPELT);
        let elsewhere = || self.deeper(&shape()).or_else(|| self.by_another_word());
        if let (None, Some(help)) = (misspelt, elsewhere()) {
            return diagnostic.help(help);
        }
        match best.filter(|(likeness, _)| *likeness > LIKE) {
            Some((_, meant)) => diagnostic
                .help(format!("did you mean `{meant}`?"))
                .patch(spot, meant),
            None => diagnostic.help(format!("known keys: {}", known.join(", "))),
        }
    }

    /// The place of the key in a table that stands in this one.
    fn deeper(&self, shape: &Shape) -> Option<String> {
        let table = table_of(shape)?;
        let places = table
            .keys
            .iter()
            .filter_map(|key| self.within(key.name, &key.shape));
        let places: Vec<String> = places.collect();
        (!places.is_empty()).then(|| format!("`{}` belongs in {}", self.key, places.join(" or ")))
    }

    /// The place of the key in what one key of the table holds.
    fn within(&self, name: &str, shape: &Shape) -> Option<String> {
        let has = |shape: &Shape| {
            let table = table_of(shape);
            table.is_some_and(|table| table.keys.iter().any(|key| key.name == self.key))
        };
        match shape {
            Shape::Map(_, one) if has(one) => {
                let entry = if name == "versions" { "v1" } else { "NAME" };
                Some(format!("`[{}.{name}.{entry}]`", self.table))
            }
            Shape::Any(shapes) => shapes.iter().find_map(|shape| self.within(name, shape)),
            shape if has(shape) => Some(format!("`{name} = {{ {} = {} }}`", self.key, self.text())),
            _ => None,
        }
    }

    /// The value, if it is short and plain.
    fn text(&self) -> String {
        match self.value {
            DeValue::String(text) if self.key == "path" && text.len() < PATH_SHOWN => {
                format!("{text:?}")
            }
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            _ => "…".to_owned(),
        }
    }

    fn by_another_word(&self) -> Option<String> {
        let (section, name) = self.table.split_once('.')?;
        let ours = foreign::key(section, self.key)?;
        (!name.contains('.')).then(|| format!("write `{ours}`"))
    }
}

/// The table that a value may be.
fn table_of(shape: &Shape) -> Option<&TableShape> {
    match shape {
        Shape::Table(table) => Some(table),
        Shape::Any(shapes) => shapes.iter().find_map(table_of),
        _ => None,
    }
}
