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

/// What is known beyond the configuration, by a running gateway or from files.
pub trait World: Availability {
    /// The color that a provider has signed, and when it expires.
    fn color_by_token(&self, _token: &str) -> Option<(String, u64)> {
        None
    }

    /// The color that the request is taken to bring with a sound signature.
    fn signed(&self) -> Option<&str> {
        None
    }

    /// The user's bucket, in place of the one that the request's key gives.
    fn bucket(&self) -> Option<u16> {
        None
    }

    /// Who holds the API key among the headers, as this table of keys knows.
    fn holder(&self, _provider: &str, _headers: &HeaderMap) -> Holder {
        Holder::NoKey
    }

    /// Adds the live state to an explanation.
    fn amend(&self, _view: &View, _explanation: &mut Explanation) {}
}

/// Who holds the API key of a request.
#[derive(Debug)]
pub enum Holder {
    /// There is no key, or it is not known whose it is.
    NoKey,
    /// No consumer holds it.
    Unknown,
    /// The keys are older than `max_stale`, so none is accepted.
    Stale,
    /// What is known of the consumer.
    Known(Claims),
}

/// Asks the providers of the request's route in their order, as traffic is asked. A token that
/// comes before any API key decides.
fn holder(table: &Table, config: &Config, view: &View, world: &impl World) -> Holder {
    let route = table.route(view).ok();
    let route = route.and_then(|id| config.routes.values().nth(id.0 as usize));
    let auth = route.and_then(|route| route.auth.as_ref());
    for provider in auth.iter().flat_map(|auth| &auth.providers) {
        if config.api_keys.contains_key(provider) {
            match world.holder(provider, view.headers) {
                Holder::NoKey => {}
                found => return found,
            }
        } else if view.claims.is_some() {
            break;
        }
    }
    Holder::NoKey
}

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
    /// Decides and explains; the same code serves traffic.
    ///
    /// # Errors
    /// What is malformed about the request.
    pub fn ask(
        &self,
        table: &Table,
        config: &Config,
        world: &impl World,
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
        let vouched = table.vouched(&headers, target.query, now, |token| {
            world.color_by_token(token)
        });
        let stated = world.signed().and_then(|name| table.color_named(name));
        let vouched = stated.or(vouched.map(|vouched| vouched.color));
        let (client, trusted) = client_fields::arrive(config, &mut headers, from, authority)?;
        let mut view = View {
            method: &method,
            host: &host,
            path: &target.path,
            query: target.query,
            headers: &headers,
            client,
            trusted,
            claims: self.claims.as_ref().or(assumed.as_ref()),
            vouched,
            bucket: world.bucket(),
        };
        let holder = holder(table, config, &view, world);
        if let Holder::Known(claims) = &holder {
            view.claims = Some(claims);
        }
        let mut explanation = table.explain(config, &view, world);
        match &holder {
            Holder::NoKey => {}
            Holder::Unknown => explanation.api_key(Err("no consumer holds this API key")),
            Holder::Stale => explanation.api_key(Err("its keys are older than `max_stale`")),
            Holder::Known(claims) => {
                let consumer = claims.get("sub").and_then(|sub| sub.as_str());
                explanation.api_key(Ok(consumer.unwrap_or_default()));
            }
        }
        world.amend(&view, &mut explanation);
        Ok(explanation)
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
