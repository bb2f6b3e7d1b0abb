//! Requests that two routes ask for in different ways, so that only the rule of precedence tells
//! whose they are. Well-defined, and worth knowing.

use super::witness;
use crate::config::diagnostic::Diagnostic;
use crate::config::matches::{HostMatch, Match, PathMatch, ValueMatch};
use crate::config::route::Route;
use crate::config::{Config, Name, claim};
use std::collections::{BTreeMap, HashMap};

/// Most notes: of more, nobody learns more.
const NOTES_MAX: usize = 10;
/// Rivals of a route that are looked at; a note may be missed, a check must not be slow.
const RIVALS_MAX: usize = 32;

type Named<'c> = (&'c Name, &'c Route);

/// Runs both lints.
pub fn all(config: &Config, out: &mut Vec<Diagnostic>) {
    let crosswise = by_conditions(config).into_iter().chain(by_host(config));
    out.extend(crosswise.take(NOTES_MAX));
}

/// In one place, each asks for something that the other does not: the one with more conditions
/// comes first.
fn by_conditions(config: &Config) -> Vec<Diagnostic> {
    let mut places: HashMap<u64, Vec<Named>> = HashMap::new();
    for named in &config.routes {
        places
            .entry(claim::territory(named.1))
            .or_default()
            .push(named);
    }
    let mut notes = BTreeMap::new();
    for rivals in places.values() {
        for (index, one) in rivals.iter().enumerate() {
            for two in rivals.iter().take(index).rev().take(RIVALS_MAX) {
                let (first, second) = match conditions(one) > conditions(two) {
                    true => (*one, *two),
                    false => (*two, *one),
                };
                let (outer, inner) = (&second.1.matches, &first.1.matches);
                // With as many conditions it is an error; with fewer of the same it is how a
                // special case is written.
                if conditions(one) == conditions(two)
                    || claim::covers(outer, inner)
                    || claim::exclude_each_other(outer, inner)
                {
                    continue;
                }
                let note = note(first, second, "more conditions", &inner.host);
                notes.insert((first.0, second.0), note);
            }
        }
    }
    notes.into_values().collect()
}

fn conditions(route: &Named) -> usize {
    claim::conditions(&route.1.matches)
}

/// One has the more exact host, the other the more exact path: the host comes first.
fn by_host(config: &Config) -> Vec<Diagnostic> {
    let anywhere = |matches: &Match| {
        let path = matches.path.clone();
        claim::place(&Match {
            host: HostMatch::Any,
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        })
    };
    let mut wide: HashMap<u64, Vec<Named>> = HashMap::new();
    for named in &config.routes {
        let matches = &named.1.matches;
        if matches.host != HostMatch::Any && matches!(matches.path, PathMatch::Prefix(_)) {
            wide.entry(anywhere(matches)).or_default().push(named);
        }
    }
    let mut notes = Vec::new();
    for exact in &config.routes {
        let matches = &exact.1.matches;
        let own = anywhere(matches);
        let above = claim::prefixes_above(matches).filter(|place| *place != own);
        let rivals = above.filter_map(|place| wide.get(&place));
        let first = rivals.flatten().take(RIVALS_MAX).find(|rival| {
            rival.1.priority == exact.1.priority
                && is_within(&rival.1.matches.host, &matches.host)
                && !claim::exclude_each_other(&rival.1.matches, matches)
        });
        if let Some(first) = first {
            let host = &first.1.matches.host;
            notes.push(note(*first, exact, "its host is more exact", host));
        }
    }
    notes
}

/// Whether the narrow pattern is a more exact one of hosts that the wide one has too.
fn is_within(narrow: &HostMatch, wide: &HostMatch) -> bool {
    match (narrow, wide) {
        (HostMatch::Exact(_) | HostMatch::Wildcard(_), HostMatch::Any) => true,
        (HostMatch::Exact(host) | HostMatch::Wildcard(host), HostMatch::Wildcard(suffix)) => host
            .strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.ends_with('.')),
        _ => false,
    }
}

fn note(first: Named, second: Named, why: &str, host: &HostMatch) -> Diagnostic {
    let (one, two) = (first.0, second.0);
    let message =
        format!("routes `{one}` and `{two}` ask for some of the same requests; `{one}` gets them");
    let diagnostic = Diagnostic::note("TY0319", message)
        .at(&second.1.at.spot(), "asks for them too")
        .at(&first.1.at.spot(), format!("comes first: {why}"));
    match both(host, &first.1.matches, &second.1.matches).and_then(|both| witness::of(&both)) {
        Some(request) => diagnostic.help(format!("one of them: tyrian explain {request}")),
        None => diagnostic,
    }
}

/// What a request must be to meet both: the host of one, the path of the other, all conditions.
fn both(host: &HostMatch, one: &Match, two: &Match) -> Option<Match> {
    let methods = match (one.methods.as_slice(), two.methods.as_slice()) {
        ([], methods) | (methods, []) => methods.to_vec(),
        (first, second) => {
            let common = first.iter().filter(|method| second.contains(method));
            common.cloned().collect()
        }
    };
    Some(Match {
        host: host.clone(),
        path: two.path.clone(),
        methods,
        headers: merged(&one.headers, &two.headers)?,
        query: merged(&one.query, &two.query)?,
    })
}

/// All conditions, of the same key the narrower one; `None`: which that is cannot be told.
fn merged<K: PartialEq + Clone>(
    one: &[(K, ValueMatch)],
    two: &[(K, ValueMatch)],
) -> Option<Vec<(K, ValueMatch)>> {
    let mut all = one.to_vec();
    for (key, value) in two {
        match all.iter_mut().find(|(known, _)| known == key) {
            None => all.push((key.clone(), value.clone())),
            Some((_, known)) => *known = narrower(known, value)?,
        }
    }
    Some(all)
}

fn narrower(one: &ValueMatch, two: &ValueMatch) -> Option<ValueMatch> {
    match (one, two) {
        (ValueMatch::Present(true), other) | (other, ValueMatch::Present(true)) => {
            Some(other.clone())
        }
        (ValueMatch::OneOf(first), ValueMatch::OneOf(second)) => {
            let common = first.iter().find(|value| second.contains(value))?;
            Some(ValueMatch::OneOf(vec![common.clone()]))
        }
        (ValueMatch::OneOf(values), ValueMatch::Prefix(prefix))
        | (ValueMatch::Prefix(prefix), ValueMatch::OneOf(values)) => {
            let fitting = values.iter().find(|value| value.starts_with(prefix))?;
            Some(ValueMatch::OneOf(vec![fitting.clone()]))
        }
        (one, two) => (one == two).then(|| one.clone()),
    }
}
