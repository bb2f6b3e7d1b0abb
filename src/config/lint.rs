//! What is allowed but probably not meant: warnings, each with a reason.

mod ambiguity;
mod colors;
mod identity;
mod overlaps;
mod policies;
mod witness;

use super::claim;
use super::diagnostic::Diagnostic;
use super::expiry;
use super::matches::PathMatch;
use super::route::{Route, Target};
use super::{Config, Name};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Runs every lint.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    unused_services(config, out);
    shadowed_routes(config, out);
    empty_versions(config, out);
    unreachable_colors(config, out);
    open_admin(config, out);
    wide_trust(config, out);
    nothing_served(config, out);
    colors::all(config, out);
    overlaps::all(config, out);
    ambiguity::all(config, out);
    policies::all(config, out);
    identity::all(config, out);
    expiry::lint(config, now(), out);
}

fn now() -> u64 {
    jiff::Timestamp::now().as_second().max(0) as u64
}

fn unused_services(config: &Config, out: &mut Vec<Diagnostic>) {
    let used: HashSet<&Name> = config
        .routes
        .values()
        .filter_map(|route| match &route.target {
            Target::Service(name) => Some(name),
            Target::Respond { .. } | Target::Redirect { .. } => None,
        })
        .chain(
            config
                .routes
                .values()
                .filter_map(|route| Some(&route.mirror.as_ref()?.service)),
        )
        .collect();
    for (name, service) in &config.services {
        if !used.contains(name) {
            let message = format!("service `{name}` is not used by any route");
            out.push(
                Diagnostic::warning("TY0310", message).at(&service.at.spot(), "never reached"),
            );
        }
    }
}

/// Rivals of a route that are looked at; a warning may be missed, a check must not be slow.
const RIVALS_MAX: usize = 32;

/// By the rules of precedence the narrower route comes first, so only a `priority` can hide one:
/// that of a route in the same place that asks for no more, or of a prefix without conditions.
fn shadowed_routes(config: &Config, out: &mut Vec<Diagnostic>) {
    let mut places: HashMap<u64, Vec<(&Name, &Route)>> = HashMap::new();
    let mut prefixes: HashMap<u64, (&Name, &Route)> = HashMap::new();
    for (name, route) in &config.routes {
        let place = claim::place(&route.matches);
        places.entry(place).or_default().push((name, route));
        let open = claim::conditions(&route.matches) == 0;
        if open && matches!(route.matches.path, PathMatch::Prefix(_)) {
            let first = prefixes.entry(place).or_insert((name, route));
            if route.priority > first.1.priority {
                *first = (name, route);
            }
        }
    }
    for rivals in places.values_mut() {
        // Stable, so that the rival named first in a message does not change from run to run.
        rivals
            .sort_by_key(|(_, rival)| (Reverse(rival.priority), claim::conditions(&rival.matches)));
    }
    for (name, route) in &config.routes {
        let beside = places.get(&claim::place(&route.matches));
        let beside = beside.into_iter().flatten().take(RIVALS_MAX).copied();
        let above = claim::prefixes_above(&route.matches);
        let above = above.filter_map(|place| prefixes.get(&place).copied());
        let by = above.chain(beside).find(|(_, rival)| {
            rival.priority > route.priority
                && rival.expires.is_none()
                && claim::covers(&rival.matches, &route.matches)
        });
        let Some((rival_name, rival)) = by else {
            continue;
        };
        let message = format!("route `{name}` can never match: `{rival_name}` takes all of it");
        let diagnostic = Diagnostic::warning("TY0311", message).at(&route.at.spot(), "unreachable");
        let diagnostic = diagnostic.at(&rival.at.spot(), format!("priority {}", rival.priority));
        out.push(match witness::of(&route.matches) {
            Some(request) => diagnostic.help(format!("see it: tyrian explain {request}")),
            None => diagnostic,
        });
    }
}

fn empty_versions(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, service) in &config.services {
        for (version_name, version) in &service.versions {
            // All of an empty list too.
            let given = version.discover.is_none();
            if given
                && version
                    .endpoints
                    .iter()
                    .all(|endpoint| endpoint.weight == 0)
            {
                let lacks = match version.endpoints.is_empty() {
                    true => "has no endpoints",
                    false => "has no endpoint with a weight above 0",
                };
                let message = format!("version `{version_name}` of service `{name}` {lacks}");
                let diagnostic = Diagnostic::warning("TY0312", message);
                out.push(diagnostic.at(&version.at.spot(), "nothing serves it"));
            }
        }
    }
}

/// A color that nobody may carry and no rule gives. A rule that asks for a claim gives nothing
/// where nobody is asked for a token.
fn unreachable_colors(config: &Config, out: &mut Vec<Diagnostic>) {
    let trusting = config
        .listeners
        .values()
        .any(|listener| !listener.clients.trust.is_empty());
    let carried = trusting && !config.coloring.sources.is_empty();
    for (name, color) in &config.colors {
        let coloring = &config.coloring;
        let signed = !coloring.keys.is_empty() || !coloring.signers.is_empty();
        let known = |claim: &str| {
            let mut routes = config.routes.values();
            routes.any(|route| identity::knows(config, route, claim))
        };
        let mut rules = color.when.iter();
        let given = rules.any(|when| when.jwt.iter().all(|(claim, _)| known(claim)));
        if !given && color.share.is_none() && !carried && !signed {
            let message = format!("no request can have color `{name}`");
            let mut sources = config.coloring.sources.iter();
            let by_header = sources.any(|source| source.header().is_some());
            let help = if !color.when.is_empty() {
                "its rules ask for claims, and no route has an `auth` that would know them"
            } else if by_header && !trusting {
                "colors are believed only from `clients.trust`; trust somebody, or add `when`"
            } else {
                "add `when`"
            };
            let diagnostic = Diagnostic::warning("TY0313", message);
            out.push(
                diagnostic
                    .at(&color.at.spot(), "no rule gives it")
                    .help(help),
            );
        }
    }
}

fn open_admin(config: &Config, out: &mut Vec<Diagnostic>) {
    if let Some(bind) = config.admin.bind.filter(|bind| !bind.ip().is_loopback()) {
        let message = format!("the admin API listens on {bind}, which others can reach");
        let help = "bind it to 127.0.0.1, and let probes use `admin.metrics`";
        out.push(Diagnostic::warning("TY0402", message).help(help));
    }
}

/// Widest network that is not warned about: /8 for IPv4, /7 (all unique local ones) for IPv6.
fn wide_trust(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, listener) in &config.listeners {
        for network in &listener.clients.trust {
            let widest = if network.addr().is_ipv4() { 8 } else { 7 };
            if network.prefix_len() < widest {
                let message = format!("listener `{name}` trusts {network}, which is very wide");
                let help = "whoever is trusted chooses colors and client addresses for others";
                let diagnostic = Diagnostic::warning("TY0403", message);
                out.push(
                    diagnostic
                        .at(&listener.at.spot(), "in `clients.trust`")
                        .help(help),
                );
            }
        }
    }
}

fn nothing_served(config: &Config, out: &mut Vec<Diagnostic>) {
    if config.listeners.is_empty() {
        let message = "no listener is defined, so nobody can connect";
        let help = "add `[listeners.web]` with `bind = \":8080\"`";
        out.push(Diagnostic::warning("TY0314", message).help(help));
    }
    if config.routes.is_empty() {
        let message = "no route is defined, so every request is refused";
        let help = "add `[routes.all]` with `match = { path = \"/*\" }` and a `service`";
        out.push(Diagnostic::warning("TY0315", message).help(help));
    }
}
