//! A request put to the decision without being sent: what `explain` asks, in the CLI and the API.

use crate::config::Config;
use crate::routing::claims::Claims;
use crate::routing::client_fields;
use crate::routing::explain::Explanation;
use crate::routing::host::normalise_host;
use crate::routing::path::normalise_target;
use crate::routing::{Availability, Table, View};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A request in words.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Default GET.
    #[serde(default)]
    pub method: Option<String>,
    /// `http[s]://host/path?query`, or `/path`.
    pub url: String,
    #[serde(default)]
    pub headers: Headers,
    /// What its verified token says. Without it, a token among the headers counts as valid.
    #[serde(default)]
    pub claims: Option<Claims>,
    /// The client's address; default 127.0.0.1.
    #[serde(default)]
    pub from: Option<IpAddr>,
}

/// Header fields: `{ "name": "value" }` or `{ "name": ["one", "two"] }`.
pub type Headers = std::collections::BTreeMap<String, Values>;

/// One value or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    One(String),
    Many(Vec<String>),
}

impl Question {
    /// Decides and explains; the same code serves traffic. `by` tells colors that a provider has
    /// signed, which only a running gateway knows.
    ///
    /// # Errors
    /// What is malformed about the request.
    pub fn ask(
        &self,
        table: &Table,
        config: &Config,
        availability: &impl Availability,
        by: impl Fn(&str) -> Option<(String, u64)>,
    ) -> Result<Explanation, String> {
        let method = self.method.as_deref().unwrap_or("GET");
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| "the method is malformed")?;
        let (authority, target) = split(&self.url);
        let mut headers = self.fields()?;
        let field = headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned);
        let authority = authority.or(field.as_deref()).unwrap_or("");
        let host = normalise_host(authority).map_err(|error| format!("the host: {error}"))?;
        let target =
            normalise_target(target.as_bytes()).map_err(|error| format!("the path: {error}"))?;
        let from = self
            .from
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let assumed = Self::assumed_claims(&headers);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let vouched = table.vouched(&headers, target.query, now, by);
        let vouched = vouched.map(|vouched| vouched.color);
        let (client, trusted) = client_fields::arrive(config, &mut headers, from, authority)?;
        let view = View {
            method: &method,
            host: &host,
            path: &target.path,
            query: target.query,
            headers: &headers,
            client,
            trusted,
            claims: self.claims.as_ref().or(assumed.as_ref()),
            vouched,
            bucket: None,
        };
        Ok(table.explain(config, &view, availability))
    }

    /// The claims of a bearer token, unverified: what would happen if it were good.
    fn assumed_claims(headers: &HeaderMap) -> Option<Claims> {
        let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let token = value
            .split_at_checked(7)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer "));
        let payload = URL_SAFE_NO_PAD
            .decode(token?.1.trim().split('.').nth(1)?)
            .ok()?;
        serde_json::from_slice(&payload).ok()
    }

    fn fields(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            let parsed: HeaderName = name
                .to_ascii_lowercase()
                .parse()
                .map_err(|_| format!("header name `{name}`"))?;
            for value in values {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| format!("the value of header `{name}` is malformed"))?;
                headers.append(parsed.clone(), value);
            }
        }
        Ok(headers)
    }
}

/// Authority and target of a URL.
fn split(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://") else {
        return (None, url);
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(at);
    (
        Some(authority),
        if target.is_empty() { "/" } else { target },
    )
}
