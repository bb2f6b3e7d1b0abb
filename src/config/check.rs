//! What holds between tables: names that are used are defined, and no two routes claim the same.

use super::breaker::Fallback;
use super::claim;
use super::diagnostic::{Diagnostic, nearest};
use super::reader::{Kind, Reference};
use super::rivals::Rivals;
use super::root::Defined;
use super::route::Route;
use super::{Config, Name};
use std::collections::HashMap;

/// Every name that is used must be defined.
pub fn references(references: &[Reference], defined: &Defined, out: &mut Vec<Diagnostic>) {
    for reference in references {
        let Some(known) = defined.names(&reference.kind) else {
            continue;
        };
        if !known.contains(&reference.name) {
            let what = match &reference.kind {
                Kind::Service => "service",
                Kind::Version { .. } => "version",
                Kind::Route => "route",
                Kind::Entry("jwt") => "provider",
                Kind::Entry("discovery") => "registry",
                Kind::Entry(section) => section,
            };
            let known = known.iter().map(String::as_str);
            out.push(dangling(reference, what, known));
        }
    }
}

fn dangling<'n>(
    reference: &Reference,
    what: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Diagnostic {
    let Reference {
        name, spot, from, ..
    } = reference;
    let message = format!("{from} names {what} `{name}`, which is not defined");
    let diagnostic =
        Diagnostic::error("TY0101", message).at(spot, format!("no {what} of this name"));
    match nearest(name, known.clone()) {
        Some(meant) => diagnostic
            .help(format!("did you mean `{meant}`?"))
            .patch(spot, format!("{meant:?}")),
        None => {
            let known: Vec<&str> = known.take(10).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            diagnostic.help(format!("defined: {known}"))
        }
    }
}

/// Two routes with the same claim would make the choice a coin toss.
pub fn claims(config: &Config, out: &mut Vec<Diagnostic>) {
    let mut territories: HashMap<u64, Vec<(&Name, &Route)>> = HashMap::new();
    for (name, route) in &config.routes {
        territories
            .entry(claim::territory(route))
            .or_default()
            .push((name, route));
    }
    let mut shared: Vec<_> = territories
        .into_values()
        .filter(|routes| routes.len() > 1)
        .collect();
    shared.sort_by_key(|routes| routes.first().map(|(name, _)| (*name).clone()));
    for routes in shared {
        for [(first_name, first), (second_name, second)] in Rivals::new(routes).equals() {
            let message =
                format!("routes `{first_name}` and `{second_name}` claim the same requests");
            let help = "give one of them another condition, or a `priority`";
            let diagnostic = Diagnostic::error("TY0301", message);
            let diagnostic = diagnostic.at(&second.at.spot(), "neither comes before the other");
            out.push(diagnostic.at(&first.at.spot(), "the other one").help(help));
        }
    }
}

/// A breaker that sends its requests to another version must find one in each of its services.
pub fn breaker_fallbacks(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, service) in &config.services {
        let breaker = service
            .breaker
            .as_ref()
            .and_then(|breaker| config.breakers.get(breaker));
        let Some(Fallback::Version(version)) =
            breaker.and_then(|breaker| breaker.fallback.as_ref())
        else {
            continue;
        };
        if !service.versions.contains_key(version) {
            let message = format!(
                "service `{name}` has no version `{version}`, which its breaker falls back to"
            );
            out.push(
                Diagnostic::error("TY0101", message).at(&service.at.spot(), "no such version"),
            );
        }
    }
}
