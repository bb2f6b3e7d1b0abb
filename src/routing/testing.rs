//! Builders for tests: configurations by hand, views from a line of text.

use super::{Availability, ServiceId, VersionId, View};
use crate::config::admin::{Admin, Secret};
use crate::config::color::{Color, Coloring, Fallback, Source, Unknown};
use crate::config::route::{HostMatch, Match, PathMatch, Rewrite, Route, Segment, Target};
use crate::config::server::{Drain, Server};
use crate::config::service::{Balance, Endpoint, Retry, Service, Timeouts, Version};
use crate::config::telemetry::{AccessLog, LogPath, Telemetry};
use crate::config::{Config, Name};
use http::{HeaderMap, HeaderName, Method};
use std::collections::BTreeMap;
use std::time::Duration;

/// A path as a configuration spells it.
pub fn path(text: &str) -> PathMatch {
    let (text, prefix) = match text.strip_suffix("/*") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let segments = text.split('/').skip(1).map(|segment| {
        match segment
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        {
            Some(name) => Segment::Parameter(name.to_owned()),
            None => Segment::Literal(segment.to_owned()),
        }
    });
    let segments: Vec<Segment> = segments.collect();
    if prefix {
        PathMatch::Prefix(segments)
    } else if segments
        .iter()
        .any(|segment| matches!(segment, Segment::Parameter(_)))
    {
        PathMatch::Template(segments)
    } else {
        PathMatch::Exact(segments)
    }
}

pub fn host(text: &str) -> HostMatch {
    match text.strip_prefix("*.") {
        _ if text == "*" => HostMatch::Any,
        Some(suffix) => HostMatch::Wildcard(suffix.to_owned()),
        None => HostMatch::Exact(text.to_owned()),
    }
}

/// A route of any host to the service `shop`.
pub fn route(at: &str) -> Route {
    Route {
        matches: Match {
            host: HostMatch::Any,
            path: path(at),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        },
        priority: 0,
        target: Target::Service("shop".into()),
        rewrite: Rewrite::default(),
        body_max: None,
        timeouts: Timeouts::default(),
        at: Default::default(),
    }
}

/// A service with these versions, the first one the default.
pub fn service(versions: &[&str]) -> Service {
    let version = Version {
        endpoints: vec![Endpoint {
            address: "127.0.0.1:1".into(),
            weight: 1,
        }],
        at: Default::default(),
    };
    Service {
        default: versions[0].into(),
        balance: Balance::RoundRobin,
        timeouts: Timeouts::default(),
        retry: Retry {
            attempts: 3,
            on: Vec::new(),
        },
        versions: versions
            .iter()
            .map(|name| (Name::from(*name), version.clone()))
            .collect(),
        at: Default::default(),
    }
}

/// The color sends `shop` to this version; no rule gives it.
pub fn color(version: &str) -> Color {
    Color {
        when: Vec::new(),
        versions: [(Name::from("shop"), Name::from(version))].into(),
        fallback: Fallback::Default,
        hex: None,
        at: Default::default(),
    }
}

/// The service `shop` with `v1` and `v2`, the color `canary` for `v2`, and these routes.
pub fn config(routes: impl IntoIterator<Item = (&'static str, Route)>) -> Config {
    Config {
        server: Server {
            threads: 1,
            drain: Drain {
                delay: Duration::ZERO,
                timeout: Duration::from_secs(1),
            },
        },
        listeners: BTreeMap::new(),
        admin: Admin {
            bind: None,
            token: Secret::StateFile,
            metrics: None,
            explicit: false,
        },
        services: [(Name::from("shop"), service(&["v1", "v2"]))].into(),
        coloring: Coloring {
            header: HeaderName::from_static("x-tyrian-color"),
            sources: vec![
                Source::Header,
                Source::Cookie("color".to_owned()),
                Source::Baggage("color".to_owned()),
            ],
            unknown: Unknown::Default,
        },
        colors: [(Name::from("canary"), color("v2"))].into(),
        routes: routes
            .into_iter()
            .map(|(name, route)| (name.into(), route))
            .collect(),
        telemetry: Telemetry {
            service_name: "test".to_owned(),
            access_log: AccessLog {
                path: LogPath::Off,
                skip: Vec::new(),
            },
        },
        tests: Vec::new(),
    }
}

/// A request to look at.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub host: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub trusted: bool,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            host: "a.example".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            trusted: true,
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub fn view(&self) -> View<'_> {
        View {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            client: [192, 0, 2, 1].into(),
            trusted: self.trusted,
        }
    }
}

/// Everything is available but these.
#[derive(Debug, Default)]
pub struct Down(pub Vec<(u32, u16)>);

impl Availability for Down {
    fn available(&self, service: ServiceId, version: VersionId) -> bool {
        !self.0.contains(&(service.0, version.0))
    }

    fn exists(&self, _: ServiceId, _: VersionId) -> bool {
        true
    }
}
