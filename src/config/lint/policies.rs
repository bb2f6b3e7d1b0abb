//! Policies that are allowed but probably not meant.

use super::{Config, Diagnostic};
use crate::config::diagnostic::nearest;
use crate::config::jwt::Keys;
use crate::config::limit::KeyPart;
use crate::config::{Name, Place};
use std::collections::HashSet;

/// Runs every lint about policies.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    unused(config, out);
    unreachable_claims(config, out);
    slower_than_allowed(config, out);
    keys_in_the_clear(config, out);
    mirrors_to_nowhere(config, out);
}

fn warn(out: &mut Vec<Diagnostic>, code: &'static str, at: &Place, message: String, label: &str) {
    out.push(Diagnostic::warning(code, message).at(&at.spot(), label));
}

fn unused(config: &Config, out: &mut Vec<Diagnostic>) {
    let routes = config.routes.values();
    let limits: HashSet<&str> = routes
        .clone()
        .flat_map(|route| &route.limits)
        .map(|limit| limit.name.as_ref())
        .collect();
    let providers: HashSet<&str> = routes
        .filter_map(|route| route.auth.as_ref())
        .flat_map(|auth| &auth.providers)
        .map(AsRef::as_ref)
        .collect();
    let breakers: HashSet<&str> = config
        .services
        .values()
        .filter_map(|service| service.breaker.as_deref())
        .collect();
    let limits = config
        .limits
        .iter()
        .filter(|(name, _)| !limits.contains(name.as_ref()));
    for (name, limit) in limits {
        let message = format!("limit `{name}` is not used by any route");
        warn(out, "TY0320", &limit.at, message, "limits nothing");
    }
    let breakers = config
        .breakers
        .iter()
        .filter(|(name, _)| !breakers.contains(name.as_ref()));
    for (name, breaker) in breakers {
        let message = format!("breaker `{name}` is not used by any service");
        warn(out, "TY0320", &breaker.at, message, "breaks nothing");
    }
    let listed: HashSet<&Name> = config
        .routes
        .values()
        .flat_map(|route| &route.plugins)
        .collect();
    for (name, plugin) in config
        .plugins
        .iter()
        .filter(|(name, _)| !listed.contains(name))
    {
        let message = format!("plugin `{name}` is not used by any route");
        warn(out, "TY0320", &plugin.at, message, "never runs");
    }
    let jwt = config.jwt.iter().map(|(name, jwt)| (name, &jwt.at));
    let keys = config.api_keys.iter().map(|(name, keys)| (name, &keys.at));
    let asked = config
        .forward_auth
        .iter()
        .map(|(name, service)| (name, &service.at));
    for (name, at) in jwt.chain(keys).chain(asked) {
        if !providers.contains(name.as_ref()) {
            let message = format!("provider `{name}` is not used by any route");
            warn(out, "TY0320", at, message, "asked by nobody");
        }
    }
}

/// A limit by claim on a route that knows nobody puts all requests into one bucket.
fn unreachable_claims(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        if route.auth.is_some() {
            continue;
        }
        let by_claim = route.limits.iter().find(|limit| {
            let limit = config.limits.get(&limit.name);
            limit.is_some_and(|limit| limit.key.iter().any(|part| matches!(part, KeyPart::Jwt(_))))
        });
        if let Some(limit) = by_claim {
            let message = format!(
                "limit `{}` goes by a claim, but route `{name}` asks nobody for a token",
                limit.name
            );
            warn(
                out,
                "TY0321",
                &route.at,
                message,
                "all requests lack the claim",
            );
        }
    }
}

/// A request that is cut off before it counts as slow never counts as slow.
fn slower_than_allowed(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, service) in &config.services {
        let breaker = service
            .breaker
            .as_ref()
            .and_then(|breaker| config.breakers.get(breaker));
        let slow = breaker.and_then(|breaker| breaker.trip.slow);
        if let (Some((slow, _)), Some(limit)) = (slow, service.timeouts.request)
            && slow >= limit
        {
            let message = format!(
                "service `{name}` ends requests after {limit:?}, so none is ever slower than its breaker's {slow:?}"
            );
            warn(
                out,
                "TY0322",
                &service.at,
                message,
                "`slow` is never reached",
            );
        }
    }
}

/// Whoever can change the keys on their way can sign tokens.
fn keys_in_the_clear(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, jwt) in &config.jwt {
        let Keys::Url(keys) = &jwt.keys else { continue };
        let uri: Option<http::Uri> = keys.url.parse().ok();
        let local = uri
            .as_ref()
            .and_then(http::Uri::host)
            .is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        if keys.url.starts_with("http://") && !local {
            let message = format!("provider `{name}` fetches its keys without TLS");
            warn(out, "TY0323", &jwt.at, message, "use https");
        }
    }
}

/// The original is served all the same, so a mirror that is missing is no error.
fn mirrors_to_nowhere(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let Some(mirror) = &route.mirror else {
            continue;
        };
        let service = config.services.get(&mirror.service);
        let known: Vec<&str> = match service {
            None => config.services.keys().map(AsRef::as_ref).collect(),
            Some(service) => service.versions.keys().map(AsRef::as_ref).collect(),
        };
        let (what, wanted) = match (service, &mirror.version) {
            (None, _) => ("service", &mirror.service),
            (Some(_), Some(version)) if !known.contains(&version.as_ref()) => ("version", version),
            (Some(_), _) => continue,
        };
        let message = format!("route `{name}` mirrors to {what} `{wanted}`, which is not defined");
        let diagnostic = Diagnostic::warning("TY0324", message)
            .at(&route.at.spot(), "its requests are not copied");
        out.push(match nearest(wanted, known) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic,
        });
    }
}
