//! What keeps the endpoints of a service alive: health checks, ejection, stickiness, importance.

use super::breaker::StatusMatch;
use super::policy::Mode;
use super::reader::{Cx, Node, Read};
use super::shape::Shape;
use super::units::Percent;
use super::values::parsed;
use crate::{table, words};
use std::time::Duration;

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
        "every" => every: Duration = (Duration::from_secs(5)) "\"5s\"",
        /// Longest wait for one check.
        "timeout" => timeout: Duration = (Duration::from_secs(1)) "\"1s\"",
        /// Checks in a row that must pass.
        "healthy_after" => healthy_after: u32 = (2) "2",
        /// Checks in a row that must fail.
        "unhealthy_after" => unhealthy_after: u32 = (3) "3",
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

table! {
    /// Ejection of endpoints that fail.
    pub struct Outliers {
        /// Answers of 5xx, resets and timeouts in a row.
        "consecutive_failures" => consecutive_failures: u32 = (5) "5",
        /// First ejection; each further one is longer, up to ten times.
        "eject_for" => eject_for: Duration = (Duration::from_secs(30)) "\"30s\"",
        /// Largest share of a version's endpoints that may be out; at least one may.
        "max_ejected" => max_ejected: Percent = (Percent(1000)) "\"10%\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
    }
}

table! {
    /// Keeps a client at one endpoint, by a cookie that the gateway sets.
    pub struct Sticky {
        /// The cookie's name.
        "cookie" => cookie: CookieName = required,
        /// How long the client keeps it.
        "max_age" => max_age: Option<Duration> = none "until the browser closes",
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

table! {
    /// Finds out by latency how many requests a service can take at once.
    pub struct Adaptive {
        /// Never fewer in flight than this.
        "min" => min: u32 = (8) "8",
        /// Never more in flight than this.
        "max" => max: u32 = (1024) "1024",
        /// How much slower than at best an answer may get before the limit shrinks.
        "tolerance" => tolerance: Percent = (Percent(5000)) "\"50%\"",
        /// Whether it acts.
        "mode" => mode: Mode = (Mode::Enforce) "\"enforce\"",
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
