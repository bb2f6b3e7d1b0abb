//! The rule of fallback: which version serves in place of one that cannot. Decisions, tries and
//! `explain` follow it alike.

use super::{ColorId, FallbackReason, ServiceId, Table, VersionId};
use crate::config::color::Fallback;

/// The fallbacks that one request has used up. Each is taken once at most, so versions that name
/// each other end in a refusal and not in a circle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fallbacks {
    to_default: bool,
    to_named: bool,
}

impl Fallbacks {
    /// Returns the version that takes over from `from`, if there is one: the default version,
    /// unless the color of the request forbids it; else, for a breaker, the version that its
    /// table names. A color that is isolated meets neither.
    pub fn next(
        &mut self,
        table: &Table,
        service: ServiceId,
        from: VersionId,
        color: Option<ColorId>,
        why: FallbackReason,
    ) -> Option<VersionId> {
        let serving = table.serving(service)?;
        // A request without a color is the default version's to serve.
        let allowed = color.map_or(Some(Fallback::Default), |color| {
            table.coloring.fallback(color)
        })?;
        self.to_default |= from == serving.default;
        if allowed == Fallback::Default && !self.to_default {
            self.to_default = true;
            return Some(serving.default);
        }
        if why != FallbackReason::Breaker || allowed == Fallback::Isolate || self.to_named {
            return None;
        }
        let named = serving.breaker_fallback.filter(|named| *named != from)?;
        self.to_named = true;
        Some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::Fallbacks;
    use crate::reason::Reason;
    use crate::routing::testing::{Request, config};
    use crate::routing::{
        Availability, ColorId, FallbackReason, Outcome, ServiceId, Table, VersionId,
    };
    use FallbackReason::{Breaker, Unhealthy};

    const TILL: ServiceId = ServiceId(1);
    const V1: VersionId = VersionId(0);
    const V2: VersionId = VersionId(1);
    const V3: VersionId = VersionId(2);
    const BETA: Option<ColorId> = Some(ColorId(0));
    const ISOLATED: Option<ColorId> = Some(ColorId(2));
    const STRICT: Option<ColorId> = Some(ColorId(3));
    const NAMED: &str = "fallback = { version = \"v3\" }";

    /// A service whose versions share a breaker, and colors that may fall back or not.
    fn table(breaker_fallback: &str) -> Table {
        Table::build(&config(&format!(
            "[routes.all]\nmatch = {{ path = \"/*\" }}\nservice = \"till\"\n\
             [colors.beta]\nversions = {{ till = \"v2\" }}\n\
             [colors.isolated]\nversions = {{ till = \"v2\" }}\nfallback = \"isolate\"\n\
             [colors.strict]\nversions = {{ till = \"v2\" }}\nfallback = \"fail\"\n\
             [services.till]\ndefault = \"v1\"\nbreaker = \"b\"\n\
             versions.v1.endpoints = [\"127.0.0.1:1\"]\n\
             versions.v2.endpoints = [\"127.0.0.1:2\"]\n\
             versions.v3.endpoints = [\"127.0.0.1:3\"]\n\
             [breakers.b]\ntrip = {{ error_rate = \"50%\" }}\n{breaker_fallback}"
        )))
        .unwrap()
    }

    /// Every version that a request meets, when each fails for the same cause.
    fn path(
        table: &Table,
        from: VersionId,
        color: Option<ColorId>,
        why: FallbackReason,
    ) -> Vec<u16> {
        let mut fallbacks = Fallbacks::default();
        let mut met = vec![from.0];
        let mut at = from;
        while let Some(next) = fallbacks.next(table, TILL, at, color, why) {
            met.push(next.0);
            at = next;
        }
        met
    }

    #[test]
    fn the_default_version_takes_over_where_the_color_allows_it() {
        let table = table("");
        for why in [Breaker, Unhealthy] {
            assert_eq!(path(&table, V2, BETA, why), [1, 0]);
            assert_eq!(path(&table, V2, None, why), [1, 0]);
            assert_eq!(path(&table, V2, STRICT, why), [1]);
            assert_eq!(path(&table, V2, ISOLATED, why), [1]);
            assert_eq!(path(&table, V1, BETA, why), [0]);
            assert_eq!(path(&table, V1, None, why), [0]);
        }
    }

    #[test]
    fn the_version_that_a_breaker_names_takes_over_from_one_that_it_holds_back() {
        let table = table(NAMED);
        assert_eq!(path(&table, V1, None, Breaker), [0, 2]);
        assert_eq!(path(&table, V2, BETA, Breaker), [1, 0, 2]);
        assert_eq!(path(&table, V2, STRICT, Breaker), [1, 2]);
        assert_eq!(path(&table, V3, STRICT, Breaker), [2]);
        assert_eq!(path(&table, V1, None, Unhealthy), [0]);
        assert_eq!(path(&table, V2, STRICT, Unhealthy), [1]);
    }

    #[test]
    fn nothing_takes_over_from_an_isolated_color() {
        let table = table(NAMED);
        assert_eq!(path(&table, V2, ISOLATED, Breaker), [1]);
        assert_eq!(path(&table, V1, ISOLATED, Breaker), [0]);
    }

    #[test]
    fn versions_that_name_each_other_end_in_a_refusal() {
        let table = table("fallback = { version = \"v2\" }");
        assert_eq!(path(&table, V2, BETA, Breaker), [1, 0, 1]);
    }

    #[test]
    fn decisions_follow_the_same_rule() {
        let decide = |table: &Table, color: &str, world: &World| {
            let request = Request::get("/").with("x-tyrian-color", color);
            table.decide(&request.view(), world).outcome
        };
        let upstream = |version| Outcome::Upstream {
            service: TILL,
            version,
        };
        let (plain, named) = (table(""), table(NAMED));
        let open = World::open(&[V2]);
        assert_eq!(decide(&plain, "beta", &open), upstream(V1));
        assert_eq!(decide(&named, "beta", &open), upstream(V1));
        let refused = Outcome::Refuse(Reason::BreakerOpen);
        assert_eq!(decide(&plain, "strict", &open), refused);
        assert_eq!(decide(&named, "strict", &open), upstream(V3));
        assert_eq!(decide(&named, "isolated", &open), refused);
        let both = World::open(&[V2, V3]);
        assert_eq!(decide(&named, "strict", &both), refused);
        // The default version's breaker is asked by the try, which may have an answer at hand.
        let all = World::open(&[V1, V2, V3]);
        assert_eq!(decide(&named, "beta", &all), upstream(V1));
        let down = World {
            down: vec![V2],
            open: vec![],
        };
        let refused = Outcome::Refuse(Reason::NoHealthyEndpoint);
        assert_eq!(decide(&named, "strict", &down), refused);
    }

    /// Versions that are down, and versions whose breaker is open.
    struct World {
        down: Vec<VersionId>,
        open: Vec<VersionId>,
    }

    impl World {
        fn open(open: &[VersionId]) -> Self {
            Self {
                down: Vec::new(),
                open: open.to_vec(),
            }
        }
    }

    impl Availability for World {
        fn available(&self, _: ServiceId, version: VersionId) -> bool {
            !self.down.contains(&version)
        }

        fn exists(&self, _: ServiceId, _: VersionId) -> bool {
            true
        }

        fn broken(&self, _: ServiceId, version: VersionId) -> bool {
            self.open.contains(&version)
        }
    }
}
