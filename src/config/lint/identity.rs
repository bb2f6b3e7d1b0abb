//! Who tells what about clients, and what goes by it: claims that nobody tells, headers that no
//! client can send, providers that are never asked.

use super::policies::shown;
use crate::config::diagnostic::Diagnostic;
use crate::config::reserved;
use crate::config::route::{Route, Target};
use crate::config::selector::{HashKey, SelectorFor, ShareKey};
use crate::config::service::{Balance, Service};
use crate::config::{Config, Name, Place};
use http::HeaderName;

/// Runs every lint about who is asked, and what is gone by.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    unreachable_claims(config, out);
    claims_of_nobody(config, out);
    headers_taken_off(config, out);
    never_asked(config, out);
}

/// A limit by claim on a route that knows nobody puts all requests into one bucket.
fn unreachable_claims(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let unknown = |claim: &str| !knows(config, route, claim);
        let mut limits = route.limits.iter();
        let by_claim = limits.find_map(|used| {
            let limit = config.limits.get(&used.name)?;
            let mut claims = limit.key.iter().filter_map(|part| part.claim());
            claims.any(unknown).then_some((used, limit))
        });
        let Some((used, limit)) = by_claim else {
            continue;
        };
        let limited = &used.name;
        let message = match route.auth {
            None => format!(
                "limit `{limited}` goes by a claim, but route `{name}` asks nobody for a token"
            ),
            Some(_) => format!(
                "limit `{limited}` goes by a claim, which whoever route `{name}` asks does not tell"
            ),
        };
        let diagnostic = Diagnostic::warning("TY0321", message)
            .at(&route.at.spot(), "all requests lack the claim")
            .at(&limit.at.spot(), "goes by a claim");
        out.push(shown(diagnostic, route, "share one bucket"));
    }
}

/// Whether a route may know a claim: tokens have any, keys say whose they are, and a service that
/// is asked tells none.
pub(super) fn knows(config: &Config, route: &Route, claim: &str) -> bool {
    let providers = route.auth.iter().flat_map(|auth| &auth.providers);
    providers.into_iter().any(|name| {
        config.jwt.contains_key(name) || (config.api_keys.contains_key(name) && claim == "sub")
    })
}

/// Shares, hashes and plugins by a claim that none of their requests has.
fn claims_of_nobody(config: &Config, out: &mut Vec<Diagnostic>) {
    let mut told = |claims: &[&str], routes: &[&Route], what: &str, at: &Place, instead: &str| {
        let knows = |claim: &str| routes.iter().any(|route| knows(config, route, claim));
        let Some(claim) = claims.iter().find(|claim| !knows(claim)) else {
            return;
        };
        let message = format!("{what} goes by claim `{claim}`, and nobody who is asked tells it");
        let diagnostic = Diagnostic::warning("TY0321", message).at(&at.spot(), instead);
        out.push(diagnostic.help("add `auth` to the routes that it is for"));
    };
    let all: Vec<&Route> = config.routes.values().collect();
    for (name, color) in &config.colors {
        let sticky = color.share.iter().flat_map(|share| &share.sticky);
        let what = format!("the share of color `{name}`");
        told(&by_claim(sticky), &all, &what, &color.at, "goes by address");
    }
    for (name, service) in &config.services {
        let routes = all.iter().copied();
        let served: Vec<&Route> = routes
            .filter(|route| matches!(&route.target, Target::Service(to) if to == name))
            .collect();
        let sticky = service.split.iter().flat_map(|split| &split.sticky);
        let what = format!("the split of service `{name}`");
        let by = by_claim(sticky);
        told(&by, &served, &what, &service.at, "goes by address");
        if let Some(claim) = hash(service).and_then(|key| key.claim()) {
            let what = format!("the hash of service `{name}`");
            told(&[claim], &served, &what, &service.at, "goes by address");
        }
    }
    for (name, plugin) in &config.plugins {
        let routes = all.iter().copied();
        let listing: Vec<&Route> = routes
            .filter(|route| route.plugins.contains(name))
            .collect();
        // Any clause will do, so it is only over when each of them asks for a claim.
        let clauses = plugin.when.iter();
        let claims: Option<Vec<&str>> = clauses
            .map(|when| when.jwt.first().map(|(claim, _)| claim.as_str()))
            .collect();
        let known = |claim: &&str| listing.iter().any(|route| knows(config, route, claim));
        let claims = claims.filter(|claims| !claims.iter().any(known));
        if let Some(claims) = claims.filter(|_| !listing.is_empty()) {
            let what = format!("plugin `{name}`");
            told(&claims, &listing, &what, &plugin.at, "never runs");
        }
    }
}

