//! Why a request was refused: the closed vocabulary of answers, logs and metrics.

/// One reason; its name and status are a promise (see `docs/reference`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    BadRequest,
    BodyTooLarge,
    ClientClosed,
    ColorUnknown,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    NoHealthyEndpoint,
    NoRoute,
    Overloaded,
    RequestTimeout,
    UpstreamConnect,
    UpstreamProtocol,
    UpstreamReset,
    UpstreamTimeout,
}

impl Reason {
    /// Every reason, in the order of the enum; the index of one is `reason as usize`.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::ClientClosed,
        Self::ColorUnknown,
        Self::HeadersTooLarge,
        Self::InternalError,
        Self::MethodNotAllowed,
        Self::NoHealthyEndpoint,
        Self::NoRoute,
        Self::Overloaded,
        Self::RequestTimeout,
        Self::UpstreamConnect,
        Self::UpstreamProtocol,
        Self::UpstreamReset,
        Self::UpstreamTimeout,
    ];

    /// The word in answers, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientClosed => "client_closed",
            Self::ColorUnknown => "color_unknown",
            Self::HeadersTooLarge => "headers_too_large",
            Self::InternalError => "internal_error",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::NoRoute => "no_route",
            Self::Overloaded => "overloaded",
            Self::RequestTimeout => "request_timeout",
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
            Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::HeadersTooLarge => 431,
            Self::ClientClosed => 499,
            Self::InternalError => 500,
            Self::UpstreamConnect | Self::UpstreamProtocol | Self::UpstreamReset => 502,
            Self::NoHealthyEndpoint | Self::Overloaded => 503,
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
