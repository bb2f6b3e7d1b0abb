//! `expires`: things that stop to count by themselves.

use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::values::parsed;
use super::{Config, Diagnostic, Place};

/// A moment, such as `2027-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(pub jiff::Timestamp);

impl Expiry {
    /// Whether it is over at a moment in seconds since the epoch.
    pub fn is_over(self, now: u64) -> bool {
        self.0.as_second() <= now as i64
    }
}

impl Read for Expiry {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let what = "a moment such as \"2027-01-31T00:00:00Z\"";
        parsed(node, cx, what, |text| text.parse().ok().map(Self))
    }

    fn shape() -> Shape {
        Shape::Text(
            "moment, such as `2027-01-31T00:00:00Z`",
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}T.+$",
        )
    }
}

impl std::fmt::Display for Expiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that expires.
#[derive(Debug, Clone)]
pub struct Expiring<'c> {
    /// `route` or `color`.
    pub kind: &'static str,
    pub name: &'c str,
    pub at: &'c Place,
    pub expires: Expiry,
}

/// Everything that expires.
pub fn all(config: &Config) -> impl Iterator<Item = Expiring<'_>> {
    let routes = config
        .routes
        .iter()
        .map(|(name, route)| ("route", name, &route.at, route.expires));
    let colors = config
        .colors
        .iter()
        .map(|(name, color)| ("color", name, &color.at, color.expires));
    routes
        .chain(colors)
        .filter_map(|(kind, name, at, expires)| {
            Some(Expiring {
                kind,
                name,
                at,
                expires: expires?,
            })
        })
}

/// How long before its end something is warned about.
const NOTICE: u64 = 7 * 24 * 3600;

/// Warns of what has expired, and of what soon will.
pub fn lint(config: &Config, now: u64, out: &mut Vec<Diagnostic>) {
    for expiring in all(config) {
        let Expiring {
            kind,
            name,
            at,
            expires,
        } = expiring;
        let (message, label) = if expires.is_over(now) {
            (
                format!("{kind} `{name}` has expired, on {expires}"),
                "it does nothing",
            )
        } else if expires.is_over(now + NOTICE) {
            (
                format!("{kind} `{name}` expires soon, on {expires}"),
                "after that it does nothing",
            )
        } else {
            continue;
        };
        out.push(Diagnostic::warning("TY0316", message).at(&at.spot(), label));
    }
}

#[cfg(test)]
mod tests {
    use super::lint;
    use crate::config::load_text;

    #[test]
    fn a_week_before_its_end_something_is_warned_about() {
        let text = "[services.shop.versions.v2]\nendpoints = [\"127.0.0.1:1\"]\n\
                    [colors.old]\nexpires = \"2030-01-31T00:00:00Z\"\nversions = { shop = \"v2\" }\n";
        let config = load_text("x", text, &|_| None).config.unwrap();
        let end = 1_896_048_000;
        for (now, warned) in [
            (end - 8 * 86_400, None),
            (end - 6 * 86_400, Some("expires soon")),
            (end, Some("has expired")),
        ] {
            let mut out = Vec::new();
            lint(&config, now, &mut out);
            let message = out.first().map(|found| found.message.clone());
            assert_eq!(message.is_some(), warned.is_some(), "{now}: {message:?}");
            let both = message.zip(warned);
            assert!(both.is_none_or(|(message, warned)| message.contains(warned)));
        }
    }
}
