//! `[coloring]` and `[colors.NAME]`: which color a request has, and which versions it meets.

use super::route::ValueMatch;
use super::{Name, Place};
use http::HeaderName;
use ipnet::IpNet;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub struct Coloring {
    /// Carries the color on the wire. Default `x-tyrian-color`.
    pub header: HeaderName,
    /// Where a carried color is read, the first present one wins. Default: `header`.
    pub sources: Vec<Source>,
    pub unknown: Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The header named by `coloring.header`.
    Header,
    /// `cookie:NAME`
    Cookie(String),
    /// `baggage:KEY`, a member of the W3C `baggage` header.
    Baggage(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    Default,
    Reject,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Color {
    /// Any of these gives the color; within one, all conditions must hold.
    pub when: Vec<When>,
    /// Service to version; a service not named here serves its default.
    pub versions: BTreeMap<Name, Name>,
    pub fallback: Fallback,
    /// `#rrggbb`, for the dashboard.
    pub hex: Option<String>,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    pub header: Vec<(HeaderName, ValueMatch)>,
    pub cookie: Vec<(String, ValueMatch)>,
    pub client: Vec<IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    Default,
    Fail,
}
