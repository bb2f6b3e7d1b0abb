//! `[telemetry] traces` and `metrics`: what goes to an OpenTelemetry collector, and which requests
//! are worth a trace.

use super::Name;
use super::admin::Secret;
use super::reader::{Cx, Kind, Node, Read, Reference};
use super::rule::Bounds;
use super::shape::Shape;
use super::units::Percent;
use super::values::parsed;
use crate::{table, words};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

table! {
    /// Which requests are traced, and where their spans go. The standard `OTEL_*` variables win.
    pub struct Traces {
        /// Share of requests that is traced, where no believed parent has decided.
        "sample" => sample: Percent = (SAMPLE) "\"1%\"",
        /// The same for single routes: `{ ping = "0%", pay = "100%" }`.
        "routes" => routes: RouteShares = (RouteShares(Vec::new())) "{}",
        /// What is traced whatever the draw said. Decided when a request has ended, so of these the
        /// gateway's own spans alone are there.
        "keep" => keep: Vec<Keep> = (KEEP.to_vec()) "[\"errors\", \"slow\", \"fallbacks\"]",
        /// From when on a request is `slow`. Streams never are.
        "slow" => slow: Duration = (SLOW) "\"2s\"",
        /// Whose `sampled` flag decides; of others, only the trace's id is taken over.
        "parent" => parent: Parent = (Parent::Trusted) "\"trusted\"",
        /// Headers that carry the context, in the order in which they are looked for.
        "propagate" => propagate: Vec<Propagator> = (PROPAGATE.to_vec()) "[\"tracecontext\", \"baggage\"]",
        /// The collector's address; `/v1/traces` is added for HTTP.
        "otlp" => otlp: Option<Url> = none "`http://localhost:4318`, with gRPC `:4317`",
        /// What the collector speaks.
        "protocol" => protocol: Protocol = (Protocol::HttpProtobuf) "\"http/protobuf\"",
        /// Headers that the collector wants, such as `{ x-scope-orgid = "shop", authorization = { env = "OTLP_TOKEN" } }`.
        "headers" => headers: Headers = (Vec::new()) "{}",
    }
}

const SAMPLE: Percent = Percent(100);
const KEEP: [Keep; 3] = [Keep::Errors, Keep::Slow, Keep::Fallbacks];
const SLOW: Duration = Duration::from_secs(2);
const PROPAGATE: [Propagator; 2] = [Propagator::Tracecontext, Propagator::Baggage];

impl Default for Traces {
    fn default() -> Self {
        Self {
            sample: SAMPLE,
            routes: RouteShares(Vec::new()),
            keep: KEEP.to_vec(),
            slow: SLOW,
            parent: Parent::Trusted,
            propagate: PROPAGATE.to_vec(),
            otlp: None,
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
        }
    }
}

table! {
    /// Metrics pushed to a collector, besides being there to be scraped. `OTEL_*` variables win.
    pub struct Push {
        /// The collector's address; `/v1/metrics` is added for HTTP.
        "otlp" => otlp: Option<Url> = none "`http://localhost:4318`, with gRPC `:4317`",
        /// What the collector speaks.
        "protocol" => protocol: Protocol = (Protocol::HttpProtobuf) "\"http/protobuf\"",
        /// Headers that the collector wants, such as `{ x-scope-orgid = "shop", authorization = { env = "OTLP_TOKEN" } }`.
        "headers" => headers: Headers = (Vec::new()) "{}",
        /// Pause between two pushes.
        "every" => every: Duration = (EVERY) "\"60s\"" within PAUSE,
    }
}

const EVERY: Duration = Duration::from_mins(1);
const PAUSE: Bounds<Duration> = Bounds::least(
    Duration::from_millis(10),
    "metrics would be pushed without a pause",
    "leave it out for \"60s\"",
);

impl Default for Push {
    fn default() -> Self {
        Self {
            otlp: None,
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            every: EVERY,
        }
    }
}

words! {
    /// What is traced whatever the draw said.
    pub enum Keep {
        /// Answers of 500 and above.
        "errors" => Errors,
        /// Requests that took longer than `slow`.
        "slow" => Slow,
        /// Colored requests that another version had to serve.
        "fallbacks" => Fallbacks,
    }
}

words! {
    /// Whose `sampled` flag is believed.
    pub enum Parent {
        /// That of clients in `clients.trust`.
        "trusted" => Trusted,
        /// Anyone's.
        "anyone" => Anyone,
        /// Nobody's.
        "nobody" => Nobody,
    }
}

words! {
    /// Headers that carry the context of a trace.
    pub enum Propagator {
        /// `traceparent` and `tracestate`.
        "tracecontext" => Tracecontext,
        /// `baggage`, which passes in any case.
        "baggage" => Baggage,
        /// One `b3` header.
        "b3" => B3,
        /// Several `x-b3-*` headers.
        "b3multi" => B3Multi,
    }
}

words! {
    /// What an OpenTelemetry collector speaks.
    pub enum Protocol {
        /// Protobuf over HTTP, usually on port 4318.
        "http/protobuf" => HttpProtobuf,
        /// gRPC, usually on port 4317.
        "grpc" => Grpc,
    }
}

/// The address of a collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Url(pub String);

impl Url {
    /// Takes what begins with a scheme and names a host.
    pub fn new(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let named = uri.host().is_some_and(|host| !host.is_empty());
        (known && named && uri.query().is_none()).then(|| Self(text.to_owned()))
    }
}

impl Read for Url {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let what = "the address of a collector, such as \"http://127.0.0.1:4318\"";
        parsed(node, cx, what, Self::new)
    }

    fn shape() -> Shape {
        Shape::Text(
            "address of a collector, such as `http://127.0.0.1:4318`",
            "^https?://",
        )
    }
}

/// Headers for a collector.
pub type Headers = Vec<(HeaderName, HeaderText)>;

/// What a header tells a collector.
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderText {
    Open(HeaderValue),
    Secret(Secret),
}

/// A header whose name holds one of these keeps a secret.
const SECRET: [&str; 7] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "token",
];

impl HeaderText {
    /// The value as it is now, never to be printed; `None` when it cannot be read.
    pub fn value(&self) -> Option<HeaderValue> {
        let mut value = match self {
            Self::Open(value) => value.clone(),
            Self::Secret(secret) => secret.text()?.parse().ok()?,
        };
        value.set_sensitive(true);
        Some(value)
    }
}

impl Read for HeaderText {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let name = node.key().to_ascii_lowercase();
        if !node.value.is_str() || SECRET.iter().any(|word| name.contains(word)) {
            return Secret::read(node, cx).map(Self::Secret);
        }
        let what = "the value of a header";
        parsed(node, cx, what, |text| text.parse().ok()).map(Self::Open)
    }

    fn shape() -> Shape {
        let text = Shape::Text("value of a header that keeps no secret", "");
        Shape::Any(vec![text, Secret::shape()])
    }
}

/// Shares by the name of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteShares(pub Vec<(Name, Percent)>);

impl Read for RouteShares {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = node.table(cx)?;
        let mut shares = Some(Vec::new());
        for (name, node) in table.entries() {
            cx.refer(Reference {
                kind: Kind::Route,
                name: (*name.get_ref()).to_owned(),
                spot: node.spot(),
                from: "`traces.routes`".to_owned(),
            });
            match (Percent::read(&node, cx), &mut shares) {
                (Some(share), Some(shares)) => shares.push((Name::from(*name.get_ref()), share)),
                _ => shares = None,
            }
        }
        shares.map(Self)
    }

    fn shape() -> Shape {
        Shape::Map("name of a route", Box::new(Percent::shape()))
    }
}
