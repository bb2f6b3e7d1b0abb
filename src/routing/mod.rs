//! Which route, color and version a request gets: pure functions over an immutable table.
//!
//! Not here: sockets, upstream health (asked through [`Availability`]), metrics.

pub mod ambiguity;
pub mod carried;
pub mod claims;
pub mod client_fields;
mod coloring;
pub mod conditions;
mod cursor;
mod decide;
pub mod explain;
mod fallback;
pub mod host;
pub mod inputs;
mod literals;
mod matcher;
pub mod path;
pub mod rewrite;
pub mod selector;
pub mod selftest;
pub mod shares;
pub mod signed;
mod table;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use coloring::Carried;
pub use fallback::Fallbacks;
pub use table::{InvalidRegex, Table};

use crate::reason::Reason;
use http::{HeaderMap, Method};
use std::net::IpAddr;

/// The first value of a key in a query, decoded.
pub fn query_value<'q>(query: &'q str, key: &str) -> Option<std::borrow::Cow<'q, [u8]>> {
    conditions::query_values(query, key).next()
}

/// Index into `Config::routes` in name order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);
/// Index into `Config::services` in name order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);
/// Index into one service's `versions` in name order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(pub u16);
/// Index into `Config::colors` in name order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColorId(pub u16);

/// What a decision may look at. Host and path are normalised already.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub method: &'a Method,
    /// Lower case, without port or trailing dot; empty when the request has none (HTTP/1.0).
    pub host: &'a str,
    pub path: &'a str,
    /// Without `?`; empty when there is none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
    /// Whether the peer is in the listener's `clients.trust`.
    pub trusted: bool,
    /// What a verified token says. Believed from anyone: its issuer has signed it.
    pub claims: Option<&'a claims::Claims>,
    /// The color that a sound signature brings.
    pub vouched: Option<ColorId>,
    /// The user's bucket, where a test states it in place of the one that its key gives.
    pub bucket: Option<u16>,
}

/// What is known of upstream health at this moment.
pub trait Availability {
    /// Whether the version has at least one endpoint that may be tried.
    fn available(&self, service: ServiceId, version: VersionId) -> bool;

    /// Whether the version has endpoints at all.
    fn exists(&self, service: ServiceId, version: VersionId) -> bool;

    /// Whether the version's breaker is open, and would refuse.
    fn broken(&self, _: ServiceId, _: VersionId) -> bool {
        false
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// `None` with [`Outcome::Refuse`] only.
    pub route: Option<RouteId>,
    pub color: ColorChoice,
    pub outcome: Outcome,
}

/// The color a request asked for or was given, and the one it is served as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColorChoice {
    pub requested: Option<ColorId>,
    pub served: Option<ColorId>,
    /// Set when the two differ.
    pub reason: Option<FallbackReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackReason {
    /// The color's version has no endpoints at all.
    Missing,
    /// None of its endpoints is healthy.
    Unhealthy,
    /// Its breaker is open.
    Breaker,
    /// The color is past its end.
    Expired,
}

impl FallbackReason {
    /// The word in logs and in `explain`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unhealthy => "unhealthy",
            Self::Breaker => "breaker",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    Upstream {
        service: ServiceId,
        version: VersionId,
    },
    Respond,
    Redirect,
    Refuse(Reason),
}
