//! Shares of traffic that stay with their users: how much, and by which key.

use super::reader::{Cx, Kind, Node, Read, Reference};
use super::selector::{Selector, SelectorFor, ShareKey};
use super::shape::Shape;
use super::units::Percent;
use super::{Config, Diagnostic, Name};
use crate::table;

table! {
    /// A share of uncolored traffic that gets a color. A user never flips back while it grows.
    pub struct Share {
        /// How much.
        "percent" => percent: Percent = required,
        /// What keeps a user on one side: a selector, or a list of which the first present one
        /// counts. A request that has none of them counts by the client's address.
        "sticky" => sticky: Vec<SelectorFor<ShareKey>> = (vec![SelectorFor::new(Selector::Ip)]) "\"ip\"",
    }
}

table! {
    /// How uncolored traffic is shared between versions; the rest meets the default one.
    pub struct SplitTable {
        /// Version to share.
        "versions" => versions: Parts = required,
        /// What keeps a user at one version, as in a color's share.
        "sticky" => sticky: Vec<SelectorFor<ShareKey>> = (vec![SelectorFor::new(Selector::Ip)]) "\"ip\"",
    }
}

/// How uncolored traffic is shared between the versions of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    pub versions: Vec<(Name, Percent)>,
    pub sticky: Vec<SelectorFor<ShareKey>>,
}

impl Read for Split {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let SplitTable {
            versions: Parts(versions),
            sticky,
        } = SplitTable::read(node, cx)?;
        let sum: u32 = versions.iter().map(|(_, part)| u32::from(part.0)).sum();
        if sum > u32::from(Percent::ALL.0) {
            node.invalid(cx, "the shares of a split exceed 100%", "too much");
            return None;
        }
        Some(Self { versions, sticky })
    }

    fn shape() -> Shape {
        SplitTable::shape()
    }
}

/// Version to share, each a version of the service it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts(pub Vec<(Name, Percent)>);

impl Read for Parts {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let mut parts = Some(Vec::new());
        let service = node.path.strip_prefix("services.").unwrap_or("");
        let service = service.strip_suffix(".split.versions").unwrap_or("");
        for (version, node) in node.table(cx)?.entries() {
            let mut spot = node.spot();
            spot.span = version.span();
            cx.refer(Reference {
                kind: Kind::Version {
                    service: service.to_owned(),
                },
                name: (*version.get_ref()).to_owned(),
                spot,
                from: format!("the split of service `{service}`"),
            });
            match (Percent::read(&node, cx), &mut parts) {
                (Some(part), Some(parts)) => parts.push(((*version.get_ref()).into(), part)),
                _ => parts = None,
            }
        }
        parts.map(Self)
    }

    fn shape() -> Shape {
        Shape::Map("version", Box::new(Percent::shape()))
    }
}

/// All shares together are at most everything, and go by the same key: by two keys, one user
/// would belong to two colors.
pub fn check(config: &Config, out: &mut Vec<Diagnostic>) {
    let colors = config.colors.values();
    let shares: Vec<_> = colors
        .filter_map(|color| Some((color, color.share.as_ref()?)))
        .collect();
    let sum: u32 = shares
        .iter()
        .map(|(_, share)| u32::from(share.percent.0))
        .sum();
    if sum > u32::from(Percent::ALL.0) {
        let sum = f64::from(sum) / 100.0;
        let message = format!("the shares of all colors come to {sum}%, which is more than all");
        let mut diagnostic = Diagnostic::error("TY0304", message);
        for (color, share) in &shares {
            diagnostic = diagnostic.at(&color.at.spot(), format!("{} of it", share.percent));
        }
        out.push(diagnostic);
    }
    one_key(config, out);
}

fn one_key(config: &Config, out: &mut Vec<Diagnostic>) {
    let colors = config.colors.iter().filter_map(|(name, color)| {
        let share = color.share.as_ref()?;
        Some((format!("color `{name}`"), &color.at, &share.sticky))
    });
    let splits = config.services.iter().filter_map(|(name, service)| {
        let split = service.split.as_ref()?;
        Some((format!("service `{name}`"), &service.at, &split.sticky))
    });
    let mut all = colors.chain(splits);
    let Some((first, first_at, key)) = all.next() else {
        return;
    };
    for (name, at, other) in all.filter(|(.., other)| *other != key) {
        let message =
            format!("the shares of {first} and {name} go by different keys, so they would overlap");
        let diagnostic = Diagnostic::error("TY0304", message)
            .at(&at.spot(), words(other))
            .at(&first_at.spot(), words(key));
        out.push(diagnostic.help("give both the same `sticky`; a list counts as one"));
    }
}

fn words(sticky: &[SelectorFor<ShareKey>]) -> String {
    let keys: Vec<String> = sticky.iter().map(ToString::to_string).collect();
    format!("by {}", keys.join(", then "))
}
