//! `[routes.NAME]`: which requests, and what becomes of them.

use super::auth::Auth;
use super::compress::Compress;
use super::diagnostic::Diagnostic;
use super::entry::{self, EntryName};
use super::expiry::Expiry;
use super::limit::{InFlightCap, LimitUse};
pub use super::location::Location;
use super::mirror::Mirror;
use super::reader::{Cx, Kind, Node, Read, ReadNamed, Reference};
use super::service::Timeouts;
use super::shape::Shape;
use super::units::Bytes;
use super::upkeep::Importance;
use super::values::{bounded, parsed};
use super::{Name, Place};
use crate::{table, words};
use http::HeaderValue;
use std::fmt::Write;

pub use super::matches::{HostMatch, Match, PathMatch, Segment, ValueMatch};

/// A route in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub matches: Match,
    /// Higher first; default 0.
    pub priority: i32,
    pub target: Target,
    pub rewrite: Rewrite,
    /// Largest request body; `None`: no limit (bodies are streamed).
    pub body_max: Option<Bytes>,
    pub timeouts: Timeouts,
    pub auth: Option<Auth>,
    pub limits: Vec<LimitUse>,
    pub mirror: Option<Mirror>,
    pub importance: Importance,
    pub max_in_flight: Option<InFlightCap>,
    pub compress: Option<Compress>,
    pub expires: Option<Expiry>,
    pub plugins: Vec<Name>,
    /// `None`: what `server.ambiguous_paths` says.
    pub ambiguous_paths: Option<AmbiguousPaths>,
    pub at: Place,
}

impl Route {
    /// Everything that the route enforces, in words: equal texts stand for equal policies. Empty
    /// for a route that lets every request pass. An answer of 404 or the like enforces nothing: it
    /// is what a path without a route gets, too.
    pub fn policies(&self) -> String {
        let mut words = String::new();
        match self.target {
            Target::Respond { status, .. }
                if status >= 400 && ![404, 405, 410].contains(&status) =>
            {
                let _ = write!(words, "refuses with {status};");
            }
            Target::Redirect { .. } => words.push_str("redirects;"),
            Target::Respond { .. } | Target::Service(_) => {}
        }
        if let Some(auth) = &self.auth {
            // Any of the providers will do, so their order means nothing; nor does that of limits.
            let mut providers: Vec<&Name> = auth.providers.iter().collect();
            providers.sort();
            let _ = write!(words, "auth {providers:?} {};", auth.optional);
        }
        let mut limits: Vec<(&Name, u32)> = self
            .limits
            .iter()
            .map(|limit| (&limit.name, limit.cost))
            .collect();
        limits.sort();
        for (name, cost) in limits {
            let _ = write!(words, "limit {name} {cost};");
        }
        if !self.plugins.is_empty() {
            let _ = write!(words, "plugins {:?};", self.plugins);
        }
        if let Some(max) = self.body_max {
            let _ = write!(words, "body {max:?};");
        }
        if let Some(cap) = self.max_in_flight {
            let _ = write!(words, "in flight {cap:?};");
        }
        words
    }
}

