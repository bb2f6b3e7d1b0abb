//! `[services.NAME]`: upstreams, their versions and endpoints.

use super::diagnostic::Diagnostic;
use super::discovery::Discover;
use super::entry::{Breaker, EntryName};
use super::limit::InFlightCap;
use super::reader::{Cx, Kind, Node, Read, ReadNamed, Reference};
use super::rule::{Bounds, Together};
use super::selector::{HashKey, SelectorFor};
use super::shape::Shape;
use super::share::Split;
use super::tls::VersionTls;
use super::units::Percent;
use super::upkeep::{Adaptive, Health, Outliers, Sticky};
use super::values::bounded;
use super::{Name, Place, entry_place, name_is_sound};
use crate::{table, words};
use std::collections::BTreeMap;
use std::time::Duration;

pub use super::endpoint::Endpoint;

/// A service in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The version of uncolored traffic (may be left out when there is only one version).
    pub default: Name,
    pub split: Option<Split>,
    pub balance: Balance,
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub hash: Option<SelectorFor<HashKey>>,
    pub sticky: Option<Sticky>,
    pub health: Option<Health>,
    pub outliers: Option<Outliers>,
    pub breaker: Option<Name>,
    pub max_in_flight: Option<InFlightCap>,
    pub adaptive: Option<Adaptive>,
    pub slow_start: Option<Duration>,
    /// Below this share of healthy endpoints, health is not believed.
    pub panic_threshold: Percent,
    /// Whether endpoints tell their load in `x-endpoint-load`.
    pub reported_load: bool,
    pub grpc: bool,
    /// How long unused connections are kept.
    pub pool_idle: Duration,
    pub versions: BTreeMap<Name, Version>,
    pub at: Place,
}

table! {
    /// An upstream: versions that serve it, and how they are reached.
    pub struct Table {
        /// The version of uncolored traffic. May be left out when there is only one.
        "default" => default: Option<DefaultVersion> = none "the only version",
        /// Shares of uncolored traffic that meet other versions than the default.
        "split" => split: Option<Split> = none,
        /// How endpoints share the requests of a version.
        "balance" => balance: Balance = (Balance::P2c) "\"p2c\"",
        /// The selector of what the hashing balancers hash. A request that does not have it counts
        /// by the client's address.
        "hash" => hash: Option<SelectorFor<HashKey>> = none "the client's address",
        /// Keeps a client at one endpoint.
        "sticky" => sticky: Option<Sticky> = none,
        /// How long things may take.
        "timeouts" => timeouts: Timeouts = (Timeouts::default()) "the defaults below",
        /// When a request is sent again.
        "retry" => retry: Retry = (Retry::default()) "{ attempts = 3, on = [\"connect\"] }",
        /// Active health checks.
        "health" => health: Option<Health> = none within Together,
        /// Ejection of endpoints that fail.
        "outliers" => outliers: Option<Outliers> = none,
        /// The name of a breaker.
        "breaker" => breaker: Option<EntryName<Breaker>> = none,
        /// Most requests in flight: a number, or `{ max = 1024, queue = 100, wait = "50ms" }`.
        "max_in_flight" => max_in_flight: Option<InFlightCap> = none "no limit",
        /// Finds out by latency how many requests it can take at once.
        "adaptive" => adaptive: Option<Adaptive> = none within Together,
        /// How long an endpoint that returns takes to get its full share.
        "slow_start" => slow_start: Option<Duration> = none "at once",
        /// Below this share of healthy endpoints of a version, checks and ejections are not believed.
        "panic_threshold" => panic_threshold: Percent = (Percent(0)) "\"0%\"",
        /// Whether endpoints tell their load in `x-endpoint-load` (0 to 1); it is not sent on.
        "reported_load" => reported_load: bool = (false) "false",
        /// Whether calls of gRPC to versions that speak HTTP/2 may rest within their bodies. `false`
        /// keeps `idle_timeout` and `min_body_rate` of the listener for all requests.
        "grpc" => grpc: bool = (true) "true",
        /// Connections that are kept.
        "pool" => pool: Pool = (Pool { idle: Duration::from_mins(1) }) "see below",
        /// The versions, by name.
        "versions" => versions: Versions = required,
    }
}

