//! `[coloring]` and `[colors.NAME]`: which color a request has, and which versions it meets.

use super::admin::Secret;
use super::entry::{EntryName, Jwt};
use super::expiry::Expiry;
use super::reader::{Cx, Kind, Node, Placed, Read, ReadNamed, Reference};
use super::reserved::Wish;
use super::route::ValueMatch;
use super::selector::{ColorSource, Selector, SelectorFor};
use super::shape::Shape;
use super::share::Share;
use super::upkeep::CookieName;
use super::values::parsed;
use super::{Name, Place};
use crate::{table, words};
use http::HeaderName;
use ipnet::IpNet;
use std::collections::BTreeMap;

table! {
    /// How requests carry colors.
    pub struct Coloring {
        /// Carries the color on the wire: set on the way up, believed only from trusted clients.
        "header" => header: HeaderName = (HEADER) "\"x-tyrian-color\"" within Wish::Set,
        /// Selectors of a carried color; the first present one counts. `header` is the header above.
        "sources" => sources: Vec<SelectorFor<ColorSource>> = (vec![SelectorFor::new(Selector::ColorHeader)]) "[\"header\"]",
        /// What becomes of a color that is not configured.
        "unknown" => unknown: Unknown = (Unknown::Default) "\"default\"",
        /// Changes which users the shares of colors fall on; the same in all gateways side by side.
        "salt" => salt: String = (String::new()) "\"\"",
        /// Secrets, by id: a color that one of them has signed is believed from anyone.
        "keys" => keys: Vec<(String, Placed<Secret>)> = (Vec::new()) "{}",
        /// Entries of `jwt`: a color that a key of one of them has signed is believed from anyone.
        "signers" => signers: Vec<EntryName<Jwt>> = (Vec::new()) "[]",
        /// The W3C baggage member that also carries the color on the way up.
        "baggage" => baggage: Option<BaggageKey> = none,
    }
}

const HEADER: HeaderName = HeaderName::from_static("x-tyrian-color");

impl Default for Coloring {
    fn default() -> Self {
        Self {
            header: HEADER,
            sources: vec![SelectorFor::new(Selector::Header(HEADER))],
            unknown: Unknown::Default,
            salt: String::new(),
            keys: Vec::new(),
            signers: Vec::new(),
            baggage: None,
        }
    }
}

impl Coloring {
    /// Puts the header of the color in the place of the source `header`.
    #[must_use]
    pub(super) fn resolved(mut self) -> Self {
        for source in &mut self.sources {
            if **source == Selector::ColorHeader {
                *source = SelectorFor::new(Selector::Header(self.header.clone()));
            }
        }
        self
    }
}

/// The key of a baggage member (a token of RFC 9110).
#[derive(Debug, Clone, PartialEq)]
pub struct BaggageKey(pub String);

impl Read for BaggageKey {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = CookieName::read(node, cx)?;
        Some(Self(name.0))
    }

    fn shape() -> Shape {
        Shape::Text("key of a baggage member", "")
    }
}

words! {
    /// What becomes of a color that is not configured.
    pub enum Unknown {
        /// The request is served as if it had none.
        "default" => Default,
        /// 400 `color_unknown`.
        "reject" => Reject,
    }
}

/// A color in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Color {
    /// Any of these gives the color; within one, all conditions must hold.
    pub when: Vec<When>,
    /// Service to version; a service not named here serves its default.
    pub versions: BTreeMap<Name, Name>,
    pub fallback: Fallback,
    /// Of uncolored traffic.
    pub share: Option<Share>,
    pub expires: Option<Expiry>,
    /// `#rrggbb`, for the dashboard.
    pub hex: Option<String>,
    pub at: Place,
}

table! {
    /// A color: who gets it, and which versions it meets.
    pub struct Table {
        /// Who gets the color: any clause whose conditions all hold.
        "when" => when: Vec<When> = (Vec::new()) "[]",
        /// Service to version. A service that is not named serves its default version.
        "versions" => versions: VersionOf = (VersionOf::default()) "{}",
        /// What happens when the color's version cannot serve.
        "fallback" => fallback: Fallback = (Fallback::Default) "\"default\"",
        /// When the color stops to count.
        "expires" => expires: Option<Expiry> = none,
        /// The share of uncolored traffic that gets the color.
        "share" => share: Option<Share> = none,
        /// `#rrggbb`: the color's color.
        "hex" => hex: Option<Hex> = none,
    }
}

impl ReadNamed for Color {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        Some(Self {
            when: table.when,
            versions: table.versions.0,
            fallback: table.fallback,
            share: table.share,
            expires: table.expires,
            hex: table.hex.map(|Hex(hex)| hex),
            at,
        })
    }
}

words! {
    /// What happens when the color's version cannot serve.
    pub enum Fallback {
        /// The default version serves.
        "default" => Default,
        /// 503 `no_healthy_endpoint`.
        "fail" => Fail,
        /// As `fail`, and services that the color does not name refuse it too: test data stays
        /// among the versions that are meant for it.
        "isolate" => Isolate,
    }
}

/// Service to version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VersionOf(pub BTreeMap<Name, Name>);

impl Read for VersionOf {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let mut versions = Some(BTreeMap::new());
        let from = format!("`{}`", node.path);
        for (service, node) in node.table(cx)?.entries() {
            let name = service.get_ref().to_string();
            let mut spot = node.spot();
            let Some(version) = String::read(&node, cx) else {
                versions = None;
                continue;
            };
            let kind = Kind::Version {
                service: name.clone(),
            };
            cx.refer(Reference {
                kind,
                name: version.clone(),
                spot: spot.clone(),
                from: from.clone(),
            });
            spot.span = service.span();
            cx.refer(Reference {
                kind: Kind::Service,
                name: name.clone(),
                spot,
                from: from.clone(),
            });
            if let Some(versions) = &mut versions {
                versions.insert(name.into(), version.into());
            }
        }
        versions.map(Self)
    }

    fn shape() -> Shape {
        Shape::Map("service", Box::new(Shape::Text("name of a version", "")))
    }
}

/// `#rrggbb`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hex(pub String);

impl Read for Hex {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a color such as \"#22c55e\"", |text| {
            let digits = text.strip_prefix('#')?;
            let sound = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            sound.then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("`#rrggbb`", "^#[0-9A-Fa-f]{6}$")
    }
}

table! {
    /// Conditions that give a color; all of them must hold.
    pub struct When {
        /// Header values.
        "header" => header: Vec<(HeaderName, ValueMatch)> = (Vec::new()) "{}",
        /// Cookie values.
        "cookie" => cookie: Vec<(String, ValueMatch)> = (Vec::new()) "{}",
        /// Networks the client is in.
        "client" => client: Vec<IpNet> = (Vec::new()) "[]",
        /// Token claims.
        "jwt" => jwt: Vec<(String, ValueMatch)> = (Vec::new()) "{}",
    }
}
