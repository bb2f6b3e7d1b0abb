//! A concrete request that meets conditions: proof of what a lint says, to be put to `explain`.

use crate::config::color::When;
use crate::config::matches::{HostMatch, Match, PathMatch, Segment, ValueMatch};
use std::fmt::Write;

/// A request in the words of `tyrian explain`; `None` where only a regular expression knows.
pub fn of(matches: &Match) -> Option<String> {
    let host = match &matches.host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(suffix) => format!("any.{suffix}"),
        HostMatch::Any => "any.example".to_owned(),
    };
    let path = match &matches.path {
        PathMatch::Exact(segments) | PathMatch::Template(segments) => path(segments),
        PathMatch::Prefix(segments) if segments.is_empty() => "/any".to_owned(),
        PathMatch::Prefix(segments) => path(segments) + "/any",
        PathMatch::Regex(_) => return None,
    };
    let method = matches
        .methods
        .first()
        .map_or("GET", |method| method.as_str());
    let mut query = String::new();
    for (key, value) in &matches.query {
        if let Some(value) = fitting(value)? {
            query.push(if query.is_empty() { '?' } else { '&' });
            let _ = write!(query, "{key}={value}");
        }
    }
    let mut request = format!("'{method} http://{host}{path}{query}'");
    for (name, value) in &matches.headers {
        if let Some(value) = fitting(value)? {
            let _ = write!(request, " -H '{name}: {value}'");
        }
    }
    Some(request)
}

/// Fields and the address of a request that meets a color's rule.
pub fn of_rule(when: &When) -> Option<String> {
    let mut request = String::new();
    for (name, value) in &when.header {
        if let Some(value) = fitting(value)? {
            let _ = write!(request, " -H '{name}: {value}'");
        }
    }
    for (name, value) in &when.cookie {
        if let Some(value) = fitting(value)? {
            let _ = write!(request, " -H 'cookie: {name}={value}'");
        }
    }
    for (claim, value) in &when.jwt {
        if let Some(value) = fitting(value)? {
            let _ = write!(request, " --claim '{claim}={value}'");
        }
    }
    if let Some(network) = when.client.first() {
        let _ = write!(request, " --from {}", network.addr());
    }
    Some(request)
}

fn path(segments: &[Segment]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.push_str(match segment {
            Segment::Literal(text) => text,
            Segment::Parameter(_) => "any",
        });
    }
    match path.is_empty() {
        true => "/".to_owned(),
        false => path,
    }
}

/// A value that fits: `Some(None)` is absence, `None` that it cannot be told.
fn fitting(value: &ValueMatch) -> Option<Option<&str>> {
    match value {
        ValueMatch::OneOf(values) => values.first().map(|value| Some(value.as_str())),
        ValueMatch::Prefix(prefix) => Some(Some(prefix)),
        ValueMatch::Present(true) => Some(Some("any")),
        ValueMatch::Present(false) => Some(None),
        ValueMatch::Regex(_) => None,
    }
}
