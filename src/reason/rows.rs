//! The table of reasons: one row holds all that is known of a reason.

use super::Party::{Client, Gateway, Upstream};
use super::{Row, grpc};
use crate::counts::LabelValue;

/// Defines [`Reason`] from one row for each variant. A row is the body of a [`Row`], so the
/// compiler names every field that a new reason lacks.
macro_rules! reasons {
    ($($(#[$doc:meta])* $Variant:ident { $($row:tt)* })*) => {
        /// Why the gateway refused or ended a request. Name and status are a promise to clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $Variant,)* }

        impl Reason {
            /// Every reason, in the order of the enum; the index of one is `reason as usize`.
            pub const ALL: [Self; [$(Self::$Variant),*].len()] = [$(Self::$Variant),*];

            /// Returns its row of the table.
            pub(super) const fn row(self) -> &'static Row {
                match self { $(Self::$Variant => &Row { $($row)* },)* }
            }
        }

        impl LabelValue for Reason {
            const ALL: &'static [Self] = &Self::ALL;

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// The request was understood and refused on purpose (RFC 9209, section 2.3.17).
const DENIED: &str = "tyrian; error=http_request_denied";
/// The request is not one that HTTP allows, or not one that is accepted in this size or time.
const MALFORMED: &str = "tyrian; error=http_request_error";
const CONNECTION_LIMIT: &str = "tyrian; error=connection_limit_reached";
const INTERNAL_ERROR: &str = "tyrian; error=proxy_internal_error";

reasons! {
    ApiKey {
        name: "api_key", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "a valid API key is required",
        means: "The route asks for an API key, and the request has none, has several, or has one \
            that no consumer holds.",
        look: "See the keys' file of the table that the route's `auth` names. `tyrian explain` \
            with -H and the key says whose it is.",
    }
    AuthDenied {
        name: "auth_denied", status: 403, grpc: grpc::PERMISSION_DENIED, fault: Client,
        proxy_status: DENIED,
        text: "not authorized",
        means: "A service that `forward_auth` asks has denied the request; its answer goes to the \
            client.",
        look: "See that service, and `detail` in the log, which names it.",
    }
    AuthUnavailable {
        name: "auth_unavailable", status: 503, grpc: grpc::UNAVAILABLE, fault: Gateway,
        proxy_status: "tyrian; error=proxy_internal_error; details=\"auth_unavailable\"",
        text: "authorization cannot be checked now",
        means: "A service that `forward_auth` asks does not answer, or not in time.",
        look: "See `detail` in the log, which names it, and tyrian_auth_decisions_total.",
    }
    BadRequest {
        name: "bad_request", status: 400, grpc: grpc::INVALID_ARGUMENT, fault: Client,
        proxy_status: MALFORMED,
        text: "the request is malformed",
        means: "The request is malformed: its head, host, path, or the framing of its body. \
            Requests that parsers could read in two ways are refused (RFC 9112). An unknown \
            transfer coding gets 501, an unknown version of HTTP 505.",
        look: "`detail` in the answer and in the log says what is malformed.",
    }
    BodyTooLarge {
        name: "body_too_large", status: 413, grpc: grpc::RESOURCE_EXHAUSTED, fault: Client,
        proxy_status: MALFORMED,
        text: "the request body is larger than the route allows",
        means: "The body of the request is larger than the route allows.",
        look: "See `body.max` of the route.",
    }
    BreakerOpen {
        name: "breaker_open", status: 503, grpc: grpc::UNAVAILABLE, fault: Upstream,
        proxy_status: "tyrian; error=destination_unavailable; details=\"breaker_open\"",
        text: "the upstream is being left alone",
        means: "The breaker of the version is open after too many failures or slow answers, so the \
            upstream gets no requests for a while. The answer has Retry-After.",
        look: "`tyrian explain` with the request says for how long, and which version serves \
            instead. See `breakers`, tyrian_breaker_state and GET /v1/services.",
    }
    ClientClosed {
        name: "client_closed", status: 499, grpc: grpc::CANCELLED, fault: Client,
        proxy_status: INTERNAL_ERROR,
        text: "the client went away",
        means: "The client has gone, or has taken its answer too slowly, before that was complete.",
        look: "Nothing is wrong with the gateway. Many of these point to clients with short \
            timeouts, or to a slow upstream.",
    }
    ColorUnknown {
        name: "color_unknown", status: 400, grpc: grpc::INVALID_ARGUMENT, fault: Client,
        proxy_status: DENIED,
        text: "the color of this request is not configured",
        means: "The request carries a color that the configuration does not have, and \
            `coloring.unknown` is \"reject\".",
        look: "See `[colors]`, or set `coloring.unknown` to \"default\".",
    }
    HeadersTooLarge {
        name: "headers_too_large", status: 431, grpc: grpc::RESOURCE_EXHAUSTED, fault: Client,
        proxy_status: MALFORMED,
        text: "the request head is too large",
        means: "The head of the request is larger, or has more fields, than the listener allows.",
        look: "See `clients.max_head` and `clients.max_headers` of the listener.",
    }
    InternalError {
        name: "internal_error", status: 500, grpc: grpc::INTERNAL, fault: Gateway,
        proxy_status: INTERNAL_ERROR,
        text: "the gateway failed",
        means: "The gateway itself has failed.",
        look: "The log has the error; tyrian_panics_total counts panics. Please report it.",
    }
    JwtAlgorithm {
        name: "jwt_algorithm", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token's algorithm is not accepted",
        means: "The token is signed by an algorithm that its provider does not accept.",
        look: "See `algorithms` of the provider in `[jwt]`.",
    }
    JwtBadClaims {
        name: "jwt_bad_claims", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token's claims are not acceptable",
        means: "The token is genuine, but its issuer, audience or another claim is not what the \
            provider requires, or it is revoked.",
        look: "`detail` in the log says which claim. See `issuer`, `audience`, `require` and \
            `revoked` of the provider.",
    }
    JwtBadSignature {
        name: "jwt_bad_signature", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token's signature is wrong",
        means: "The signature of the token does not fit its key.",
        look: "The token was changed, or signed by another key of the same id.",
    }
    JwtExpired {
        name: "jwt_expired", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token has expired",
        means: "The token has expired (`exp`, with the provider's `leeway`).",
        look: "The client needs a new token. Clocks that disagree show as well: `tyrian check \
            --online` compares them.",
    }
    /// Keys of its issuer have never been there, so no token can be verified.
    JwtKeysUnavailable {
        name: "jwt_keys_unavailable", status: 503, grpc: grpc::UNAVAILABLE, fault: Gateway,
        proxy_status: "tyrian; error=proxy_internal_error; details=\"jwt_keys_unavailable\"",
        text: "the token cannot be checked now",
        means: "The keys of the token's issuer have never been there since the start, so no token \
            can be judged yet. The answer has Retry-After.",
        look: "See /readyz?verbose and tyrian_jwt_failed_fetches: the issuer does not answer. \
            `tyrian check --online` asks it.",
    }
    JwtMalformed {
        name: "jwt_malformed", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token is malformed",
        means: "What stands where the token belongs is no token, or there are several.",
        look: "`detail` in the log says what is malformed. See `token` of the provider for where \
            it is read.",
    }
    JwtMissing {
        name: "jwt_missing", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "a token is required",
        means: "The route asks for a token, and the request has none.",
        look: "See `auth` of the route, and `token` of the provider for where it is read.",
    }
    JwtNotYetValid {
        name: "jwt_not_yet_valid", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token is not valid yet",
        means: "The token is valid only later (`nbf` or `iat`, with the provider's `leeway`).",
        look: "Clocks disagree, most likely: `tyrian check --online` compares them.",
    }
    JwtScope {
        name: "jwt_scope", status: 403, grpc: grpc::PERMISSION_DENIED, fault: Client,
        proxy_status: DENIED,
        text: "the token does not grant enough",
        means: "The token is genuine, but lacks a scope that the provider requires.",
        look: "See `require` of the provider; WWW-Authenticate names the scopes.",
    }
    JwtUnknownKey {
        name: "jwt_unknown_key", status: 401, grpc: grpc::UNAUTHENTICATED, fault: Client,
        proxy_status: DENIED,
        text: "the token's key is not known",
        means: "No key of the provider is the one that the token names.",
        look: "The issuer has a new key that was not fetched yet, or the token is of another \
            issuer. See /readyz?verbose and tyrian_jwt_failed_fetches.",
    }
    MethodNotAllowed {
        name: "method_not_allowed", status: 405, grpc: grpc::UNIMPLEMENTED, fault: Client,
        proxy_status: DENIED,
        text: "the route does not serve this method",
        means: "Routes have the path, but none of them has the method.",
        look: "`Allow` in the answer lists the methods. See `match.methods`.",
    }
    NoHealthyEndpoint {
        name: "no_healthy_endpoint", status: 503, grpc: grpc::UNAVAILABLE, fault: Upstream,
        proxy_status: "tyrian; error=destination_unavailable",
        text: "no healthy endpoint is left",
        means: "The version has no endpoint that may be tried: all of them are down, unhealthy, \
            ejected or drained.",
        look: "`tyrian status` lists those that are down; `tyrian explain` with the request says \
            why. See tyrian_endpoint_healthy and GET /v1/services.",
    }
    NoRoute {
        name: "no_route", status: 404, grpc: grpc::UNIMPLEMENTED, fault: Client,
        proxy_status: "tyrian; error=destination_not_found",
        text: "no route matches this request",
        means: "No route matches the request.",
        look: "`tyrian explain` with the same request lists the routes that came near, and what \
            each lacks.",
    }
    Overloaded {
        name: "overloaded", status: 503, grpc: grpc::UNAVAILABLE, fault: Gateway,
        proxy_status: CONNECTION_LIMIT,
        text: "the gateway has too much to do",
        means: "The gateway has too much to do, and sheds requests of routes that matter less.",
        look: "See `importance` of routes, and tyrian_overload_level.",
    }
    Plugin {
        name: "plugin", status: 403, grpc: grpc::PERMISSION_DENIED, fault: Client,
        proxy_status: DENIED,
        text: "a plugin has answered",
        means: "A plugin of the route has answered the request.",
        look: "`detail` in the log names the plugin; docs/guides/plugins.md says what each one refuses.",
    }
    RateLimited {
        name: "rate_limited", status: 429, grpc: grpc::RESOURCE_EXHAUSTED, fault: Client,
        proxy_status: DENIED,
        text: "too many requests",
        means: "A limit of the route is exhausted for the client's key, or the key is missing. The \
            answer has Retry-After.",
        look: "`detail` in the log names the limit. See `[limits]`, GET /v1/limits and \
            tyrian_limit_decisions_total.",
    }
    RequestTimeout {
        name: "request_timeout", status: 408, grpc: grpc::DEADLINE_EXCEEDED, fault: Client,
        proxy_status: MALFORMED,
        text: "the request took too long to arrive",
        means: "The client was too slow to send its request, or its own `grpc-timeout` was over.",
        look: "See `clients.header_timeout` and `clients.idle_timeout` of the listener, and `timeouts.request` \
               and `retry.per_try`, which hold while the body is waited for.",
    }
    TooManyInFlight {
        name: "too_many_in_flight", status: 503, grpc: grpc::UNAVAILABLE, fault: Gateway,
        proxy_status: CONNECTION_LIMIT,
        text: "too many requests are in flight",
        means: "The route or the service has as many requests in flight as it may.",
        look: "`detail` in the log names the cap. See `max_in_flight` and tyrian_in_flight.",
    }
    UpstreamConnect {
        name: "upstream_connect", status: 502, grpc: grpc::UNAVAILABLE, fault: Upstream,
        proxy_status: "tyrian; error=connection_refused",
        text: "the upstream cannot be reached",
        means: "No connection to the upstream could be made before the tries ran out.",
        look: "See `retry.attempts`, `timeouts.connect`, and `tyrian status` for endpoints that \
            are down.",
    }
    UpstreamProtocol {
        name: "upstream_protocol", status: 502, grpc: grpc::UNAVAILABLE, fault: Upstream,
        proxy_status: "tyrian; error=http_protocol_error",
        text: "the upstream's answer is malformed",
        means: "The answer of the upstream is malformed.",
        look: "`detail` in the log says what is malformed. See `http` of the version: the upstream \
            may speak another protocol.",
    }
    UpstreamReset {
        name: "upstream_reset", status: 502, grpc: grpc::UNAVAILABLE, fault: Upstream,
        proxy_status: "tyrian; error=http_response_incomplete",
        text: "the upstream closed the connection",
        means: "The upstream has closed the connection before its answer, or amid it.",
        look: "See the upstream's log. A keep-alive shorter than the gateway's shows like this as \
            well.",
    }
    UpstreamTimeout {
        name: "upstream_timeout", status: 504, grpc: grpc::DEADLINE_EXCEEDED, fault: Upstream,
        proxy_status: "tyrian; error=http_response_timeout",
        text: "the upstream took too long",
        means: "The upstream did not answer in time.",
        look: "See `timeouts.request` and `timeouts.idle` of the route and the service, and \
            `retry.per_try`.",
    }
}
