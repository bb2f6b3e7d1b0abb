//! Asking an HTTP service about each request, within its timeout; what happens when it cannot be
//! asked is the configuration's choice.

use super::Denial;
use crate::config::Name;
use crate::config::auth::{self as config, OnError};
use crate::outbound;
use crate::policy::jwt::Verified;
use crate::reason::Reason;
use crate::routing::claims::Claims;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Largest answer body that is passed on to the client, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// What is said about a request.
#[derive(Debug)]
pub struct Question<'a> {
    pub method: &'a Method,
    /// In normal form.
    pub host: &'a str,
    /// As it was sent; empty when it was not.
    pub port: &'a str,
    /// In normal form.
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
    pub scheme: &'static str,
}

/// The service's refusal, for the client.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// A service that is asked. Survives reloads that leave its table unchanged.
#[derive(Debug)]
pub struct ForwardAuth {
    pub name: Name,
    pub config: config::ForwardAuth,
    client: reqwest::Client,
    pub allowed: AtomicU64,
    pub denied: AtomicU64,
    pub failed: AtomicU64,
    /// What the log says of refusals: the service's, and ours where it cannot be asked.
    refused: Arc<str>,
    silent: Arc<str>,
}

/// Headers of a refusal that reach the client.
const PASSED_ON: [HeaderName; 5] = [
    http::header::CONTENT_TYPE,
    http::header::LOCATION,
    http::header::RETRY_AFTER,
    http::header::SET_COOKIE,
    http::header::WWW_AUTHENTICATE,
];

impl ForwardAuth {
    /// Builds a service; one with the same table goes on.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn build(
        name: &Name,
        config: &config::ForwardAuth,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, String> {
        if let Some(previous) = previous.filter(|previous| previous.config == *config) {
            return Ok(previous.clone());
        }
        Ok(Arc::new(Self {
            name: name.clone(),
            client: outbound::client(config.timeout, None)?,
            config: config.clone(),
            allowed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: format!("`forward_auth.{name}` has refused").into(),
            silent: format!("`forward_auth.{name}` cannot be asked").into(),
        }))
    }

    /// Asks about a request.
    ///
    /// # Errors
    /// The service's refusal, or ours when it cannot be asked and that counts.
    pub async fn ask(&self, question: &Question<'_>) -> Result<Arc<Verified>, Denial> {
        let answer = match self.request(question).send().await {
            Ok(answer) if answer.status().is_server_error() => {
                self.fail(&format!("status {}", answer.status()))
            }
            Ok(answer) => Ok(answer),
            Err(error) => self.fail(&outbound::words(error)),
        };
        match answer {
            Ok(answer) if answer.status().is_success() => {
                self.allowed.fetch_add(1, Relaxed);
                Ok(self.identity(answer.headers()))
            }
            Ok(answer) => {
                self.denied.fetch_add(1, Relaxed);
                Err(refusal(answer).await.telling(&self.refused))
            }
            Err(()) => match self.config.on_error {
                OnError::Allow => Ok(self.identity(&HeaderMap::new())),
                OnError::Deny => Err(Denial::new(Reason::AuthUnavailable).telling(&self.silent)),
            },
        }
    }

    fn fail<T>(&self, why: &str) -> Result<T, ()> {
        self.failed.fetch_add(1, Relaxed);
        tracing::debug!(service = %self.name, why, "authorization cannot be asked");
        Err(())
    }

    fn request(&self, question: &Question) -> reqwest::RequestBuilder {
        let joined = |before: &str, by: char, after: &str| match after {
            "" => before.to_owned(),
            after => format!("{before}{by}{after}"),
        };
        let mut request = self
            .client
            .get(&self.config.url)
            .header("x-forwarded-method", question.method.as_str())
            .header("x-forwarded-proto", question.scheme)
            .header(
                "x-forwarded-host",
                joined(question.host, ':', question.port),
            )
            .header(
                "x-forwarded-uri",
                joined(question.path, '?', question.query),
            )
            .header("x-forwarded-for", question.client.to_string());
        for name in &self.config.send {
            for value in question.headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        request
    }

    fn identity(&self, answered: &HeaderMap) -> Arc<Verified> {
        let forward = self.config.forward.iter().flat_map(|name| {
            answered
                .get_all(name)
                .iter()
                .map(|value| (name.clone(), value.clone()))
        });
        Arc::new(Verified {
            claims: Claims::new(),
            forward: forward.collect(),
            logged: Vec::new(),
            expires: u64::MAX,
        })
    }
}

async fn refusal(answer: reqwest::Response) -> Denial {
    let headers = PASSED_ON.iter().flat_map(|name| {
        answer
            .headers()
            .get_all(name)
            .iter()
            .map(|value| (name.clone(), value.clone()))
    });
    let (status, headers) = (answer.status().as_u16(), headers.collect());
    let body = outbound::body(answer, BODY_MAX).await.unwrap_or_default();
    Denial {
        answer: Some(Box::new(Answer {
            status,
            headers,
            body,
        })),
        ..Denial::new(Reason::AuthDenied)
    }
}
