//! A configuration of many routes and one request to it: many hosts, paths of three to four
//! segments, some parameters, a header condition, a color by header.

use http::{HeaderMap, HeaderValue, Method};
use std::fmt::Write;
use tyrian::config::load_text;
use tyrian::routing::{Availability, Decision, ServiceId, Table, VersionId, View};

/// Everything is available.
struct Up;

impl Availability for Up {
    fn available(&self, _: ServiceId, _: VersionId) -> bool {
        true
    }

    fn exists(&self, _: ServiceId, _: VersionId) -> bool {
        true
    }
}

pub struct World {
    pub table: Table,
    headers: HeaderMap,
    host: String,
    path: String,
    trusted: bool,
}

/// The text of a configuration with so many routes.
pub fn text(routes: usize) -> String {
    let mut text = String::from(
        "[services.app]\ndefault = \"v1\"\nversions.v1.endpoints = [\"127.0.0.1:1\"]\n\
         versions.v2.endpoints = [\"127.0.0.1:2\"]\n\
         [colors.canary]\nversions = { app = \"v2\" }\nwhen = [{ header = { x-group = \"beta\" } }]\n",
    );
    for index in 0..routes {
        let host = index / 10;
        let matches = match index % 10 {
            0 => "path = \"/api/v1/users/{id}/orders\"".to_owned(),
            1 => "path = \"/api/v1/users/*\", headers = { x-app = \"shop\" }".to_owned(),
            2 => "path = \"/api/v1/users/*\"".to_owned(),
            3 => "path = \"/*\"".to_owned(),
            n => format!("path = \"/api/v{n}/things/*\", methods = [\"GET\", \"POST\"]"),
        };
        let _ = write!(
            text,
            "[routes.r{index}]\nmatch = {{ host = \"h{host}.example.com\", {matches} }}\nservice = \"app\"\n"
        );
    }
    text
}

/// A color whose share of users a rollout moves.
const SHARE: &str = r#"
[colors.next]
versions = { app = "v2" }
share = { percent = "5%", sticky = "cookie:uid" }
[rollouts.next]
steps = ["5%", "100%"]
every = "5m"
"#;

impl World {
    pub fn new(routes: usize) -> Self {
        Self::of(&text(routes), routes)
    }

    /// One with a share, which the request's user is not among.
    pub fn with_share(routes: usize) -> Self {
        Self::of(&(text(routes) + SHARE), routes)
    }

    /// From a stranger, to a route that looks at host and path alone: the color by a rule is the only
    /// thing that headers are asked for.
    pub fn plain(mut self) -> Self {
        self.trusted = false;
        "/api/v4/things/42".clone_into(&mut self.path);
        self
    }

    /// Without the header that gives it a color.
    pub fn uncolored(mut self) -> Self {
        self.headers.remove("x-group");
        let color = self.decide().color.requested;
        assert_eq!(color, None, "the user is among those of the share");
        self
    }

    fn of(text: &str, routes: usize) -> Self {
        let config = load_text("bench", text, &|_| None)
            .config
            .unwrap_or_else(|| {
                std::process::abort();
            });
        let table = Table::build(&config).unwrap_or_else(|_| std::process::abort());
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "h0.example.com"),
            ("user-agent", "bench/1.0"),
            ("accept", "*/*"),
            ("x-app", "shop"),
            ("x-group", "beta"),
            ("x-request-id", "0198f2c0"),
            ("cookie", "theme=dark; uid=alice; lang=en"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let host = format!("h{}.example.com", routes / 20);
        Self {
            table,
            headers,
            host,
            path: "/api/v1/users/42/profile".to_owned(),
            trusted: true,
        }
    }

    pub fn decide(&self) -> Decision {
        let view = View {
            method: &Method::GET,
            host: &self.host,
            path: &self.path,
            query: "a=b",
            headers: &self.headers,
            client: [10, 0, 0, 1].into(),
            trusted: self.trusted,
            claims: None,
            vouched: None,
            bucket: None,
        };
        self.table.decide(&view, &Up)
    }
}