impl ReadNamed for Service {
    fn read_named(name: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = Table::read(node, cx)?;
        let Versions(versions) = table.versions;
        let default = match (table.default, versions.keys().next()) {
            (Some(DefaultVersion(default)), _) => default.into(),
            (None, Some(only)) if versions.len() == 1 => only.clone(),
            (None, _) => {
                let message = format!("service `{name}` has several versions and no default");
                let names: Vec<&str> = versions.keys().map(AsRef::as_ref).collect();
                let help = format!("add `default = \"{}\"`", names.first().unwrap_or(&"v1"));
                let diagnostic = Diagnostic::error("TY0205", message);
                cx.report(
                    diagnostic
                        .at(&node.spot(), "`default` is missing here")
                        .help(help),
                );
                return None;
            }
        };
        Some(Self {
            default,
            split: table.split,
            balance: table.balance,
            timeouts: table.timeouts,
            retry: table.retry,
            hash: table.hash,
            sticky: table.sticky,
            health: table.health,
            outliers: table.outliers,
            breaker: table.breaker.map(|name| name.0.into()),
            max_in_flight: table.max_in_flight,
            adaptive: table.adaptive,
            slow_start: table.slow_start,
            panic_threshold: table.panic_threshold,
            reported_load: table.reported_load,
            grpc: table.grpc,
            pool_idle: table.pool.idle,
            versions,
            at,
        })
    }
}

table! {
    /// Connections that are kept.
    pub struct Pool {
        /// How long an unused one is kept.
        "idle" => idle: Duration = (Duration::from_mins(1)) "\"60s\"",
    }
}

/// A service's default version. It refers by itself, so that what is wrong beside it hides nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultVersion(pub String);

impl Read for DefaultVersion {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = String::read(node, cx)?;
        let service = node.owner("services").to_owned();
        cx.refer(Reference {
            from: format!("service `{service}`"),
            kind: Kind::Version { service },
            name: name.clone(),
            spot: node.spot(),
        });
        Some(Self(name))
    }

    fn shape() -> Shape {
        Shape::Text("name of a version", "")
    }
}

words! {
    /// How endpoints share the requests of a version.
    pub enum Balance {
        /// One turn each.
        "round-robin" => RoundRobin,
        /// Turns by weight, spread evenly.
        "weighted" => Weighted,
        /// The less loaded of two endpoints, drawn by weight.
        "p2c" => P2c,
        /// The endpoint with the least load per weight.
        "least-request" => LeastRequest,
        /// Like `p2c`, load being latency (peak-sensitive average) times requests.
        "ewma" => Ewma,
        /// By hash over a permutation table; little moves when endpoints change.
        "maglev" => Maglev,
        /// By hash over a ring, passing overloaded endpoints by.
        "ring-hash" => RingHash,
    }
}

/// How long an upstream must be given.
const WAIT: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "nothing can be in time",
    "leave it out for the default",
);

table! {
    /// How long things may take. What is not set here is set by the wider level, or by default.
    pub struct Timeouts {
        /// One TCP connection attempt.
        "connect" => connect: Option<Duration> = none "\"1s\"" within WAIT,
        /// The whole exchange, all tries, to the end of the answer; for streams and upgrades only
        /// to the head of the answer.
        "request" => request: Option<Duration> = none "no limit but silence" within WAIT,
        /// Longest silence of the upstream.
        "idle" => idle: Option<Duration> = none "`\"60s\"`, or `request` if that is longer" within WAIT,
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::NONE
    }
}

impl Copy for Timeouts {}

impl Timeouts {
    /// Nothing set.
    pub const NONE: Self = Self {
        connect: None,
        request: None,
        idle: None,
    };

    /// These, and the wider level's where they say nothing.
    pub fn or(self, wider: Self) -> Self {
        Self {
            connect: self.connect.or(wider.connect),
            request: self.request.or(wider.request),
            idle: self.idle.or(wider.idle),
        }
    }

    /// Longest silence of the upstream. Whoever lets the whole take longer than that usually may
    /// does not mean a part of it.
    pub fn silence(self) -> Duration {
        const USUAL: Duration = Duration::from_mins(1);
        let whole = self.request.unwrap_or_default();
        self.idle.unwrap_or(whole.max(USUAL))
    }
}

table! {
    /// When a request is sent again.
    pub struct Retry {
        /// Tries in all, the first one included.
        "attempts" => attempts: Attempts = (Attempts(3)) "3",
        /// What is tried again. All but `connect` only where a repeat is safe: idempotent methods
        /// whose body is still at hand (64 KiB).
        "on" => on: Vec<RetryOn> = (vec![RetryOn::Connect]) "[\"connect\"]",
        /// Largest share of the service's requests that may be sent again; new connections are free,
        /// and so are the first three retries of all.
        "budget" => budget: Percent = (Percent(2000)) "\"20%\"",
        /// Longest wait for the head of one try's answer.
        "per_try" => per_try: Option<Duration> = none "what `request` leaves" within WAIT,
        /// Pause before the second try, doubled for each further one, with full jitter; the
        /// first repeat of a failed connection waits for nothing.
        "backoff" => backoff: Duration = (Duration::from_millis(25)) "\"25ms\"",
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Attempts(3),
            on: vec![RetryOn::Connect],
            budget: Percent(2000),
            per_try: None,
            backoff: Duration::from_millis(25),
        }
    }
}

