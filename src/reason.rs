//! Why a request was refused: the closed vocabulary of answers, logs and metrics.

mod explained;

use crate::counts::LabelValue;
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

/// One reason; its name and status are a promise (see `docs/reference`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    ApiKey,
    AuthDenied,
    AuthUnavailable,
    BadRequest,
    BodyTooLarge,
    BreakerOpen,
    ClientClosed,
    ColorUnknown,
    HeadersTooLarge,
    InternalError,
    JwtAlgorithm,
    JwtBadClaims,
    JwtBadSignature,
    JwtExpired,
    /// Keys of its issuer have never been there, so no token can be verified.
    JwtKeysUnavailable,
    JwtMalformed,
    JwtMissing,
    JwtNotYetValid,
    JwtScope,
    JwtUnknownKey,
    MethodNotAllowed,
    NoHealthyEndpoint,
    NoRoute,
    Overloaded,
    Plugin,
    RateLimited,
    RequestTimeout,
    TooManyInFlight,
    UpstreamConnect,
    UpstreamProtocol,
    UpstreamReset,
    UpstreamTimeout,
}

impl LabelValue for Reason {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
        self as usize
    }
}

impl Reason {
    /// Every reason, in the order of the enum; the index of one is `reason as usize`.
    pub const ALL: [Self; 32] = [
        Self::ApiKey,
        Self::AuthDenied,
        Self::AuthUnavailable,
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::BreakerOpen,
        Self::ClientClosed,
        Self::ColorUnknown,
        Self::HeadersTooLarge,
        Self::InternalError,
        Self::JwtAlgorithm,
        Self::JwtBadClaims,
        Self::JwtBadSignature,
        Self::JwtExpired,
        Self::JwtKeysUnavailable,
        Self::JwtMalformed,
        Self::JwtMissing,
        Self::JwtNotYetValid,
        Self::JwtScope,
        Self::JwtUnknownKey,
        Self::MethodNotAllowed,
        Self::NoHealthyEndpoint,
        Self::NoRoute,
        Self::Overloaded,
        Self::Plugin,
        Self::RateLimited,
        Self::RequestTimeout,
        Self::TooManyInFlight,
        Self::UpstreamConnect,
        Self::UpstreamProtocol,
        Self::UpstreamReset,
        Self::UpstreamTimeout,
    ];

    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The word in answers, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::AuthDenied => "auth_denied",
            Self::AuthUnavailable => "auth_unavailable",
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::BreakerOpen => "breaker_open",
            Self::ClientClosed => "client_closed",
            Self::ColorUnknown => "color_unknown",
            Self::HeadersTooLarge => "headers_too_large",
            Self::InternalError => "internal_error",
            Self::JwtAlgorithm => "jwt_algorithm",
            Self::JwtBadClaims => "jwt_bad_claims",
            Self::JwtBadSignature => "jwt_bad_signature",
            Self::JwtExpired => "jwt_expired",
            Self::JwtKeysUnavailable => "jwt_keys_unavailable",
            Self::JwtMalformed => "jwt_malformed",
            Self::JwtMissing => "jwt_missing",
            Self::JwtNotYetValid => "jwt_not_yet_valid",
            Self::JwtScope => "jwt_scope",
            Self::JwtUnknownKey => "jwt_unknown_key",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::NoRoute => "no_route",
            Self::Overloaded => "overloaded",
            Self::Plugin => "plugin",
            Self::RateLimited => "rate_limited",
            Self::RequestTimeout => "request_timeout",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// The HTTP status of the answer (for `client_closed`, of the log line).
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::ColorUnknown => 400,
            Self::ApiKey
            | Self::JwtAlgorithm
            | Self::JwtBadClaims
            | Self::JwtBadSignature
            | Self::JwtExpired
            | Self::JwtMalformed
            | Self::JwtMissing
            | Self::JwtNotYetValid
            | Self::JwtUnknownKey => 401,
            Self::AuthDenied | Self::JwtScope | Self::Plugin => 403,
            Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::ClientClosed => 499,
            Self::InternalError => 500,
            Self::UpstreamConnect | Self::UpstreamProtocol | Self::UpstreamReset => 502,
            Self::AuthUnavailable
            | Self::BreakerOpen
            | Self::JwtKeysUnavailable
            | Self::NoHealthyEndpoint
            | Self::Overloaded
            | Self::TooManyInFlight => 503,
            Self::UpstreamTimeout => 504,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn all_is_in_the_order_of_the_enum() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
