//! Who must be known besides token providers: `[api_keys.NAME]`, `[forward_auth.NAME]`, and a
//! route's `auth`.

use super::entry::{self, EntryName};
use super::jwt::Url;
use super::reader::{Cx, Node, Read, ReadNamed};
use super::reserved::Wish;
use super::rule::Bounds;
use super::shape::Shape;
use super::{Name, Place};
use crate::{table, words};
use http::HeaderName;
use std::path::PathBuf;
use std::time::Duration;

/// What a route asks for: any of the providers.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    /// Entries of `jwt`, `api_keys` or `forward_auth`.
    pub providers: Vec<Name>,
    /// Whether requests without credentials pass; wrong ones never do.
    pub optional: bool,
}

impl Read for Auth {
    fn read(node: &Node, cx: &Cx) -> Option<Self> {
        let table = match node.value.is_table() {
            true => AuthTable::read(node, cx)?,
            false => AuthTable {
                provider: Vec::read(node, cx)?,
                optional: false,
            },
        };
        if table.provider.is_empty() {
            node.invalid(cx, "`auth` names nobody", "a provider, or leave `auth` out");
            return None;
        }
        Some(Self {
            providers: table
                .provider
                .into_iter()
                .map(|name| name.0.into())
                .collect(),
            optional: table.optional,
        })
    }

    fn shape() -> Shape {
        Shape::Any(vec![
            Vec::<EntryName<entry::Auth>>::shape(),
            AuthTable::shape(),
        ])
    }
}

table! {
    /// Who must be known.
    pub struct AuthTable {
        /// Entries of `jwt`, `api_keys` or `forward_auth`; any of them will do.
        "provider" => provider: Vec<EntryName<entry::Auth>> = required,
        /// Whether requests without credentials pass.
        "optional" => optional: bool = (false) "false",
    }
}

/// API keys in their place.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeys {
    pub file: PathBuf,
    pub header: HeaderName,
    pub forward: Option<HeaderName>,
    /// How long the keys of the last good file are believed while it cannot be used.
    pub max_stale: Duration,
    pub at: Place,
}

table! {
    /// Keys that name a consumer. The consumer's name is its `sub` for limits, colors and logs.
    pub struct ApiKeysTable {
        /// File with one `CONSUMER:SHA256` per line, the key's hash in hex; watched.
        "file" => file: PathBuf = required,
        /// The header with the key; never sent up.
        "header" => header: HeaderName = (HeaderName::from_static("x-api-key")) "\"x-api-key\"" within Wish::Key,
        /// The header in which the consumer's name goes up; clients cannot set it.
        "forward" => forward: Option<HeaderName> = none "not sent" within Wish::Set,
        /// How long the keys of the last good file are believed while it cannot be used.
        "max_stale" => max_stale: Duration = (Duration::from_hours(24)) "\"24h\"",
    }
}

impl ReadNamed for ApiKeys {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = ApiKeysTable::read(node, cx)?;
        cx.names_file(table.file.clone());
        Some(Self {
            file: table.file,
            header: table.header,
            forward: table.forward,
            max_stale: table.max_stale,
            at,
        })
    }
}

/// How long a service that is asked must be given.
const ASKED: Bounds<Duration> = Bounds::least(
    Duration::from_millis(1),
    "no answer could come in time",
    "for requests to pass when it does not answer, say `on_error = \"allow\"`",
);

/// A service that is asked about each request, in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardAuth {
    pub url: String,
    pub timeout: Duration,
    pub on_error: OnError,
    pub send: Vec<HeaderName>,
    pub forward: Vec<HeaderName>,
    pub at: Place,
}

table! {
    /// An HTTP service that is asked about each request: 2xx lets it pass, any other answer is the
    /// client's. It gets `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`.
    pub struct ForwardAuthTable {
        /// Where to ask, with GET.
        "url" => url: Url = required,
        /// Longest wait for its answer.
        "timeout" => timeout: Duration = (Duration::from_secs(1)) "\"1s\"" within ASKED,
        /// What happens when it cannot be asked.
        "on_error" => on_error: OnError = (OnError::Deny) "\"deny\"",
        /// Headers of the request that are shown to it.
        "send" => send: Vec<HeaderName> = (vec![http::header::AUTHORIZATION, http::header::COOKIE]) "[\"authorization\", \"cookie\"]" within Wish::Show,
        /// Headers of its answer that go up; clients cannot set them.
        "forward" => forward: Vec<HeaderName> = (Vec::new()) "[]" within Wish::Set,
    }
}

words! {
    /// What happens when the service cannot be asked.
    pub enum OnError {
        /// 503 `auth_unavailable`.
        "deny" => Deny,
        /// The request passes.
        "allow" => Allow,
    }
}

impl ReadNamed for ForwardAuth {
    fn read_named(_: &Name, node: &Node, at: Place, cx: &Cx) -> Option<Self> {
        let table = ForwardAuthTable::read(node, cx)?;
        Some(Self {
            url: table.url.0,
            timeout: table.timeout,
            on_error: table.on_error,
            send: table.send,
            forward: table.forward,
            at,
        })
    }
}
