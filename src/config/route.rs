//! `[routes.NAME]`: which requests, and what becomes of them.

use super::service::Timeouts;
use super::units::Bytes;
use super::{Name, Place};
use http::{HeaderName, Method};

#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub matches: Match,
    /// Higher first; default 0.
    pub priority: i32,
    pub target: Target,
    pub rewrite: Rewrite,
    /// Largest request body; `None`: no limit (bodies are streamed).
    pub body_max: Option<Bytes>,
    pub timeouts: Timeouts,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Service(Name),
    Respond {
        status: u16,
        text: String,
        content_type: String,
    },
    /// `Location` is `location` as written; with `keep_path` the request's path and query follow it.
    Redirect {
        status: u16,
        location: String,
        keep_path: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub host: HostMatch,
    pub path: PathMatch,
    /// Empty: any method.
    pub methods: Vec<Method>,
    pub headers: Vec<(HeaderName, ValueMatch)>,
    pub query: Vec<(String, ValueMatch)>,
}

/// Lower case, no port, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostMatch {
    Exact(String),
    /// `*.example.com`: one or more labels before `.example.com`; holds `example.com`.
    Wildcard(String),
    Any,
}

/// A path as matched: normalised, percent-decoded where that is safe.
#[derive(Debug, Clone, PartialEq)]
pub enum PathMatch {
    /// `/a/b`
    Exact(Vec<Segment>),
    /// `/a/{id}/b`: at least one parameter.
    Template(Vec<Segment>),
    /// `/a/*`: the segments before `*` (which may hold parameters); `/*` has none and matches all.
    Prefix(Vec<Segment>),
    /// `{ regex = "…" }`, anchored at both ends.
    Regex(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    Literal(String),
    /// `{name}`: exactly one non-empty segment.
    Parameter(String),
}

/// One condition on a header, cookie or query value. A header with several values matches when
/// any of them does.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueMatch {
    /// One of these, exactly.
    OneOf(Vec<String>),
    Prefix(String),
    /// Anchored at both ends.
    Regex(String),
    Present(bool),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rewrite {
    /// Segments taken off the front (a whole prefix of the matched path).
    pub strip_prefix: Option<String>,
    /// Replaces the literal prefix of the route's path.
    pub replace_prefix: Option<String>,
    /// The `Host` the upstream sees; `None`: the client's.
    pub host: Option<String>,
}