words! {
    /// What becomes of a path that another parser may read as one of a route with other policies.
    pub enum AmbiguousPaths {
        /// The request is refused with 400 `bad_request`.
        "refuse" => Refuse,
        /// The request takes the route that its path names as it stands.
        "allow" => Allow,
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Service(Name),
    Respond {
        status: u16,
        text: String,
        content_type: HeaderValue,
    },
    /// With `keep_path` the request's path and query follow the location.
    Redirect {
        status: u16,
        location: Location,
        keep_path: bool,
    },
}

table! {
    /// Which requests, and what becomes of them: exactly one of `service`, `respond`, `redirect`.
    pub struct Table {
        /// Which requests; all conditions must hold.
        "match" => matches: Match = required,
        /// Overrides every other rule of precedence; higher first.
        "priority" => priority: i32 = (0) "0",
        /// The service that serves it.
        "service" => service: Option<ServiceName> = none,
        /// A fixed answer.
        "respond" => respond: Option<Respond> = none,
        /// A redirect.
        "redirect" => redirect: Option<Redirect> = none,
        /// What the upstream sees instead of what the client asked for.
        "rewrite" => rewrite: RewriteTable = (RewriteTable::NONE) "nothing",
        /// Limits of the request body.
        "body" => body: Body = (Body { max: None }) "no limit",
        /// How long things may take; overrides the service's.
        "timeouts" => timeouts: Timeouts = (Timeouts::NONE) "the service's",
        /// Who must be known: a provider of `jwt`, `api_keys` or `forward_auth`, a list of them, or
        /// `{ provider = "users", optional = true }`.
        "auth" => auth: Option<Auth> = none "anyone",
        /// Rate limits, all of which must agree: names, or `{ name = "…", cost = 5 }`.
        "limits" => limits: Vec<LimitUse> = (Vec::new()) "[]",
        /// Which answers are compressed: `true`, `false`, or a table.
        "compress" => compress: Option<Compress> = none "what `server.compress` says",
        /// Plugins, in this order.
        "plugins" => plugins: Vec<EntryName<entry::Plugin>> = (Vec::new()) "[]",
        /// A copy of requests for another service.
        "mirror" => mirror: Option<Mirror> = none,
        /// Who goes first when there is not enough for all.
        "importance" => importance: Importance = (Importance::Normal) "\"normal\"",
        /// When the route stops to count.
        "expires" => expires: Option<Expiry> = none,
        /// Most requests in flight: a number, or `{ max = 100, queue = 10, wait = "50ms" }`.
        "max_in_flight" => max_in_flight: Option<InFlightCap> = none "no limit",
        /// What becomes of a path that another parser may read as one of a route with other
        /// policies (`%2F`, `%5C`, `;`, encoded twice): `refuse` or `allow`.
        "ambiguous_paths" => ambiguous_paths: Option<AmbiguousPaths> = none "what `server.ambiguous_paths` says",
    }
}

impl ReadNamed for Route {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let mut table = Table::read(node, cx)?;
        let target = target(name, &mut table, node, cx)?;
        let Table {
            matches,
            priority,
            rewrite,
            body,
            timeouts,
            auth,
            limits,
            mirror,
            importance,
            max_in_flight,
            compress,
            expires,
            plugins,
            ambiguous_paths,
            ..
        } = table;
        if rewrite.strip_prefix.is_some() && rewrite.replace_prefix.is_some() {
            let message = format!("route `{name}` strips a prefix and replaces it");
            cx.report(Diagnostic::error("TY0203", message).at(&node.spot(), "one of the two"));
            return None;
        }
        let rewrite = Rewrite {
            strip_prefix: rewrite.strip_prefix.map(|PrefixPath(prefix)| prefix),
            replace_prefix: rewrite.replace_prefix.map(|PrefixPath(prefix)| prefix),
            host: rewrite.host.map(|HostName(host)| host),
        };
        Some(Self {
            matches,
            priority,
            target,
            rewrite,
            body_max: body.max,
            timeouts,
            auth,
            limits,
            mirror,
            importance,
            max_in_flight,
            compress,
            expires,
            plugins: plugins.into_iter().map(|name| name.0.into()).collect(),
            ambiguous_paths,
            at,
        })
    }
}

/// Exactly one target.
fn target(name: &Name, table: &mut Table, node: &Node, cx: &Cx) -> Option<Target> {
    let keys = node.table(cx)?;
    let named = ["service", "respond", "redirect"]
        .iter()
        .filter_map(|key| keys.key_spot(key).map(|spot| (*key, spot)));
    let named: Vec<_> = named.collect();
    match (
        table.service.take(),
        table.respond.take(),
        table.redirect.take(),
    ) {
        (Some(ServiceName(service)), None, None) => Some(Target::Service(service.into())),
        (
            None,
            Some(Respond {
                status,
                text,
                content_type,
            }),
            None,
        ) => Some(Target::Respond {
            status: status.0,
            text,
            content_type: content_type.0,
        }),
        (
            None,
            None,
            Some(Redirect {
                status,
                to,
                keep_path,
            }),
        ) => Some(Target::Redirect {
            status: status.0,
            location: to,
            keep_path,
        }),
        (None, None, None) => {
            let message = format!("route `{name}` leads nowhere");
            let help = "add one of `service = \"…\"`, `respond = { … }`, `redirect = { … }`";
            let diagnostic = Diagnostic::error("TY0205", message);
            cx.report(diagnostic.at(&node.spot(), "no target").help(help));
            None
        }
        _ => {
            let message = format!("route `{name}` has more than one target");
            let mut diagnostic = Diagnostic::error("TY0303", message);
            for (key, spot) in named {
                diagnostic = diagnostic.at(&spot, format!("`{key}` is one"));
            }
            cx.report(diagnostic);
            None
        }
    }
}

