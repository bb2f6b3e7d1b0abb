//! The long text of each reason: what it means, and where to look.

use super::Reason;

/// Each reason, what it means, and where to look.
const TEXTS: &[(Reason, &str, &str)] = &[
    (
        Reason::ApiKey,
        "The route asks for an API key, and the request has none, has several, or has \
         one that no consumer holds.",
        "See the keys' file of the table that the route's `auth` names. `tyrian explain` \
         with -H and the key says whose it is.",
    ),
    (
        Reason::AuthDenied,
        "A service that `forward_auth` asks has denied the request; its answer goes to \
         the client.",
        "See that service, and `detail` in the log, which names it.",
    ),
    (
        Reason::AuthUnavailable,
        "A service that `forward_auth` asks does not answer, or not in time.",
        "See `detail` in the log, which names it, and tyrian_auth_decisions_total.",
    ),
    (
        Reason::BadRequest,
        "The request is malformed: its head, host, path, or the framing of its body. \
         Requests that parsers could read in two ways are refused (RFC 9112).",
        "`detail` in the answer and in the log says what is malformed.",
    ),
    (
        Reason::BodyTooLarge,
        "The body of the request is larger than the route allows.",
        "See `body.max` of the route.",
    ),
    (
        Reason::BreakerOpen,
        "The breaker of the version is open after too many failures or slow answers, so \
         the upstream gets no requests for a while. The answer has Retry-After.",
        "`tyrian explain` with the request says for how long, and which version serves \
         instead. See `breakers`, tyrian_breaker_state and GET /v1/services.",
    ),
    (
        Reason::ClientClosed,
        "The client has gone before the answer was complete.",
        "Nothing is wrong with the gateway. Many of these point to clients with short \
         timeouts, or to a slow upstream.",
    ),
    (
        Reason::ColorUnknown,
        "The request carries a color that the configuration does not have, and \
         `coloring.unknown` is \"reject\".",
        "See `[colors]`, or set `coloring.unknown` to \"default\".",
    ),
    (
        Reason::HeadersTooLarge,
        "The head of the request is larger, or has more fields, than the listener \
         allows.",
        "See `clients.max_head` and `clients.max_headers` of the listener.",
    ),
    (
        Reason::InternalError,
        "The gateway itself has failed.",
        "The log has the error; tyrian_panics_total counts panics. Please report it.",
    ),
    (
        Reason::JwtAlgorithm,
        "The token is signed by an algorithm that its provider does not accept.",
        "See `algorithms` of the provider in `[jwt]`.",
    ),
    (
        Reason::JwtBadClaims,
        "The token is genuine, but its issuer, audience or another claim is not what the \
         provider requires, or it is revoked.",
        "`detail` in the log says which claim. See `issuer`, `audience`, `require` and \
         `revoked` of the provider.",
    ),
    (
        Reason::JwtBadSignature,
        "The signature of the token does not fit its key.",
        "The token was changed, or signed by another key of the same id.",
    ),
    (
        Reason::JwtExpired,
        "The token has expired (`exp`, with the provider's `leeway`).",
        "The client needs a new token. Clocks that disagree show as well: `tyrian check \
         --online` compares them.",
    ),
    (
        Reason::JwtKeysUnavailable,
        "The keys of the token's issuer have never been there since the start, so no token \
         can be judged yet. The answer has Retry-After.",
        "See /readyz?verbose and tyrian_jwt_failed_fetches: the issuer does not answer. \
         `tyrian check --online` asks it.",
    ),
    (
        Reason::JwtMalformed,
        "What stands where the token belongs is no token, or there are several.",
        "`detail` in the log says what is malformed. See `token` of the provider for \
         where it is read.",
    ),
    (
        Reason::JwtMissing,
        "The route asks for a token, and the request has none.",
        "See `auth` of the route, and `token` of the provider for where it is read.",
    ),
    (
        Reason::JwtNotYetValid,
        "The token is valid only later (`nbf` or `iat`, with the provider's `leeway`).",
        "Clocks disagree, most likely: `tyrian check --online` compares them.",
    ),
    (
        Reason::JwtScope,
        "The token is genuine, but lacks a scope that the provider requires.",
        "See `require` of the provider; WWW-Authenticate names the scopes.",
    ),
    (
        Reason::JwtUnknownKey,
        "No key of the provider is the one that the token names.",
        "The issuer has a new key that was not fetched yet, or the token is of another \
         issuer. See /readyz?verbose and tyrian_jwt_failed_fetches.",
    ),
    (
        Reason::MethodNotAllowed,
        "Routes have the path, but none of them has the method.",
        "`Allow` in the answer lists the methods. See `match.methods`.",
    ),
    (
        Reason::NoHealthyEndpoint,
        "The version has no endpoint that may be tried: all of them are down, unhealthy, \
         ejected or drained.",
        "`tyrian status` lists those that are down; `tyrian explain` with the request \
         says why. See tyrian_endpoint_healthy and GET /v1/services.",
    ),
    (
        Reason::NoRoute,
        "No route matches the request.",
        "`tyrian explain` with the same request lists the routes that came near, and \
         what each lacks.",
    ),
    (
        Reason::Overloaded,
        "The gateway has too much to do, and sheds requests of routes that matter less.",
        "See `importance` of routes, and tyrian_overload_level.",
    ),
    (
        Reason::Plugin,
        "A plugin of the route has answered the request.",
        "`detail` in the log names the plugin; docs/plugins.md says what each one \
         refuses.",
    ),
    (
        Reason::RateLimited,
        "A limit of the route is exhausted for the client's key, or the key is missing. \
         The answer has Retry-After.",
        "`detail` in the log names the limit. See `[limits]`, GET /v1/limits and \
         tyrian_limit_decisions_total.",
    ),
    (
        Reason::RequestTimeout,
        "The client was too slow to send its request.",
        "See `clients.header_timeout` and `clients.idle_timeout` of the listener.",
    ),
    (
        Reason::TooManyInFlight,
        "The route or the service has as many requests in flight as it may.",
        "`detail` in the log names the cap. See `max_in_flight` and tyrian_in_flight.",
    ),
    (
        Reason::UpstreamConnect,
        "No connection to the upstream could be made before the tries ran out.",
        "See `retry.attempts`, `timeouts.connect`, and `tyrian status` for endpoints \
         that are down.",
    ),
    (
        Reason::UpstreamProtocol,
        "The answer of the upstream is malformed.",
        "`detail` in the log says what is malformed. See `http` of the version: the \
         upstream may speak another protocol.",
    ),
    (
        Reason::UpstreamReset,
        "The upstream has closed the connection before its answer, or amid it.",
        "See the upstream's log. A keep-alive shorter than the gateway's shows like this \
         as well.",
    ),
    (
        Reason::UpstreamTimeout,
        "The upstream did not answer in time.",
        "See `timeouts.request` and `timeouts.idle` of the route and the service.",
    ),
];

impl Reason {
    /// What the reason means and what helps, as `tyrian explain REASON` prints it.
    pub fn explanation(self) -> String {
        let known = TEXTS.iter().find(|(reason, ..)| *reason == self);
        let (means, look) = known.map_or(("", ""), |(_, means, look)| (*means, *look));
        let status = match self {
            Self::ClientClosed => "499 in the log, no answer".to_owned(),
            Self::AuthDenied | Self::Plugin => format!("{}, or its own status", self.status()),
            _ => self.status().to_string(),
        };
        format!("{}: {status}\n\n{means}\n\n{look}\n", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, TEXTS};

    #[test]
    fn every_reason_is_explained() {
        for reason in Reason::ALL {
            let told = TEXTS.iter().filter(|(known, ..)| *known == reason);
            assert_eq!(told.count(), 1, "{}", reason.name());
            let text = reason.explanation();
            assert!(text.starts_with(reason.name()), "{text}");
            assert!(text.contains(&reason.status().to_string()), "{text}");
            assert_eq!(Reason::named(reason.name()), Some(reason));
        }
        assert_eq!(Reason::named("breaker"), None);
    }
}
