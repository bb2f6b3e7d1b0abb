//! Builders for tests: configurations from text, requests from a line.

use super::{Availability, ServiceId, VersionId, View};
use crate::config::route::Route;
use crate::config::{Config, load_text};
use http::{HeaderMap, Method};

/// What every test configuration has besides its routes.
const BASE: &str = r#"
[services.shop]
default = "v1"
versions.v1.endpoints = ["127.0.0.1:1"]
versions.v2.endpoints = ["127.0.0.1:2"]

[coloring]
sources = ["header", "cookie:color", "baggage:color"]

[colors.canary]
versions = { shop = "v2" }
"#;

/// The base and this text.
///
/// # Panics
/// When it does not load.
pub fn config(text: &str) -> Config {
    let loaded = load_text("test.toml", &format!("{BASE}\n{text}"), &|_| None);
    let problems = loaded.render_human(false);
    loaded.config.unwrap_or_else(|| panic!("{problems}"))
}

/// A route of this path to the service `shop`.
pub fn route(path: &str) -> Route {
    let text = format!("[routes.it]\nmatch = {{ path = {path:?} }}\nservice = \"shop\"");
    config(&text).routes["it"].clone()
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
            claims: None,
            vouched: None,
            bucket: None,
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
