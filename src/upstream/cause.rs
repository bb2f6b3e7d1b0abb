//! Why a try, a connection or a check of an endpoint has failed: a closed set of words, for logs,
//! metrics and the admin API.

use crate::counts::label_values;
use std::error::Error;
use std::fmt;
use std::io;

label_values! {
    /// What kind of failure it was.
    pub enum Kind {
        /// An answer whose HTTP status counts as a failure.
        "http_status" => HttpStatus,
        /// An answer whose gRPC status counts as a failure.
        "grpc_status" => GrpcStatus,
        /// The gRPC health service does not say SERVING.
        "not_serving" => NotServing,
        /// No answer in time.
        "timeout" => Timeout,
        /// The connection ended before the answer did.
        "reset" => Reset,
        /// The answer is malformed.
        "protocol" => Protocol,
        "connect_refused" => ConnectRefused,
        "connect_timeout" => ConnectTimeout,
        /// No route leads to the address.
        "unreachable" => Unreachable,
        /// The name has no address yet.
        "unresolved" => Unresolved,
        /// No TLS handshake.
        "tls" => Tls,
        /// The certificate of the endpoint is not valid.
        "certificate" => Certificate,
        /// Any other failure of a connection attempt.
        "connect_error" => ConnectError,
    }
}

label_values! {
    /// Why an endpoint was ejected: fewer words than kinds of failures, since each endpoint has a
    /// series for each.
    pub enum EjectionCause {
        "http_status" => HttpStatus,
        "grpc_status" => GrpcStatus,
        "timeout" => Timeout,
        "reset" => Reset,
        "connect" => Connect,
    }
}

impl Kind {
    /// Returns the words for it in the log.
    const fn text(self) -> &'static str {
        match self {
            Self::HttpStatus => "HTTP status",
            Self::GrpcStatus => "gRPC status",
            Self::NotServing => "not serving",
            Self::Timeout => "timeout",
            Self::Reset => "connection reset",
            Self::Protocol => "malformed answer",
            Self::ConnectRefused => "connection refused",
            Self::ConnectTimeout => "connect timeout",
            Self::Unreachable => "no route to the address",
            Self::Unresolved => "name not resolved",
            Self::Tls => "TLS handshake failed",
            Self::Certificate => "certificate not valid",
            Self::ConnectError => "connect error",
        }
    }

    /// Whether it is about a connection that did not come about.
    pub const fn is_about_connecting(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::Unreachable
                | Self::Tls
                | Self::Certificate
                | Self::ConnectError
        )
    }

    /// Returns the cause that an ejection after it is counted by.
    pub const fn ejection(self) -> EjectionCause {
        match self {
            Self::HttpStatus => EjectionCause::HttpStatus,
            Self::GrpcStatus | Self::NotServing => EjectionCause::GrpcStatus,
            Self::Timeout => EjectionCause::Timeout,
            Self::Reset | Self::Protocol => EjectionCause::Reset,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Unreachable
            | Self::Unresolved
            | Self::Tls
            | Self::Certificate
            | Self::ConnectError => EjectionCause::Connect,
        }
    }
}

/// A failure: its kind, and the status where the kind has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    pub kind: Kind,
    status: Option<u16>,
}

impl Cause {
    /// An answer with this HTTP status.
    pub const fn http(status: u16) -> Self {
        Self {
            kind: Kind::HttpStatus,
            status: Some(status),
        }
    }

    /// An answer with this gRPC status.
    pub const fn grpc(status: u8) -> Self {
        Self {
            kind: Kind::GrpcStatus,
            status: Some(status as u16),
        }
    }

    /// Reads what an error says of a connection or an exchange: the first error of its chain that
    /// is known decides.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(kind) = known(error) {
                return kind.into();
            }
            next = error.source();
        }
        Kind::Protocol.into()
    }
}

impl From<Kind> for Cause {
    fn from(kind: Kind) -> Self {
        Self { kind, status: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(out, "{} {status}", self.kind.text()),
            None => out.write_str(self.kind.text()),
        }
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        return Some(tls.map_or_else(|| of_io(error.kind()), of_tls));
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        let cut = error.is_io() || error.is_reset() || error.is_go_away();
        return Some(if cut { Kind::Reset } else { Kind::Protocol });
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    let cut = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    cut.then_some(Kind::Reset)
}

fn of_tls(error: &rustls::Error) -> Kind {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Kind::Certificate
        }
        _ => Kind::Tls,
    }
}

const fn of_io(kind: io::ErrorKind) -> Kind {
    use io::ErrorKind as Io;
    match kind {
        Io::ConnectionRefused => Kind::ConnectRefused,
        Io::TimedOut => Kind::ConnectTimeout,
        Io::HostUnreachable | Io::NetworkUnreachable => Kind::Unreachable,
        Io::AddrNotAvailable => Kind::Unresolved,
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
            Kind::Reset
        }
        _ => Kind::ConnectError,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, EjectionCause, Kind};
    use crate::counts::LabelValue;
    use std::io::{Error, ErrorKind};

    #[test]
    fn an_error_names_its_cause() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        for (error, kind) in [
            (ErrorKind::ConnectionRefused.into(), Kind::ConnectRefused),
            (ErrorKind::AddrNotAvailable.into(), Kind::Unresolved),
            (ErrorKind::NotFound.into(), Kind::ConnectError),
            (Error::new(ErrorKind::InvalidData, tls), Kind::Certificate),
            (
                Error::other(rustls::Error::NoApplicationProtocol),
                Kind::Tls,
            ),
        ] {
            assert_eq!(Cause::of(&error).kind, kind, "{error:?}");
        }
        assert_eq!(Cause::of(&std::fmt::Error).kind, Kind::Protocol);
    }

    #[test]
    fn causes_are_told_with_their_status() {
        assert_eq!(Cause::http(503).to_string(), "HTTP status 503");
        assert_eq!(Cause::grpc(14).to_string(), "gRPC status 14");
        assert_eq!(Cause::from(Kind::Timeout).to_string(), "timeout");
    }

    #[test]
    fn what_is_about_connecting_ejects_as_such() {
        let connecting = Kind::ALL.iter().filter(|kind| kind.is_about_connecting());
        assert_eq!(connecting.clone().count(), 6);
        assert!(
            connecting
                .clone()
                .all(|kind| kind.ejection() == EjectionCause::Connect)
        );
        for kind in [
            Kind::HttpStatus,
            Kind::GrpcStatus,
            Kind::Timeout,
            Kind::Reset,
        ] {
            assert_eq!(kind.ejection().name(), kind.name());
        }
    }
}
