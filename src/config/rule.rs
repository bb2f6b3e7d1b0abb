//! What a written value must be beyond its type. A rule stands beside its key in a `table!`
//! (`within RULE`): asked about what was written there, told in the schema and the reference.

use super::diagnostic::Diagnostic;
use super::reader::{Cx, Node};
use super::shape::Shape;
use std::time::Duration;

/// What a value must be.
pub trait Rule<T> {
    /// Whether a value may be so; says in its place what is wrong with it.
    fn holds(&self, value: &T, node: &Node, cx: &Cx) -> bool;

    /// What the reference says of it.
    fn words(&self) -> Option<String> {
        None
    }

    /// What the schema says of it.
    fn narrow(&self, shape: Shape) -> Shape {
        shape
    }

    /// The bounds of whole numbers, for a message about one that does not even fit the type.
    fn limits(&self) -> Option<Limits> {
        None
    }
}

impl<T, R: Rule<T>> Rule<Option<T>> for R {
    fn holds(&self, value: &Option<T>, node: &Node, cx: &Cx) -> bool {
        let held = value.as_ref();
        held.is_none_or(|value| Rule::<T>::holds(self, value, node, cx))
    }

    fn words(&self) -> Option<String> {
        Rule::<T>::words(self)
    }

    fn narrow(&self, shape: Shape) -> Shape {
        Rule::<T>::narrow(self, shape)
    }

    fn limits(&self) -> Option<Limits> {
        Rule::<T>::limits(self)
    }
}

/// Each element, in its own place; of a map, each value.
impl<T, R: Rule<T>> Rule<Vec<T>> for R {
    fn holds(&self, values: &Vec<T>, node: &Node, cx: &Cx) -> bool {
        let places: Vec<Node> = match node.value.is_table() {
            true => {
                let entries = node.table(cx).map(|table| table.entries());
                let entries = entries.into_iter().flatten();
                entries.map(|(_, node)| node).collect()
            }
            false => node.elements(cx, true),
        };
        let held = values.iter().zip(&places);
        // All are looked at, so that all are told.
        let broken = held.filter(|(value, node)| !Rule::<T>::holds(self, *value, node, cx));
        broken.count() == 0
    }

    fn narrow(&self, shape: Shape) -> Shape {
        match shape {
            Shape::List(one, lenient) => {
                Shape::List(Box::new(Rule::<T>::narrow(self, *one)), lenient)
            }
            other => other,
        }
    }

    fn limits(&self) -> Option<Limits> {
        Rule::<T>::limits(self)
    }
}

impl<K, T, R: Rule<T>> Rule<(K, T)> for R {
    fn holds(&self, (_, value): &(K, T), node: &Node, cx: &Cx) -> bool {
        Rule::<T>::holds(self, value, node, cx)
    }

    fn limits(&self) -> Option<Limits> {
        Rule::<T>::limits(self)
    }
}

/// At least so much, and perhaps at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<T> {
    least: T,
    most: Option<T>,
    why: &'static str,
    help: &'static str,
}

impl<T: Copy> Bounds<T> {
    /// At least so much: less would be senseless for this reason, and this helps.
    pub const fn least(least: T, why: &'static str, help: &'static str) -> Self {
        Self {
            least,
            most: None,
            why,
            help,
        }
    }

    /// And no more than this.
    #[must_use]
    pub const fn most(self, most: T) -> Self {
        Self {
            most: Some(most),
            ..self
        }
    }
}

/// Bounds of whole numbers, of whatever type.
pub type Limits = Bounds<i64>;

impl Limits {
    /// Says that a number is out of the bounds of its key. `type_most`: the largest one of its
    /// type, for a key that has no other upper bound.
    pub fn report_beyond(self, type_most: i64, too_small: bool, node: &Node, cx: &Cx) {
        let most = self.most.or((!too_small).then_some(type_most));
        Self { most, ..self }.report(node, cx, |number| number.to_string());
    }
}

impl<T: Copy> Bounds<T> {
    /// Says that a value is out of bounds.
    fn report(&self, node: &Node, cx: &Cx, written: impl Fn(T) -> String) {
        let key = node.key();
        // An element of a list is called by the list.
        let key = key.split('[').next().unwrap_or(key);
        let least = written(self.least);
        let bounds = match self.most {
            None => format!("at least {least}"),
            Some(most) => format!("between {least} and {}", written(most)),
        };
        let message = format!("`{key}` must be {bounds}");
        let diagnostic = Diagnostic::error("TY0203", message).at(&node.spot(), self.why);
        cx.report(diagnostic.help(self.help));
    }
}

/// A quantity as it is written in a file.
pub trait Quantity: Copy + PartialOrd {
    fn written(self) -> String;

    /// As a whole number, where it is one.
    fn number(self) -> Option<i64> {
        None
    }
}

impl Quantity for Duration {
    fn written(self) -> String {
        format!("{self:?}")
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Quantity for $type {
            fn written(self) -> String {
                self.to_string()
            }

            fn number(self) -> Option<i64> {
                Some(self.into())
            }
        }
    )*};
}

numbers! { u8 u16 u32 }

impl<T: Quantity> Rule<T> for Bounds<T> {
    fn holds(&self, value: &T, node: &Node, cx: &Cx) -> bool {
        let holds = *value >= self.least && self.most.is_none_or(|most| *value <= most);
        if !holds {
            self.report(node, cx, T::written);
        }
        holds
    }

    /// Whole numbers have their bounds in their shape.
    fn words(&self) -> Option<String> {
        let least = self.least.number().is_none().then_some(self.least)?;
        Some(match self.most {
            None => format!("At least {}.", least.written()),
            Some(most) => format!("{} to {}.", least.written(), most.written()),
        })
    }

    fn narrow(&self, shape: Shape) -> Shape {
        match shape {
            Shape::Integer(least, most) => {
                let ours = self.most.and_then(Quantity::number);
                let least = self.least.number().unwrap_or(least);
                Shape::Integer(least, ours.unwrap_or(most))
            }
            other => other,
        }
    }

    fn limits(&self) -> Option<Limits> {
        Some(Bounds {
            least: self.least.number()?,
            most: self.most.and_then(Quantity::number),
            why: self.why,
            help: self.help,
        })
    }
}

/// The parts of a table must go together: for tables that say by themselves what that means.
#[derive(Debug, Clone, Copy)]
pub struct Together;

/// A table whose parts must go together.
pub trait Coherent {
    /// Which key is wrong, why, and what helps.
    fn incoherence(&self, node: &Node, cx: &Cx) -> Option<Incoherence>;
}

/// A key that does not go with the others.
#[derive(Debug)]
pub struct Incoherence {
    pub key: &'static str,
    pub message: String,
    pub label: &'static str,
    pub help: &'static str,
}

impl<T: Coherent> Rule<T> for Together {
    fn holds(&self, value: &T, node: &Node, cx: &Cx) -> bool {
        let Some(wrong) = value.incoherence(node, cx) else {
            return true;
        };
        let place = node.table(cx).and_then(|mut table| table.get(wrong.key));
        let spot = place.map_or_else(|| node.spot(), |place| place.spot());
        let diagnostic = Diagnostic::error("TY0203", wrong.message).at(&spot, wrong.label);
        cx.report(diagnostic.help(wrong.help));
        false
    }
}