/// The service of a route. It refers by itself, so that what is wrong beside it hides nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceName(pub String);

impl Read for ServiceName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = String::read(node, cx)?;
        cx.refer(Reference {
            kind: Kind::Service,
            name: name.clone(),
            spot: node.spot(),
            from: format!("route `{}`", node.owner("routes")),
        });
        Some(Self(name))
    }

    fn shape() -> Shape {
        Shape::Text("name of a service", "")
    }
}

table! {
    /// A fixed answer.
    pub struct Respond {
        /// Status, 200 to 599.
        "status" => status: Status = (Status(200)) "200",
        /// Body.
        "text" => text: String = (String::new()) "\"\"",
        /// Media type of the body.
        "content_type" => content_type: MediaType = (MediaType(TEXT_PLAIN)) "\"text/plain; charset=utf-8\"",
    }
}

table! {
    /// A redirect.
    pub struct Redirect {
        /// 301, 302, 303, 307 or 308.
        "status" => status: RedirectStatus = (RedirectStatus(308)) "308",
        /// Where to: the `Location`. `{host}`, `{path}` and `{query}` are those of the request, as in
        /// `https://{host}{path}?{query}`; a `?` with nothing behind it is left out.
        "to" => to: Location = required,
        /// Whether the request's path and query follow it.
        "keep_path" => keep_path: bool = (false) "false",
    }
}

const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The value of `Content-Type`.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaType(pub HeaderValue);

impl Read for MediaType {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let what = "a media type, such as \"text/html; charset=utf-8\"";
        parsed(node, cx, what, |text| text.parse().ok().map(Self))
    }

    fn shape() -> Shape {
        Shape::Text("media type", "")
    }
}

/// 200 to 599.
#[derive(Debug, Clone, PartialEq)]
pub struct Status(pub u16);

impl Read for Status {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        bounded(node, cx, 200, 599).map(Self)
    }

    fn shape() -> Shape {
        Shape::Integer(200, 599)
    }
}

/// 301, 302, 303, 307 or 308.
#[derive(Debug, Clone, PartialEq)]
pub struct RedirectStatus(pub u16);

impl Read for RedirectStatus {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let status = bounded::<i64>(node, cx, i64::MIN, i64::MAX)?;
        match u16::try_from(status) {
            Ok(known @ (301 | 302 | 303 | 307 | 308)) => Some(Self(known)),
            _ => {
                let label = "expected 301, 302, 303, 307 or 308";
                node.invalid(cx, format!("`{status}` does not redirect"), label);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Integer(301, 308)
    }
}

/// What the upstream sees instead of what the client asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rewrite {
    /// Segments taken off the front (a whole prefix of the matched path).
    pub strip_prefix: Option<String>,
    /// Replaces the literal prefix of the route's path.
    pub replace_prefix: Option<String>,
    /// The `Host` the upstream sees; `None`: the client's.
    pub host: Option<String>,
}

table! {
    /// What the upstream sees instead of what the client asked for.
    pub struct RewriteTable {
        /// Taken off the front of the path, by whole segments.
        "strip_prefix" => strip_prefix: Option<PrefixPath> = none,
        /// Put in place of the literal prefix of the route's path.
        "replace_prefix" => replace_prefix: Option<PrefixPath> = none,
        /// The `Host` the upstream sees.
        "host" => host: Option<HostName> = none "the client's",
    }
}

impl RewriteTable {
    const NONE: Self = Self {
        strip_prefix: None,
        replace_prefix: None,
        host: None,
    };
}

/// A normal path that rewriting may take off or put on.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixPath(pub String);

impl Read for PrefixPath {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a path such as \"/cart\"", |text| {
            let plain =
                |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*' | b'\\');
            let sound = text.starts_with('/')
                && text.bytes().all(plain)
                && !text.contains("//")
                && !text.split('/').any(|segment| matches!(segment, "." | ".."));
            sound.then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("path", "^/")
    }
}

/// A host, perhaps with a port.
#[derive(Debug, Clone, PartialEq)]
pub struct HostName(pub String);

impl Read for HostName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a host such as \"shop.internal\"", |text| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
            (!text.is_empty() && text.bytes().all(plain)).then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("host, perhaps with a port", "")
    }
}

table! {
    /// Limits of the request body.
    pub struct Body {
        /// Largest body; bodies are streamed, so nothing else bounds them.
        "max" => max: Option<Bytes> = none "no limit",
    }
}
