//! `[limits.NAME]`: how many requests, and whose.

use super::diagnostic::Diagnostic;
use super::entry::{self, EntryName};
use super::policy::Mode;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::rule::{Bounds, Rule};
use super::selector::{LimitKey, Selector, SelectorFor};
use super::shape::Shape;
use super::units::Rate;
use super::{Config, Name, Place, place_of};
use crate::{table, words};

/// Keys that a limit remembers.
const KEYS: Bounds<u32> = Bounds::least(
    1,
    "keys could not be told apart",
    "leave it out for 100_000",
)
.most(10_000_000);
const BURST: Bounds<u32> = Bounds::least(
    1,
    "no request could ever pass",
    "leave it out for the rate's count",
);
const COST: Bounds<u32> = Bounds::least(1, "this would limit nothing", "leave it out for 1");
const IN_FLIGHT: Bounds<u32> = Bounds::least(1, "no request gets in", "leave it out for no limit");

/// A rate limit in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub rate: Rate,
    /// How many at once, at least 1.
    pub burst: u32,
    pub key: Vec<SelectorFor<LimitKey>>,
    pub missing: Missing,
    pub max_keys: u32,
    pub headers: Headers,
    pub mode: Mode,
    pub at: Place,
}

table! {
    /// A rate limit: a bucket per key that refills steadily.
    pub struct Table {
        /// So many per period.
        "rate" => rate: Rate = required,
        /// How many at once.
        "burst" => burst: Option<u32> = none "the rate's count" within BURST,
        /// Whose bucket: a selector, or a list of selectors that count together.
        "key" => key: Vec<SelectorFor<LimitKey>> = (vec![SelectorFor::new(Selector::Ip)]) "\"ip\"",
        /// What becomes of requests that lack a part of the key.
        "missing" => missing: Missing = (Missing::Share) "\"share\"",
        /// Most buckets that are remembered; idle ones go first. Newcomers beyond share buckets.
        "max_keys" => max_keys: u32 = (100_000) "100_000" within KEYS,
        /// When `RateLimit` and `RateLimit-Policy` are sent.
        "headers" => headers: Headers = (Headers::Refusals) "\"refusals\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

impl ReadNamed for Limit {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let burst = table.burst.unwrap_or(table.rate.count);
        let problem = if table.key.is_empty() {
            Some(format!("limit `{name}` has an empty key"))
        } else if u128::from(table.rate.count) > table.rate.per.as_nanos() {
            Some(format!("limit `{name}` is faster than one per nanosecond"))
        } else {
            None
        };
        if let Some(message) = problem {
            cx.report(Diagnostic::error("TY0304", message).at(&node.spot(), "this cannot work"));
            return None;
        }
        Some(Self {
            rate: table.rate,
            burst,
            key: table.key,
            missing: table.missing,
            max_keys: table.max_keys,
            headers: table.headers,
            mode: table.mode,
            at,
        })
    }
}

words! {
    /// What becomes of requests that lack a part of the key.
    pub enum Missing {
        /// They share one bucket.
        "share" => Share,
        /// They pass.
        "pass" => Pass,
        /// They are refused.
        "refuse" => Refuse,
    }
}

words! {
    /// When `RateLimit` and `RateLimit-Policy` are sent.
    pub enum Headers {
        /// With refusals.
        "refusals" => Refusals,
        /// With every answer.
        "always" => Always,
        /// Never; refusals keep their `Retry-After`.
        "never" => Never,
    }
}

/// Most requests in flight: `1024`, or `{ max = 1024, queue = 100, wait = "50ms" }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightCap {
    pub max: u32,
    /// Requests that may wait for a place.
    pub queue: u32,
    /// Longest wait for a place.
    pub wait: std::time::Duration,
}

table! {
    /// Most requests in flight, and who may wait for a place.
    pub struct InFlightTable {
        /// Most requests in flight.
        "max" => max: u32 = required within IN_FLIGHT,
        /// Requests that may wait for a place.
        "queue" => queue: u32 = (0) "0",
        /// Longest wait for a place.
        "wait" => wait: std::time::Duration = (std::time::Duration::from_millis(100)) "\"100ms\"",
    }
}

impl Read for InFlightCap {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let cap = if node.value.is_table() {
            let table = InFlightTable::read(node, cx)?;
            Self {
                max: table.max,
                queue: table.queue,
                wait: table.wait,
            }
        } else {
            let node = &node.clone().within(Rule::<u32>::limits(&IN_FLIGHT));
            let max = u32::read(node, cx).filter(|max| IN_FLIGHT.holds(max, node, cx))?;
            Self {
                max,
                queue: 0,
                wait: std::time::Duration::ZERO,
            }
        };
        Some(cap)
    }

    fn shape() -> Shape {
        let number = Rule::<u32>::narrow(&IN_FLIGHT, u32::shape());
        Shape::Any(vec![number, InFlightTable::shape()])
    }
}

/// A limit of a route, by name or with what a request costs.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitUse {
    pub name: Name,
    /// Tokens that one request takes, at least 1.
    pub cost: u32,
    pub at: Place,
}

table! {
    /// A limit and what a request of this route costs it.
    pub struct LimitUseTable {
        /// The limit.
        "name" => name: EntryName<entry::Limit> = required,
        /// Tokens that one request takes.
        "cost" => cost: u32 = (1) "1" within COST,
    }
}

impl Read for LimitUse {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let (name, cost) = if node.value.is_str() {
            let name = EntryName::<entry::Limit>::read(node, cx)?;
            (name.0, 1)
        } else {
            let table = LimitUseTable::read(node, cx)?;
            (table.name.0, table.cost)
        };
        Some(Self {
            name: name.into(),
            cost,
            at: place_of(node),
        })
    }

    fn shape() -> Shape {
        Shape::Any(vec![
            EntryName::<entry::Limit>::shape(),
            LimitUseTable::shape(),
        ])
    }
}

/// A request that costs more than a bucket can hold never passes.
pub fn check(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        for used in &route.limits {
            let limit = config.limits.get(&used.name);
            let Some(limit) = limit.filter(|limit| used.cost > limit.burst) else {
                continue;
            };
            let message = format!(
                "a request of route `{name}` costs limit `{}` more than it ever has",
                used.name
            );
            let diagnostic = Diagnostic::error("TY0304", message)
                .at(&used.at.spot(), format!("takes {}", used.cost))
                .at(&limit.at.spot(), format!("holds {}", limit.burst));
            let help = format!(
                "no request could pass: raise `burst` to {} at least",
                used.cost
            );
            out.push(diagnostic.help(help));
        }
    }
}
