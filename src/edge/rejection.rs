//! The error of an exchange: why a request is not served, and what its client and the log are told.

use super::message::ClientError;
use crate::reason::{Detail, Reason};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Why the request was not served, and what the client is told beyond the reason.
#[derive(Debug, Clone)]
pub struct Rejection {
    pub reason: Reason,
    pub status: u16,
    /// What the client is told.
    pub detail: &'static str,
    /// What the log says in place of it.
    pub told: Option<Detail>,
    pub more: Option<Arc<More>>,
}

/// What only some refusals have to say.
#[derive(Debug, Default)]
pub struct More {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// In place of the problem document.
    pub body: Option<Bytes>,
    /// In place of the `Proxy-Status` that the reason has.
    pub error: Option<&'static str>,
}

/// Makes a rejection of the reason alone: its status, its usual text.
impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self::new(reason, reason.text())
    }
}

/// Makes the rejection of a request that its client has ended.
impl From<ClientError> for Rejection {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Gone => Reason::ClientClosed.into(),
            ClientError::Malformed => {
                Self::new(Reason::BadRequest, "the request body is malformed")
            }
        }
    }
}

impl Rejection {
    pub fn new(reason: Reason, detail: &'static str) -> Self {
        Self {
            reason,
            status: reason.status(),
            detail,
            told: None,
            more: None,
        }
    }

    /// Tells the log more than the client.
    pub fn telling(mut self, told: impl Into<Detail>) -> Self {
        self.told = Some(told.into());
        self
    }

    /// What the log says of it.
    pub fn told(&self) -> &str {
        self.told.as_deref().unwrap_or(self.detail)
    }

    /// Adds a header to the answer.
    pub fn with(mut self, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        self.more = Some(Arc::new(More {
            headers,
            ..More::default()
        }));
        self
    }

    /// Says more exactly what kind of failure it was (RFC 9209, section 2.3).
    pub fn known_as(mut self, error: &'static str) -> Self {
        self.more = Some(Arc::new(More {
            error: Some(error),
            ..More::default()
        }));
        self
    }

    /// Answers with something else than the problem document.
    pub fn answering(
        mut self,
        status: u16,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Self {
        self.status = status;
        self.more = Some(Arc::new(More {
            headers,
            body: Some(body),
            error: None,
        }));
        self
    }
}
