//! Policies that are allowed but probably not meant.

use super::{Config, Diagnostic, witness};
use crate::config::breaker::Window;
use crate::config::diagnostic::nearest;
use crate::config::jwt::Keys;
use crate::config::policy::Mode;
use crate::config::route::{Route, Target};
use crate::config::selector::Selector;
use crate::config::service::{RetryOn, Service};
use crate::config::{Name, Place};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Runs every lint about policies.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    unused(config, out);
    slower_than_allowed(config, out);
    keys_in_the_clear(config, out);
    mirrors_to_nowhere(config, out);
    mirrors_of_nothing(config, out);
    limits_twice(config, out);
    preflights_that_never_arrive(config, out);
    retries_beyond_limits(config, out);
    too_few_to_trip(config, out);
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
        .chain(config.coloring.signers.iter().map(|name| name.0.as_str()))
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

/// Adds a request that shows it.
pub(super) fn shown(diagnostic: Diagnostic, route: &Route, what: &str) -> Diagnostic {
    match witness::of(&route.matches) {
        Some(request) => diagnostic.help(format!("requests that {what}: tyrian explain {request}")),
        None => diagnostic,
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

/// Copies are made of what goes up, and such a route sends nothing up.
fn mirrors_of_nothing(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let upstream = matches!(route.target, Target::Service(_));
        if route.mirror.is_some() && !upstream {
            let message = format!("route `{name}` mirrors requests that it answers itself");
            warn(out, "TY0327", &route.at, message, "nothing is copied");
        }
    }
}

/// A limit that a route names twice is asked twice, and takes both costs.
fn limits_twice(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let mut seen: HashMap<&Name, &Place> = HashMap::new();
        for used in &route.limits {
            let Some(first) = seen.insert(&used.name, &used.at) else {
                continue;
            };
            let limit = &used.name;
            let message = format!("route `{name}` names limit `{limit}` twice");
            let diagnostic = Diagnostic::warning("TY0327", message)
                .at(&used.at.spot(), "each request counts again")
                .at(&first.spot(), "named here");
            let cost =
                format!("name it once; {{ name = \"{limit}\", cost = 2 }} if that was meant");
            out.push(diagnostic.help(cost));
        }
    }
}

/// Browsers ask before they ask, with OPTIONS: a route that takes no OPTIONS is not asked, so its
/// `cors` has no say.
fn preflights_that_never_arrive(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, route) in &config.routes {
        let methods = &route.matches.methods;
        let cors = route.plugins.iter().any(|plugin| {
            let plugin = config.plugins.get(plugin);
            plugin.is_some_and(|plugin| plugin.uses == "cors")
        });
        if cors && !methods.is_empty() && !methods.contains(&http::Method::OPTIONS) {
            let message = format!("preflights never reach `cors` on route `{name}`");
            let diagnostic = Diagnostic::warning("TY0327", message);
            let diagnostic = diagnostic.at(&route.at.spot(), "takes no OPTIONS");
            out.push(diagnostic.help("add \"OPTIONS\" to its `methods`"));
        }
    }
}

/// From this share of retries on, a limit on requests says little about what an upstream gets.
const BUDGET_MAX: u16 = 5000;

/// What is limited is what clients send; retries multiply it behind the limit.
fn retries_beyond_limits(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, service) in &config.services {
        let retry = &service.retry;
        let repeats = retry.on.iter().any(|on| *on != RetryOn::Connect);
        if !repeats || retry.attempts.0 < 2 || retry.budget.0 < BUDGET_MAX {
            continue;
        }
        let limited = to(config, name).find_map(|(route_name, route)| {
            let mut limits = route.limits.iter();
            let limit = limits.find_map(|used| config.limits.get(&used.name))?;
            (limit.mode == Mode::Enforce).then_some((route_name, route, limit))
        });
        let Some((route_name, route, limit)) = limited else {
            continue;
        };
        let most = f64::from(retry.attempts.0).min(1.0 + retry.budget.ratio());
        let message = format!(
            "service `{name}` may get {most} times what the limit of route `{route_name}` lets through"
        );
        let diagnostic = Diagnostic::warning("TY0325", message)
            .at(
                &service.at.spot(),
                format!("retries up to {}", retry.budget),
            )
            .at(&limit.at.spot(), "does not count them");
        let what = format!("are sent up to {} times while it fails", retry.attempts.0);
        out.push(shown(diagnostic, route, &what));
    }
}

/// Limits on all routes to a service that, taken together, let fewer requests through in a
/// breaker's window than it wants to see before it judges.
fn too_few_to_trip(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, service) in &config.services {
        let breaker = service.breaker.as_ref();
        let Some(breaker) = breaker.and_then(|breaker| config.breakers.get(breaker)) else {
            continue;
        };
        let Window::Time(window) = breaker.window else {
            continue;
        };
        let passing: Option<Vec<f64>> = to(config, name)
            .map(|(_, route)| passing(config, route, window))
            .collect();
        let Some(passing) = passing.filter(|passing| !passing.is_empty()) else {
            continue;
        };
        let most = passing.iter().sum::<f64>() * f64::from(tries(service));
        if most < f64::from(breaker.trip.min_requests) {
            let message = format!(
                "the breaker of service `{name}` can never open: limits let at most {most:.0} requests \
                 through in its window, and it judges from {} on",
                breaker.trip.min_requests
            );
            let diagnostic = Diagnostic::warning("TY0326", message)
                .at(&breaker.at.spot(), "never trips")
                .at(&service.at.spot(), "for this service");
            out.push(diagnostic.help("lower `min_requests`, or lengthen `window`"));
        }
    }
}

fn tries(service: &Service) -> u8 {
    service.retry.attempts.0.max(1)
}

/// Most requests in a window; `None`: no limit holds for all of the route's clients together.
fn passing(config: &Config, route: &Route, window: Duration) -> Option<f64> {
    let limits = route.limits.iter().filter_map(|used| {
        let limit = config.limits.get(&used.name)?;
        let of_all = limit.key.iter().all(|part| **part == Selector::Route);
        let cost = f64::from(used.cost.max(1));
        let refill = f64::from(limit.rate.count) * window.div_duration_f64(limit.rate.per);
        (of_all && limit.mode == Mode::Enforce).then(|| (f64::from(limit.burst) + refill) / cost)
    });
    limits.min_by(f64::total_cmp)
}

/// Routes to a service.
fn to<'c>(config: &'c Config, service: &Name) -> impl Iterator<Item = (&'c Name, &'c Route)> {
    config
        .routes
        .iter()
        .filter(move |(_, route)| matches!(&route.target, Target::Service(name) if name == service))
}
