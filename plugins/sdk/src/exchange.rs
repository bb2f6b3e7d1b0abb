//! What hooks see of a request and its answer, and what they may do about it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::any::Any;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// What a verified token says.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// What follows from a hook.
#[derive(Debug, Default)]
pub enum Flow {
    #[default]
    Continue,
    /// The gateway answers with this, and sends nothing on.
    Answer(Box<Answer>),
    /// The request waits this long first. Request phases only.
    Delay(Duration),
    /// The plugin asks somebody, and goes on when it has been told. Request head phases only; see
    /// [`Flow::wait`].
    Wait(Waiting),
    /// The plugin cannot do its work; `on_error` decides what becomes of the request.
    Fail(String),
}

/// An answer in place of the upstream's.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// How a plugin goes on after a wait.
pub type Then = Box<dyn FnOnce(&mut Request<'_>, &mut State) -> Flow + Send>;

/// What a plugin waits for.
pub struct Waiting(Pin<Box<dyn Future<Output = Then> + Send>>);

impl Waiting {
    /// The wait itself, for whoever called the hook.
    pub fn into_future(self) -> Pin<Box<dyn Future<Output = Then> + Send>> {
        self.0
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Flow {
    /// Waits without holding a thread up. What the future gives is how the plugin goes on, with
    /// the request in its hands again; that may be another wait. The gateway's runtime is tokio's.
    pub fn wait<T>(waiting: impl Future<Output = T> + Send + 'static) -> Self
    where
        T: FnOnce(&mut Request<'_>, &mut State) -> Self + Send + 'static,
    {
        Self::Wait(Waiting(Box::pin(async move {
            let then: Then = Box::new(waiting.await);
            then
        })))
    }

    /// A refusal as a problem document (RFC 9457), like the gateway's own: it adds `reason`,
    /// `request_id` and `trace_id`. Calls of gRPC get a status instead.
    pub fn problem(status: StatusCode, detail: &str) -> Self {
        let document = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Refused"),
            "status": status.as_u16(),
            "detail": detail,
        });
        let kind = HeaderValue::from_static("application/problem+json");
        Self::Answer(Box::new(Answer {
            status,
            headers: vec![(http::header::CONTENT_TYPE, kind)],
            body: format!("{document}\n").into(),
        }))
    }

    /// An answer with a plain text.
    pub fn answer(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::Answer(Box::new(Answer {
            status,
            headers: vec![(http::header::CONTENT_TYPE, kind)],
            body: text.into(),
        }))
    }
}

/// What a plugin keeps from one phase of a request to the next; nothing is allocated until used.
#[derive(Debug, Default)]
pub struct State(Option<Box<dyn Any + Send + Sync>>);

impl State {
    pub fn set<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0 = Some(Box::new(value));
    }

    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }

    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.downcast_mut()
    }

    /// The value, made first where there is none.
    pub fn entry<T: Default + Send + Sync + 'static>(&mut self) -> Option<&mut T> {
        if self.get::<T>().is_none() {
            self.set(T::default());
        }
        self.get_mut()
    }
}

/// Header fields: read as they are, changed once the hook is over.
#[derive(Debug)]
pub struct Fields<'e> {
    now: &'e HeaderMap,
    changes: Vec<Change>,
}

/// A change to header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl<'e> Fields<'e> {
    pub fn new(now: &'e HeaderMap) -> Self {
        let changes = Vec::new();
        Self { now, changes }
    }

    /// All fields as they were when the hook was called.
    pub fn all(&self) -> &'e HeaderMap {
        self.now
    }

    /// The first value of a field, if it is text.
    pub fn get(&self, name: &str) -> Option<&'e str> {
        self.now.get(name)?.to_str().ok()
    }

    /// Replaces all values of a field.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.changes.push(Change::Set(name, value));
    }

    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.changes.push(Change::Add(name, value));
    }

    pub fn remove(&mut self, name: HeaderName) {
        self.changes.push(Change::Remove(name));
    }

    /// What the hook wants changed, for whoever called it.
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// The head of a request.
#[derive(Debug)]
pub struct Request<'e> {
    pub method: &'e Method,
    /// Lower case, without port.
    pub host: &'e str,
    /// In normal form.
    pub path: &'e str,
    pub query: &'e str,
    /// The client's address, by trust.
    pub client: IpAddr,
    /// The name of the route.
    pub route: &'e str,
    /// The color it has; in the early phase, none yet.
    pub color: Option<&'e str>,
    pub claims: Option<&'e Claims>,
    pub fields: Fields<'e>,
    recolored: Option<String>,
}

impl<'e> Request<'e> {
    /// A request as a host shows it to hooks.
    pub fn new(method: &'e Method, path: &'e str, headers: &'e HeaderMap) -> Self {
        Self {
            method,
            host: "",
            path,
            query: "",
            client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            route: "",
            color: None,
            claims: None,
            fields: Fields::new(headers),
            recolored: None,
        }
    }

    /// Gives the request another color, before its version is chosen. One that is not configured
    /// changes nothing.
    pub fn recolor(&mut self, color: impl Into<String>) {
        self.recolored = Some(color.into());
    }

    /// The color that was asked for, for whoever called the hook.
    pub fn recolored(&self) -> Option<&str> {
        self.recolored.as_deref()
    }
}

/// The head of an answer.
#[derive(Debug)]
pub struct Response<'e> {
    pub status: StatusCode,
    pub route: &'e str,
    pub color: Option<&'e str>,
    pub fields: Fields<'e>,
}

/// A chunk of a body.
#[derive(Debug)]
pub struct Body<'e> {
    /// What goes on. Taken away, nothing does, until something is put here; put it all here when
    /// `end` comes.
    pub chunk: &'e mut Option<Bytes>,
    /// Nothing follows.
    pub end: bool,
}

/// A request that is over.
#[derive(Debug)]
pub struct Log<'e> {
    pub status: u16,
    pub took: Duration,
    pub route: &'e str,
    /// Fields for the access log; names are given a prefix by the gateway.
    pub fields: Vec<(&'static str, String)>,
}
