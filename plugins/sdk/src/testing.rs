//! Runs a plugin without a gateway.

use crate::exchange::{Body, Change, Flow, Request, Response, State};
use crate::{BadConfig, Factory, Instance, Plugin};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// One request to one plugin.
pub struct Bench {
    instance: Arc<dyn Instance>,
    pub method: Method,
    pub path: String,
    pub client: IpAddr,
    pub headers: HeaderMap,
    pub state: State,
    /// The color that the plugin has asked for.
    pub recolored: Option<String>,
}

impl Bench {
    /// An instance of this configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new<P: Plugin>(config: &Value) -> Result<Self, BadConfig> {
        Ok(Self {
            instance: (Factory::of::<P>().make)(config)?,
            method: Method::GET,
            path: "/".to_owned(),
            client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            headers: HeaderMap::new(),
            state: State::default(),
            recolored: None,
        })
    }

    /// Adds a field to the request; one that is malformed is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// The early phase, then the head; the first that does not continue ends it.
    pub fn request(&mut self) -> Flow {
        for early in [true, false] {
            let mut request = Request::new(&self.method, &self.path, &self.headers);
            request.client = self.client;
            let flow = match early {
                true => self.instance.early(&mut request, &mut self.state),
                false => self.instance.request_head(&mut request, &mut self.state),
            };
            self.recolored = request.recolored().map(ToOwned::to_owned);
            let changes = request.fields.into_changes();
            apply(&mut self.headers, changes);
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::Continue
    }

    /// All chunks of a body, the last one as the end; what goes on, or what happened instead.
    ///
    /// # Errors
    /// What the plugin answered.
    pub fn request_body(&mut self, chunks: &[&str]) -> Result<Vec<u8>, Flow> {
        let mut sent = Vec::new();
        for (index, text) in chunks.iter().enumerate() {
            let mut chunk = Some(Bytes::copy_from_slice(text.as_bytes()));
            let mut body = Body {
                chunk: &mut chunk,
                end: index + 1 == chunks.len(),
            };
            match self.instance.request_body(&mut body, &mut self.state) {
                Flow::Continue => sent.extend_from_slice(&chunk.unwrap_or_default()),
                other => return Err(other),
            }
        }
        Ok(sent)
    }

    /// The fields of an answer after the plugin has seen them.
    pub fn response(&mut self, status: StatusCode, headers: HeaderMap) -> HeaderMap {
        let mut response = Response {
            status,
            route: "",
            color: None,
            fields: crate::Fields::new(&headers),
        };
        let _ = self.instance.response_head(&mut response, &self.state);
        let changes = response.fields.into_changes();
        let mut after = headers;
        apply(&mut after, changes);
        after
    }
}

fn apply(headers: &mut HeaderMap, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Set(name, value) => drop(headers.insert(name, value)),
            Change::Add(name, value) => drop(headers.append(name, value)),
            Change::Remove(name) => while headers.remove(&name).is_some() {},
        }
    }
}
