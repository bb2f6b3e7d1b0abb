//! Pairs of routes between which another parser's reading of a path makes a difference: a prefix,
//! and a narrower route within it that has other policies.

use crate::config::diagnostic::Diagnostic;
use crate::config::matches::PathMatch;
use crate::config::route::{AmbiguousPaths, Route, Target};
use crate::config::{Config, Name, claim};
use std::collections::HashMap;

/// Most notes in one check; the rest is counted in the last one.
const NOTES_MAX: usize = 10;

/// Notes each pair, at most [`NOTES_MAX`].
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    let mut prefixes: HashMap<u64, (&Name, &Route)> = HashMap::new();
    for (name, route) in &config.routes {
        let sends_on = matches!(route.target, Target::Service(_));
        let setting = route
            .ambiguous_paths
            .unwrap_or(config.server.ambiguous_paths);
        if sends_on
            && setting == AmbiguousPaths::Refuse
            && matches!(route.matches.path, PathMatch::Prefix(_))
        {
            let place = claim::place(&route.matches);
            prefixes.entry(place).or_insert((name, route));
        }
    }
    let pairs = config.routes.iter().filter_map(|(name, inner)| {
        let policies = inner.policies();
        let own = claim::place(&inner.matches);
        let (outer_name, outer) = claim::prefixes_above(&inner.matches)
            .filter(|place| *place != own)
            .filter_map(|place| prefixes.get(&place))
            .find(|(_, outer)| {
                outer.policies() != policies
                    && !claim::exclude_each_other(&outer.matches, &inner.matches)
            })?;
        Some((name, inner, *outer_name, *outer))
    });
    let mut pairs = pairs.peekable();
    for (name, inner, outer_name, outer) in pairs.by_ref().take(NOTES_MAX) {
        let message = format!(
            "a path of `{outer_name}` may be one of `{name}` to another parser, and their \
             policies differ: such requests are refused"
        );
        let note = Diagnostic::note("TY0336", message)
            .at(&inner.at.spot(), "such as its path with `%2F` for a slash")
            .at(&outer.at.spot(), "the route that it takes as it stands");
        let help = "if the service reads paths as the gateway does: `ambiguous_paths = \"allow\"`";
        out.push(note.help(help));
    }
    let more = pairs.count();
    if more > 0 {
        let message = format!("{more} more pairs of routes have such paths");
        out.push(Diagnostic::note("TY0336", message));
    }
}
