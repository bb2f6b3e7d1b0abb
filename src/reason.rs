//! Why a request was refused: the closed vocabulary of answers, logs and metrics.

mod reference;
mod rows;

pub use reference::page as reference_page;
pub use rows::Reason;

use std::ops::Deref;
use std::sync::Arc;

/// What the log says of one refusal: whose limit, which claim. Clients hear less. Never made while
/// a request waits: the words are the program's, or were prepared with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    Fixed(&'static str),
    Prepared(Arc<str>),
}

impl Deref for Detail {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Fixed(words) => words,
            Self::Prepared(words) => words,
        }
    }
}

impl From<&'static str> for Detail {
    fn from(words: &'static str) -> Self {
        Self::Fixed(words)
    }
}

impl From<&Arc<str>> for Detail {
    fn from(words: &Arc<str>) -> Self {
        Self::Prepared(words.clone())
    }
}

impl From<String> for Detail {
    fn from(words: String) -> Self {
        Self::Prepared(words.into())
    }
}

/// One row of the table of reasons.
#[derive(Debug)]
struct Row {
    /// The word in answers, logs and metrics.
    name: &'static str,
    /// The HTTP status of the answer (for `client_closed`, of the log line).
    status: u16,
    /// The status of an answer to gRPC, one of [`grpc`].
    grpc: &'static str,
    fault: Party,
    /// The value of `Proxy-Status` (RFC 9209).
    proxy_status: &'static str,
    /// What clients are told, unless the place that refuses knows more.
    text: &'static str,
    /// What the reason means, for people.
    means: &'static str,
    /// Where they should look.
    look: &'static str,
}

/// Those who can be the cause of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The request itself, or what its sender may do.
    Client,
    /// The gateway, or a service that it needs to judge requests.
    Gateway,
    /// The service that the request is for.
    Upstream,
}

/// Status codes of gRPC as header values.
pub mod grpc {
    pub const CANCELLED: &str = "1";
    pub const UNKNOWN: &str = "2";
    pub const INVALID_ARGUMENT: &str = "3";
    pub const DEADLINE_EXCEEDED: &str = "4";
    pub const PERMISSION_DENIED: &str = "7";
    pub const RESOURCE_EXHAUSTED: &str = "8";
    pub const UNIMPLEMENTED: &str = "12";
    pub const INTERNAL: &str = "13";
    pub const UNAVAILABLE: &str = "14";
    pub const UNAUTHENTICATED: &str = "16";
}

impl Reason {
    /// Returns the reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Returns the word in answers, logs and metrics.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the HTTP status of the answer (for `client_closed`, of the log line).
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// Returns the gRPC status of the answer. [`Plugin`](Self::Plugin) and
    /// [`AuthDenied`](Self::AuthDenied) may come with a status of their own, which decides then.
    pub const fn grpc_status(self) -> &'static str {
        self.row().grpc
    }

    /// Returns the value of `Proxy-Status`, unless the kind of failure is known more exactly.
    pub const fn proxy_status(self) -> &'static str {
        self.row().proxy_status
    }

    /// Returns who is the cause.
    pub const fn fault(self) -> Party {
        self.row().fault
    }

    /// Returns the usual text for clients.
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// Returns what the reason means and what helps, as `tyrian explain REASON` prints it.
    pub fn explanation(self) -> String {
        let Row {
            name, means, look, ..
        } = self.row();
        let status = self.status_in_words();
        format!("{name}: {status}\n\n{means}\n\n{look}\n")
    }

    /// Returns the status, and what is special about it.
    fn status_in_words(self) -> String {
        let status = self.status();
        match self {
            Self::ClientClosed => format!("{status} in the log, no answer"),
            Self::AuthDenied | Self::Plugin => format!("{status}, or its own status"),
            _ => status.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
