//! Colors and versions that are defined, and that no request meets.

use super::witness;
use crate::config::breaker::Fallback;
use crate::config::color::{Color, When};
use crate::config::diagnostic::Diagnostic;
use crate::config::matches::ValueMatch;
use crate::config::{Config, Name};
use std::collections::HashSet;

/// Runs every lint about colors.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    unmet_versions(config, out);
    rules_that_come_too_late(config, out);
    rules_of_everybody(config, out);
    guards_of_nothing(config, out);
}

/// All conditions of none hold.
fn rules_of_everybody(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, color) in &config.colors {
        if color.when.iter().any(|rule| count(rule) == 0) {
            let message =
                format!("a rule of color `{name}` has no conditions, so everybody meets it");
            let diagnostic = Diagnostic::warning("TY0327", message);
            let diagnostic = diagnostic.at(&color.at.spot(), "all traffic");
            out.push(diagnostic.help("a share of 100% says so for readers"));
        }
    }
}

fn guards_of_nothing(config: &Config, out: &mut Vec<Diagnostic>) {
    for (name, rollout) in &config.rollouts {
        let empty = rollout.guard.as_ref().is_some_and(|guard| {
            guard.max_error_rate.is_none()
                && guard.max_p99.is_none()
                && guard.worse_than_default.is_none()
        });
        if empty {
            let message = format!("the guard of rollout `{name}` guards against nothing");
            let diagnostic = Diagnostic::warning("TY0327", message);
            let diagnostic = diagnostic.at(&rollout.at.spot(), "any version would pass");
            out.push(diagnostic.help("such as `guard = { worse_than_default = \"20%\" }`"));
        }
    }
}

/// A version that is neither the default nor named by a color, a split, a mirror or a breaker, while
/// another one of its service is.
fn unmet_versions(config: &Config, out: &mut Vec<Diagnostic>) {
    let mut met: HashSet<(&Name, &Name)> = HashSet::new();
    for color in config.colors.values() {
        met.extend(&color.versions);
    }
    for (name, service) in &config.services {
        met.insert((name, &service.default));
        let parts = service.split.iter().flat_map(|split| &split.versions);
        met.extend(parts.map(|(version, _)| (name, version)));
        let mirrors = config
            .routes
            .values()
            .filter_map(|route| route.mirror.as_ref());
        let mirrors = mirrors.filter(|mirror| mirror.service == *name);
        met.extend(mirrors.filter_map(|mirror| Some((name, mirror.version.as_ref()?))));
        let breaker = service
            .breaker
            .as_ref()
            .and_then(|breaker| config.breakers.get(breaker));
        if let Some(Fallback::Version(version)) = breaker.and_then(|b| b.fallback.as_ref()) {
            met.insert((name, version));
        }
        // Without any color it is a version that waits for its turn as the default.
        if !met
            .iter()
            .any(|(of, version)| *of == name && **version != service.default)
        {
            continue;
        }
        for (version, table) in &service.versions {
            if !met.contains(&(name, version)) {
                let message = format!("no request meets version `{version}` of service `{name}`");
                let help = format!(
                    "it is not the default; name it in a color: versions = {{ {name} = \"{version}\" }}"
                );
                let diagnostic = Diagnostic::warning("TY0317", message);
                out.push(
                    diagnostic
                        .at(&table.at.spot(), "no color names it")
                        .help(help),
                );
            }
        }
    }
}

/// A rule never gives its color when another color, earlier by name, asks for as many conditions
/// and for no more.
fn rules_that_come_too_late(config: &Config, out: &mut Vec<Diagnostic>) {
    let colors: Vec<(&Name, &Color)> = config.colors.iter().collect();
    for (index, (name, color)) in colors.iter().enumerate() {
        for rule in &color.when {
            let before = colors
                .iter()
                .take(index)
                .filter(|(_, before)| before.expires.is_none());
            let by = before.clone().find(|(_, before)| {
                let mut rules = before.when.iter();
                rules.any(|first| count(first) == count(rule) && covers(first, rule))
            });
            let Some((first_name, first)) = by else {
                continue;
            };
            let message = format!(
                "a rule of color `{name}` never gives it: color `{first_name}` comes first"
            );
            let diagnostic = Diagnostic::warning("TY0318", message)
                .at(&color.at.spot(), "too late")
                .at(&first.at.spot(), "asks for the same");
            out.push(match witness::of_rule(rule) {
                Some(fields) => diagnostic.help(format!(
                    "see it: tyrian explain 'GET http://any.example/'{fields}"
                )),
                None => diagnostic,
            });
        }
    }
}

fn count(when: &When) -> usize {
    let clients = usize::from(!when.client.is_empty());
    when.header.len() + when.cookie.len() + when.jwt.len() + clients
}

/// Whether every request that meets `inner` meets `outer`.
fn covers(outer: &When, inner: &When) -> bool {
    fn all<K: PartialEq>(outer: &[(K, ValueMatch)], inner: &[(K, ValueMatch)]) -> bool {
        outer.iter().all(|(key, wide)| {
            inner
                .iter()
                .any(|(other, narrow)| key == other && includes(wide, narrow))
        })
    }
    let clients = outer.client.is_empty()
        || (!inner.client.is_empty()
            && inner.client.iter().all(|narrow| {
                let mut networks = outer.client.iter();
                networks.any(|wide| wide.contains(narrow))
            }));
    clients
        && all(&outer.header, &inner.header)
        && all(&outer.cookie, &inner.cookie)
        && all(&outer.jwt, &inner.jwt)
}

fn includes(wide: &ValueMatch, narrow: &ValueMatch) -> bool {
    match (wide, narrow) {
        (ValueMatch::OneOf(wide), ValueMatch::OneOf(narrow)) => {
            narrow.iter().all(|value| wide.contains(value))
        }
        (ValueMatch::Present(true), narrow) => *narrow != ValueMatch::Present(false),
        (ValueMatch::Prefix(prefix), ValueMatch::OneOf(values)) => {
            values.iter().all(|value| value.starts_with(prefix))
        }
        (wide, narrow) => wide == narrow,
    }
}