fn by_claim<'c>(sticky: impl Iterator<Item = &'c SelectorFor<ShareKey>>) -> Vec<&'c str> {
    sticky.filter_map(|key| key.claim()).collect()
}

/// What a service hashes, if its balancer hashes at all.
fn hash(service: &Service) -> Option<&SelectorFor<HashKey>> {
    let hashes = matches!(service.balance, Balance::Maglev | Balance::RingHash);
    service.hash.as_ref().filter(|_| hashes)
}

/// Something that goes by a header.
struct ByHeader<'c> {
    what: String,
    header: &'c HeaderName,
    at: &'c Place,
    /// Whether it could go by a claim instead.
    by_claim: bool,
}

/// Everything that goes by a header.
fn by_header(config: &Config) -> Vec<ByHeader<'_>> {
    let mut all = Vec::new();
    let mut goes = |what: String, header, at, by_claim| {
        all.push(ByHeader {
            what,
            header,
            at,
            by_claim,
        });
    };
    for (name, limit) in &config.limits {
        for header in limit.key.iter().filter_map(|part| part.header()) {
            goes(format!("limit `{name}`"), header, &limit.at, true);
        }
    }
    for (name, route) in &config.routes {
        for (header, _) in &route.matches.headers {
            goes(format!("route `{name}`"), header, &route.at, false);
        }
    }
    for (name, color) in &config.colors {
        for (header, _) in color.when.iter().flat_map(|when| &when.header) {
            goes(format!("color `{name}`"), header, &color.at, true);
        }
        let sticky = color.share.iter().flat_map(|share| &share.sticky);
        for header in sticky.filter_map(|key| key.header()) {
            goes(
                format!("the share of color `{name}`"),
                header,
                &color.at,
                true,
            );
        }
    }
    for (name, service) in &config.services {
        let sticky = service.split.iter().flat_map(|split| &split.sticky);
        for header in sticky.filter_map(|key| key.header()) {
            goes(
                format!("the split of service `{name}`"),
                header,
                &service.at,
                true,
            );
        }
        if let Some(header) = hash(service).and_then(|key| key.header()) {
            goes(
                format!("the hash of service `{name}`"),
                header,
                &service.at,
                true,
            );
        }
    }
    for (name, plugin) in &config.plugins {
        for (header, _) in plugin.when.iter().flat_map(|when| &when.header) {
            goes(format!("plugin `{name}`"), header, &plugin.at, true);
        }
    }
    all
}

/// What a provider forwards is taken off each request as it comes, and put on as it leaves.
fn headers_taken_off(config: &Config, out: &mut Vec<Diagnostic>) {
    for by in by_header(config) {
        let mut told = reserved::told(config);
        let Some(told) = told.find(|told| told.header == by.header) else {
            continue;
        };
        let (what, header, provider) = (by.what, by.header, told.provider);
        let message = format!(
            "{what} goes by `{header}`, which is taken off requests since `{provider}` forwards it"
        );
        let diagnostic = Diagnostic::warning("TY0328", message)
            .at(&by.at.spot(), "never sees it")
            .at(&told.at.spot(), format!("forwards `{header}`"));
        out.push(diagnostic.help(match told.claim {
            Some(claim) if by.by_claim => format!("go by the claim itself: `jwt:{claim}`"),
            Some(claim) => format!(
                "a route is chosen before anybody is asked; a color can go by the claim: when = [{{ jwt = {{ {claim} = \"…\" }} }}]"
            ),
            None => "what a service tells is for the upstream only".to_owned(),
        }));
    }
}

/// A service that is asked always has an answer, so nobody behind it is asked, and nobody passes
/// for want of one.
fn never_asked(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let Some(auth) = &route.auth else { continue };
        let mut providers = auth.providers.iter();
        let asks = |provider: &&Name| config.forward_auth.contains_key(*provider);
        let Some(service) = providers.find(asks) else {
            continue;
        };
        let behind: Vec<String> = providers.map(|name| format!("`{name}`")).collect();
        let mut warn = |message: String, label: &str, help: &str| {
            let diagnostic = Diagnostic::warning("TY0329", message);
            out.push(diagnostic.at(&route.at.spot(), label).help(help));
        };
        if !behind.is_empty() {
            let behind = behind.join(", ");
            let message = format!(
                "route `{name}` never asks {behind}: `{service}` has an answer to everything"
            );
            warn(message, "in this order", "name the service last");
        }
        if auth.optional {
            let message = format!(
                "`optional` means nothing on route `{name}`: `{service}` is asked about every request"
            );
            let help = "let the service say 200 to whoever need not be known";
            warn(message, "lets nobody pass", help);
        }
    }
}
