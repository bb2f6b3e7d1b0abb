//! Which routes of one territory may share a request, without comparing every pair.
//!
//! Thousands of routes that differ in one value only (a tenant's header, say) are told apart by
//! looking that value up.

use super::Name;
use super::claim;
use super::matches::{Match, ValueMatch};
use super::route::Route;
use std::collections::HashMap;

/// The routes of one territory, in the order of their names.
pub struct Rivals<'r> {
    routes: Vec<(&'r Name, &'r Route)>,
    /// The key that most of them ask for by value.
    key: Option<Key<'r>>,
    by_value: HashMap<&'r str, Vec<usize>>,
    /// Routes that do not ask for the key by value.
    others: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key<'r> {
    Header(&'r str),
    Query(&'r str),
}

impl<'r> Rivals<'r> {
    pub fn new(routes: Vec<(&'r Name, &'r Route)>) -> Self {
        let mut asked: HashMap<Key, usize> = HashMap::new();
        for (key, _) in routes.iter().flat_map(|(_, route)| values(&route.matches)) {
            *asked.entry(key).or_default() += 1;
        }
        let most = asked.into_iter().max_by_key(|(key, count)| (*count, *key));
        let mut rivals = Self {
            key: most.map(|(key, _)| key),
            by_value: HashMap::new(),
            others: Vec::new(),
            routes,
        };
        for (index, (_, route)) in rivals.routes.iter().enumerate() {
            match asked_values(&route.matches, rivals.key) {
                Some(values) => {
                    for value in values {
                        rivals.by_value.entry(value).or_default().push(index);
                    }
                }
                None => rivals.others.push(index),
            }
        }
        rivals
    }

    /// Each route that has the same claim as an earlier one, with the first such.
    pub fn equals(&self) -> impl Iterator<Item = [(&'r Name, &'r Route); 2]> {
        self.routes
            .iter()
            .enumerate()
            .filter_map(|(index, second)| {
                let first = self.first_equal(index, &second.1.matches)?;
                Some([*self.routes.get(first)?, *second])
            })
    }

    fn first_equal(&self, index: usize, matches: &Match) -> Option<usize> {
        let equal = |rival: &usize| {
            self.routes.get(*rival).is_some_and(|(_, route)| {
                claim::conditions(&route.matches) == claim::conditions(matches)
                    && !claim::exclude_each_other(&route.matches, matches)
            })
        };
        let Some(values) = asked_values(matches, self.key) else {
            return (0..index).find(equal);
        };
        let same_value = values
            .iter()
            .filter_map(|value| self.by_value.get(value.as_str()));
        let near = same_value.chain([&self.others]).filter_map(|rivals| {
            let earlier = rivals.iter().take_while(|rival| **rival < index);
            earlier.copied().find(equal)
        });
        near.min()
    }
}

/// The values of which `matches` wants one under `key`; `None`: it says nothing of the kind.
fn asked_values<'r>(matches: &'r Match, key: Option<Key>) -> Option<&'r [String]> {
    let mut all = values(matches);
    all.find(|(other, _)| Some(*other) == key)
        .map(|(_, values)| values)
}

fn values(matches: &Match) -> impl Iterator<Item = (Key<'_>, &[String])> {
    let headers = matches
        .headers
        .iter()
        .map(|(key, value)| (Key::Header(key.as_str()), value));
    let query = matches
        .query
        .iter()
        .map(|(key, value)| (Key::Query(key), value));
    headers.chain(query).filter_map(|(key, value)| match value {
        ValueMatch::OneOf(values) => Some((key, values.as_slice())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{claim, load_text};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn equal_claims_are_those_that_comparing_every_pair_finds(
            routes in prop::collection::vec(prop::sample::select(vec![
                "headers={a=\"1\"}", "headers={a=\"2\"}", "headers={a=[\"1\",\"2\"]}",
                "headers={a={prefix=\"1\"}}", "query={a=\"2\"}", "methods=[\"GET\"]",
                "headers={a=\"1\"},query={a=\"2\"}", "headers={a=\"2\"},methods=[\"GET\"]",
            ]), 0..7),
        ) {
            let mut text = String::new();
            let mut alone = Vec::new();
            for (index, condition) in routes.iter().enumerate() {
                let route = format!(
                    "[routes.r{index}]\nmatch={{path=\"/x\",{condition}}}\nrespond={{}}\n"
                );
                let config = load_text("one.toml", &route, &|_| None).config.unwrap();
                alone.extend(config.routes.into_values().map(|route| route.matches));
                text.push_str(&route);
            }
            let naive = alone.iter().enumerate().filter(|(index, second)| {
                alone.iter().take(*index).any(|first| {
                    claim::conditions(first) == claim::conditions(second)
                        && !claim::exclude_each_other(first, second)
                })
            });
            let found = load_text("all.toml", &text, &|_| None).diagnostics;
            let found = found.iter().filter(|found| found.code == "TY0301");
            prop_assert_eq!(found.count(), naive.count());
        }
    }
}
