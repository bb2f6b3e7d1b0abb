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
            let flow = self.phase(early);
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::Continue
    }

    /// The same, waiting for what the plugin waits for; run it on a runtime.
    pub async fn request_with_waits(&mut self) -> Flow {
        for early in [true, false] {
            let mut flow = self.phase(early);
            while let Flow::Wait(waiting) = flow {
                let then = waiting.into_future().await;
                flow = self.look(|_, request, state| then(request, state));
            }
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::Continue
    }

    fn phase(&mut self, early: bool) -> Flow {
        self.look(|instance, request, state| match early {
            true => instance.early(request, state),
            false => instance.request_head(request, state),
        })
    }

    /// Shows the request to a hook, and applies what it changes.
    fn look(&mut self, hook: impl FnOnce(&dyn Instance, &mut Request, &mut State) -> Flow) -> Flow {
        let mut request = Request::new(&self.method, &self.path, &self.headers);
        request.client = self.client;
        let flow = hook(self.instance.as_ref(), &mut request, &mut self.state);
        if let Some(color) = request.recolored() {
            self.recolored = Some(color.to_owned());
        }
        let changes = request.fields.into_changes();
        apply(&mut self.headers, changes);
        flow
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
