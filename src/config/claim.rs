//! What a route claims: the rule of precedence as a value, shared by checks and documentation.
//!
//! `priority` first; then exact host before the longer wildcard before any host; then exact path
//! before parameters before the longer prefix before regular expressions; then more conditions.

use super::matches::{HostMatch, Match, PathMatch, Segment, ValueMatch};
use super::route::Route;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Number of conditions besides host and path; the methods count as one.
pub fn conditions(matches: &Match) -> usize {
    usize::from(!matches.methods.is_empty()) + matches.headers.len() + matches.query.len()
}

/// The same for routes that differ in nothing but conditions: priority, host and shape of path.
pub fn territory(route: &Route) -> u64 {
    let mut hasher = DefaultHasher::new();
    (route.priority, place(&route.matches)).hash(&mut hasher);
    hasher.finish()
}

/// The same for equal hosts and equal shapes of path.
pub fn place(matches: &Match) -> u64 {
    let mut hasher = host(&matches.host);
    match &matches.path {
        PathMatch::Exact(segments) | PathMatch::Template(segments) => {
            shape(0, segments, &mut hasher);
        }
        PathMatch::Prefix(segments) => shape(1, segments, &mut hasher),
        PathMatch::Regex(pattern) => (2, pattern).hash(&mut hasher),
    }
    hasher.finish()
}

/// The places of all prefixes that hold the whole path, on its host and on any host.
pub fn prefixes_above(matches: &Match) -> impl Iterator<Item = u64> {
    let segments: &[Segment] = match &matches.path {
        PathMatch::Exact(segments)
        | PathMatch::Template(segments)
        | PathMatch::Prefix(segments) => segments,
        PathMatch::Regex(_) => &[],
    };
    let hosts = [host(&HostMatch::Any), host(&matches.host)];
    hosts.into_iter().flat_map(move |host| {
        (0..=segments.len()).filter_map(move |length| {
            let mut hasher = host.clone();
            shape(1, segments.get(..length)?, &mut hasher);
            Some(hasher.finish())
        })
    })
}

fn host(host: &HostMatch) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    match host {
        HostMatch::Exact(host) => (0, host.as_str()).hash(&mut hasher),
        HostMatch::Wildcard(host) => (1, host.as_str()).hash(&mut hasher),
        HostMatch::Any => (2, "").hash(&mut hasher),
    }
    hasher
}

/// Parameters are alike whatever their names.
fn shape(kind: u8, segments: &[Segment], hasher: &mut DefaultHasher) {
    (kind, segments.len()).hash(hasher);
    for segment in segments {
        match segment {
            Segment::Literal(text) => (0, text.as_str()).hash(hasher),
            Segment::Parameter(_) => (1, "").hash(hasher),
        }
    }
}

/// Whether no request can meet both, as far as that shows in the conditions.
pub fn exclude_each_other(one: &Match, two: &Match) -> bool {
    let methods = !one.methods.is_empty()
        && !two.methods.is_empty()
        && !one
            .methods
            .iter()
            .any(|method| two.methods.contains(method));
    methods || disjoint(&one.headers, &two.headers) || disjoint(&one.query, &two.query)
}

/// Whether some key is asked for values that have nothing in common.
fn disjoint<K: PartialEq>(one: &[(K, ValueMatch)], two: &[(K, ValueMatch)]) -> bool {
    one.iter().any(|(key, first)| {
        two.iter().any(|(other, second)| {
            key == other
                && match (first, second) {
                    (ValueMatch::OneOf(first), ValueMatch::OneOf(second)) => {
                        !first.iter().any(|value| second.contains(value))
                    }
                    (ValueMatch::Present(first), ValueMatch::Present(second)) => first != second,
                    (ValueMatch::Present(false), _) | (_, ValueMatch::Present(false)) => true,
                    _ => false,
                }
        })
    })
}

/// Whether every request that meets `inner`'s conditions meets `outer`'s too.
pub fn covers(outer: &Match, inner: &Match) -> bool {
    let methods = outer.methods.is_empty()
        || (!inner.methods.is_empty()
            && inner
                .methods
                .iter()
                .all(|method| outer.methods.contains(method)));
    methods
        && outer
            .headers
            .iter()
            .all(|condition| inner.headers.contains(condition))
        && outer
            .query
            .iter()
            .all(|condition| inner.query.contains(condition))
}
