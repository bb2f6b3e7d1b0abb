//! Why a connection to an upstream could not be made.

use crate::upstream::cause::Kind;
use pingora::{Error, ErrorType};
use std::fmt;
use std::io;

/// The closed set of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    Refused,
    TimedOut,
    NoRoute,
    /// The handshake of TLS has failed for another reason than the two below.
    TlsProtocol,
    /// The certificate of the endpoint is not valid.
    TlsCertificate,
    /// The endpoint has ended the handshake.
    TlsAlert,
    /// This machine has no port, descriptor or permission for it.
    Local,
    Other,
}

impl ConnectError {
    /// Returns the kind of failure for logs, metrics and ejections.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Refused => Kind::ConnectRefused,
            Self::TimedOut => Kind::ConnectTimeout,
            Self::NoRoute => Kind::Unreachable,
            Self::TlsCertificate => Kind::Certificate,
            Self::TlsProtocol | Self::TlsAlert => Kind::Tls,
            Self::Local | Self::Other => Kind::ConnectError,
        }
    }

    /// Returns the value of `Proxy-Status` where it is more precise than the one of the rejection
    /// (RFC 9209, section 2.3).
    pub const fn proxy_status(self) -> Option<&'static str> {
        match self {
            Self::TimedOut => Some("tyrian; error=connection_timeout"),
            Self::NoRoute => Some("tyrian; error=destination_ip_unroutable"),
            Self::TlsCertificate => Some("tyrian; error=tls_certificate_error"),
            Self::TlsAlert => Some("tyrian; error=tls_alert_received"),
            Self::TlsProtocol => Some("tyrian; error=tls_protocol_error"),
            Self::Refused | Self::Local | Self::Other => None,
        }
    }

    /// Whether the endpoint is to be taken out. A shortage on this machine says nothing about it,
    /// and one that fails at TLS does accept connections.
    pub const fn is_endpoints_fault(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::TimedOut | Self::NoRoute | Self::Other
        )
    }

    /// Classifies an error of the connector.
    pub fn of(error: &Error) -> Self {
        match error.etype() {
            ErrorType::ConnectRefused => Self::Refused,
            // Handshakes that take too long, too.
            ErrorType::ConnectTimedout => Self::TimedOut,
            ErrorType::ConnectNoRoute => Self::NoRoute,
            ErrorType::InvalidCert => Self::TlsCertificate,
            ErrorType::TLSHandshakeFailure => of_handshake(error),
            ErrorType::TLSHandshakeTimedout => Self::TlsProtocol,
            ErrorType::ConnectError if is_shortage(error) => Self::Local,
            ErrorType::ConnectError => Self::Other,
            // Sockets that cannot be made, bound or set up.
            _ => Self::Local,
        }
    }
}

/// The connector keeps nothing but the text of the TLS library's error.
fn of_handshake(error: &Error) -> ConnectError {
    let context = error.context.as_ref();
    let text = context.map_or("", |context| context.as_str());
    if text.contains("invalid peer certificate") {
        ConnectError::TlsCertificate
    } else if text.contains("received fatal alert") {
        ConnectError::TlsAlert
    } else {
        ConnectError::TlsProtocol
    }
}

/// Whether the system has run out of something that a connection takes.
fn is_shortage(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS)
            );
        }
        next = error.source();
    }
    false
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Refused => "the connection was refused",
            Self::TimedOut => "connecting took too long",
            Self::NoRoute => "no route leads to the address",
            Self::TlsProtocol => "the TLS handshake failed",
            Self::TlsCertificate => "the certificate is not valid",
            Self::TlsAlert => "the TLS handshake was ended by an alert",
            Self::Local => "this machine cannot make the connection",
            Self::Other => "the connection failed",
        })
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::ConnectError;
    use crate::upstream::cause::Kind;
    use pingora::{Error, ErrorType};
    use std::io;

    #[test]
    fn errors_of_the_connector_are_classified() {
        let os = |code| io::Error::from_raw_os_error(code);
        for (error, wanted) in [
            (Error::new(ErrorType::ConnectRefused), ConnectError::Refused),
            (
                Error::new(ErrorType::ConnectTimedout),
                ConnectError::TimedOut,
            ),
            (Error::new(ErrorType::ConnectNoRoute), ConnectError::NoRoute),
            (
                Error::new(ErrorType::InvalidCert),
                ConnectError::TlsCertificate,
            ),
            (Error::new(ErrorType::InternalError), ConnectError::Local),
            (
                Error::because(ErrorType::ConnectError, "a", os(libc::EMFILE)),
                ConnectError::Local,
            ),
            (
                Error::because(ErrorType::ConnectError, "a", os(libc::ENOENT)),
                ConnectError::Other,
            ),
            (
                Error::explain(
                    ErrorType::TLSHandshakeFailure,
                    "invalid peer certificate: Expired",
                ),
                ConnectError::TlsCertificate,
            ),
            (
                Error::explain(ErrorType::TLSHandshakeFailure, "received fatal alert: a"),
                ConnectError::TlsAlert,
            ),
            (
                Error::explain(ErrorType::TLSHandshakeFailure, "corrupt message"),
                ConnectError::TlsProtocol,
            ),
        ] {
            assert_eq!(ConnectError::of(&error), wanted, "{error}");
            assert!(wanted.kind().is_about_connecting());
        }
        let behind = Error::because(ErrorType::ConnectError, "a", os(libc::EADDRNOTAVAIL));
        let outer = Error::because(ErrorType::ConnectError, "b", behind);
        assert_eq!(ConnectError::of(&outer), ConnectError::Local);
        assert_eq!(ConnectError::Local.kind(), Kind::ConnectError);
        assert!(!ConnectError::Local.is_endpoints_fault());
        assert!(ConnectError::Other.is_endpoints_fault());
    }
}
