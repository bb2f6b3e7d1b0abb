//! `routes.ROUTE.mirror`: copies of requests for another service or version, and what of their
//! answers is compared.

use super::Name;
use super::reader::{Cx, Node, Read};
use super::rule::Bounds;
use super::shape::Shape;
use super::units::{Bytes, Percent};
use crate::table;
use http::HeaderName;
use std::time::Duration;

/// A copy of requests for another service, in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    pub service: Name,
    /// `None`: that of the request's color, else the default.
    pub version: Option<Name>,
    pub percent: Percent,
    pub timeout: Duration,
    pub max_in_flight: u32,
    pub body_max: Bytes,
    pub compare: Option<Compare>,
}

const WAIT: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "no answer could come in time",
    "leave it out for \"5s\"",
);
const COPIES: Bounds<u32> = Bounds::least(
    1,
    "every copy would be dropped",
    "to copy nothing, say `percent = \"0%\"`",
);

table! {
    /// A copy of requests for another service. Its answers reach nobody; it never slows anyone.
    pub struct MirrorTable {
        /// Who gets the copies.
        "service" => service: String = required,
        /// Which version of it.
        "version" => version: Option<String> = none "that of the request's color, else the default",
        /// Share of requests that is copied.
        "percent" => percent: Percent = (Percent(10_000)) "\"100%\"",
        /// Longest wait for a copy's answer.
        "timeout" => timeout: Duration = (Duration::from_secs(5)) "\"5s\"" within WAIT,
        /// Most copies in flight; further ones are dropped and counted.
        "max_in_flight" => max_in_flight: u32 = (64) "64" within COPIES,
        /// Largest body that is copied; requests with larger ones are not.
        "body_max" => body_max: Bytes = (Bytes(64 * 1024)) "\"64KiB\"",
        /// What of the answers is compared with the original's; `{}` for status, body and latency.
        "compare" => compare: Option<Compare> = none "nothing",
    }
}

table! {
    /// What of a copy's answer is compared with the original's, besides status and latency.
    pub struct Compare {
        /// Fields of the head.
        "headers" => headers: Vec<HeaderName> = (Vec::new()) "[]",
        /// The body, by a hash of its first MiB.
        "body" => body: bool = (true) "true",
        /// Share of compared requests (GET, HEAD and OPTIONS only) that the original's version is
        /// asked a second time: what differs then is noise.
        "noise" => noise: Percent = (Percent(1000)) "\"10%\"",
    }
}

impl Compare {
    /// Besides status and latency.
    pub const fn nothing() -> Self {
        Self {
            headers: Vec::new(),
            body: false,
            noise: Percent(0),
        }
    }
}

impl Read for Mirror {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = MirrorTable::read(node, cx)?;
        Some(Self {
            service: table.service.into(),
            version: table.version.map(Into::into),
            percent: table.percent,
            timeout: table.timeout,
            max_in_flight: table.max_in_flight,
            body_max: table.body_max,
            compare: table.compare,
        })
    }

    fn shape() -> Shape {
        MirrorTable::shape()
    }
}
