//! What keeps the endpoints of a service alive: health checks, ejection, stickiness, importance.

use super::breaker::StatusMatch;
use super::policy::Mode;
use super::reader::{Cx, Node, Read};
use super::rule::{Bounds, Coherent, Incoherence};
use super::shape::Shape;
use super::units::Percent;
use super::values::parsed;
use crate::{table, words};
use std::time::Duration;

/// Shortest pause between two checks of an endpoint.
const PAUSE: Bounds<Duration> = Bounds::least(
    Duration::from_millis(10),
    "endpoints would be checked without a pause",
    "leave it out for \"5s\"",
);
/// Longest waits that make sense at all.
const WAIT: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "no check could pass in time",
    "leave it out for \"1s\"",
);
const CHECKS: Bounds<u32> = Bounds::least(
    1,
    "a verdict needs a check",
    "1 believes each check by itself",
);

table! {
    /// Active health checks.
    pub struct Health {
        /// What is checked.
        "kind" => kind: HealthKind = (HealthKind::Auto) "`http` with a `path`, else `tcp`",
        /// Path that answers well when the endpoint is well.
        "path" => path: Option<String> = none "`/` for `http`",
        /// `Host` of the check, or the gRPC service that is asked about.
        "host" => host: Option<String> = none "the endpoint's address",
        /// Statuses that count as well.
        "statuses" => statuses: Vec<StatusMatch> = (vec![StatusMatch(200, 299)]) "[\"2xx\"]",
        /// Pause between two checks, with a tenth of jitter.
        "every" => every: Duration = (Duration::from_secs(5)) "\"5s\"" within PAUSE,
        /// Longest wait for one check.
        "timeout" => timeout: Duration = (Duration::from_secs(1)) "\"1s\"" within WAIT,
        /// Checks in a row that must pass.
        "healthy_after" => healthy_after: u32 = (2) "2" within CHECKS,
        /// Checks in a row that must fail.
        "unhealthy_after" => unhealthy_after: u32 = (3) "3" within CHECKS,
    }
}

impl Coherent for Health {
    fn incoherence(&self, _: &Node, _: &Cx) -> Option<Incoherence> {
        let wrong = |key, message: &str, label, help| {
            Some(Incoherence {
                key,
                message: message.to_owned(),
                label,
                help,
            })
        };
        let path = self.path.as_deref();
        if path.is_some_and(|path| !path.starts_with('/') || path.contains(char::is_whitespace)) {
            let message = "the path of a health check must be one that can be asked for";
            let help = "such as \"/healthz\", perhaps with a query";
            return wrong("path", message, "no absolute path", help);
        }
        if self.statuses.is_empty() {
            let help = "leave it out for [\"2xx\"]";
            let message = "no status of a health check counts as well";
            return wrong("statuses", message, "never healthy", help);
        }
        match (self.kind, path, &self.host) {
            (HealthKind::Tcp, Some(_), _) => {
                let message = "a check by `tcp` asks for no path";
                let help = "say `kind = \"http\"`, or leave `path` out";
                wrong("path", message, "never asked for", help)
            }
            (HealthKind::Grpc, Some(_), _) => {
                let message = "a check by `grpc` asks for no path";
                let help = "say in `host` which service is asked about, and leave `path` out";
                wrong("path", message, "never asked for", help)
            }
            (HealthKind::Tcp | HealthKind::Auto, None, Some(_)) => {
                let message = "a check by `tcp` names no host";
                let help = "say `kind = \"http\"`, or leave `host` out";
                wrong("host", message, "never sent", help)
            }
            _ => None,
        }
    }
}

words! {
    /// What a health check does.
    pub enum HealthKind {
        /// `http` with a `path`, else `tcp`.
        "auto" => Auto,
        /// A GET.
        "http" => Http,
        /// A connection.
        "tcp" => Tcp,
        /// `grpc.health.v1.Health/Check`.
        "grpc" => Grpc,
    }
}

const FAILURES: Bounds<u32> = Bounds::least(
    1,
    "an endpoint would be out before it failed",
    "to eject nobody, leave `outliers` out",
);
const OUT: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "an ejected endpoint would be back at once",
    "to eject nobody, leave `outliers` out",
);

table! {
    /// Ejection of endpoints that fail.
    pub struct Outliers {
        /// Answers of 5xx, resets and timeouts in a row.
        "consecutive_failures" => consecutive_failures: u32 = (5) "5" within FAILURES,
        /// First ejection; each further one is longer, up to ten times.
        "eject_for" => eject_for: Duration = (Duration::from_secs(30)) "\"30s\"" within OUT,
        /// Largest share of a version's endpoints that may be out; at least one may. The last one that
        /// is available stays, whatever the share.
        "max_ejected" => max_ejected: Percent = (Percent(1000)) "\"10%\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

/// Cookies count whole seconds.
const AGE: Bounds<Duration> = Bounds::least(
    Duration::from_secs(1),
    "the browser would drop it at once",
    "leave it out, and the browser keeps it until it closes",
);

table! {
    /// Keeps a client at one endpoint, by a cookie that the gateway sets.
    pub struct Sticky {
        /// The cookie's name.
        "cookie" => cookie: CookieName = required,
        /// How long the client keeps it.
        "max_age" => max_age: Option<Duration> = none "until the browser closes" within AGE,
    }
}

/// A cookie's name (a token of RFC 9110).
#[derive(Debug, Clone, PartialEq)]
pub struct CookieName(pub String);

impl Read for CookieName {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        parsed(node, cx, "a cookie's name", |text| {
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            (!text.is_empty() && text.bytes().all(token)).then(|| Self(text.to_owned()))
        })
    }

    fn shape() -> Shape {
        Shape::Text("cookie name", "")
    }
}

const PLACES: Bounds<u32> = Bounds::least(1, "nobody could get in", "leave it out for the default");

table! {
    /// Finds out by latency how many requests a service can take at once.
    pub struct Adaptive {
        /// Never fewer in flight than this.
        "min" => min: u32 = (8) "8" within PLACES,
        /// Never more in flight than this.
        "max" => max: u32 = (1024) "1024" within PLACES,
        /// How much slower than at best an answer may get before the limit shrinks.
        "tolerance" => tolerance: Percent = (Percent(5000)) "\"50%\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

impl Coherent for Adaptive {
    fn incoherence(&self, node: &Node, cx: &Cx) -> Option<Incoherence> {
        let Self { min, max, .. } = self;
        let written = |key| node.table(cx).and_then(|mut table| table.get(key));
        (min > max).then(|| Incoherence {
            key: if written("min").is_some() {
                "min"
            } else {
                "max"
            },
            message: format!("`min` is {min}, which is more than `max`, which is {max}"),
            label: "the wrong way around",
            help: "the limit moves between the two",
        })
    }
}

words! {
    /// Who goes first when there is not enough for all: spare routes fail first, core ones last.
    pub enum Importance {
        /// Served to the last.
        "core" => Core,
        /// Served until it hurts.
        "normal" => Normal,
        /// Given up first.
        "spare" => Spare,
    }
}