/// 1 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u8);

impl Read for Attempts {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        bounded(node, cx, 1, 10).map(Self)
    }

    fn shape() -> Shape {
        Shape::Integer(1, 10)
    }
}

words! {
    /// What is tried again.
    pub enum RetryOn {
        /// A connection that could not be made: no byte has left, so any method is safe.
        "connect" => Connect,
        /// A connection that broke before an answer.
        "reset" => Reset,
        /// An answer that took too long.
        "timeout" => Timeout,
        /// 502 from the upstream.
        "502" => BadGateway,
        /// 503 from the upstream.
        "503" => Unavailable,
        /// 504 from the upstream.
        "504" => GatewayTimeout,
    }
}

/// Versions by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions(pub BTreeMap<Name, Version>);

impl Read for Versions {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = node.table(cx)?;
        let mut versions = Some(BTreeMap::new());
        for (name, node) in table.entries() {
            let sound = name_is_sound(name.get_ref(), &node, name.span(), cx);
            let at = entry_place(&node, name.span());
            let read = VersionTable::read(&node, cx);
            let read = read.and_then(|table| Version::new(table, at, &node, cx));
            match (read.filter(|_| sound), &mut versions) {
                (Some(version), Some(versions)) => {
                    versions.insert(Name::from(*name.get_ref()), version);
                }
                _ => versions = None,
            }
        }
        if versions.as_ref().is_some_and(BTreeMap::is_empty) {
            node.invalid(cx, format!("`{}` has no versions", node.path), "empty");
            return None;
        }
        versions.map(Self)
    }

    fn shape() -> Shape {
        Shape::Map("version", Box::new(VersionTable::shape()))
    }
}

/// A version in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Empty where they are discovered.
    pub endpoints: Vec<Endpoint>,
    pub discover: Option<Discover>,
    pub tls: Option<VersionTls>,
    pub http: UpstreamHttp,
    pub at: Place,
}

impl Version {
    fn new(table: VersionTable, at: Place, node: &Node, cx: &Cx) -> Option<Self> {
        let http = match (table.http, &table.tls) {
            (Some(http), _) => http,
            (None, None) => UpstreamHttp::H1,
            (None, Some(_)) => UpstreamHttp::Auto,
        };
        let wrong = match (http, &table.tls) {
            (UpstreamHttp::H2 | UpstreamHttp::Auto, None) => Some((
                "HTTP/2 is agreed upon by TLS, and this version has no `tls`",
                "add `tls = {}`, or say `http = \"h2c\"`",
            )),
            (UpstreamHttp::H2c, Some(_)) => Some((
                "`h2c` is HTTP/2 without TLS, and this version has `tls`",
                "say `http = \"h2\"`",
            )),
            _ => None,
        };
        if let Some((message, help)) = wrong {
            let diagnostic = Diagnostic::error("TY0203", message);
            cx.report(diagnostic.at(&node.spot(), "in this version").help(help));
            return None;
        }
        let (endpoints, discover) = match (table.endpoints, table.discover) {
            (Some(endpoints), None) => (endpoints, None),
            (None, Some(discover)) => (Vec::new(), Some(discover)),
            _ => {
                let message = "a version has either `endpoints` or `discover`";
                let diagnostic = Diagnostic::error("TY0203", message);
                cx.report(diagnostic.at(&node.spot(), "in this version"));
                return None;
            }
        };
        Some(Self {
            endpoints,
            discover,
            tls: table.tls,
            http,
            at,
        })
    }
}

table! {
    /// One version of a service.
    pub struct VersionTable {
        /// Where it is served: `"host:port"`, `"unix:/path"`, or
        /// `{ address = "host:port", weight = 2 }`.
        "endpoints" => endpoints: Option<Vec<Endpoint>> = none,
        /// How it is reached over TLS.
        "tls" => tls: Option<VersionTls> = none "without TLS",
        /// The protocol towards it.
        "http" => http: Option<UpstreamHttp> = none "\"h1\", with TLS \"auto\"",
        /// Where its endpoints are discovered, in place of `endpoints`.
        "discover" => discover: Option<Discover> = none,
    }
}

words! {
    /// The protocol towards an upstream.
    pub enum UpstreamHttp {
        /// HTTP/1.1.
        "h1" => H1,
        /// HTTP/2 over TLS.
        "h2" => H2,
        /// HTTP/2 without TLS, with prior knowledge: what gRPC servers inside a cluster speak.
        "h2c" => H2c,
        /// HTTP/2 if the upstream offers it (ALPN), else HTTP/1.1.
        "auto" => Auto,
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
