//! Why a try, a connection or a check of an endpoint has failed: a closed set of words, for logs,
//! metrics and the admin API.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:literal => $Variant:ident $text:literal,)*) => {
        /// What kind of failure it was.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[doc = $doc])* $Variant,)* }

        impl Kind {
            /// Every kind, in the order of the metrics.
            pub const ALL: &[Self] = &[$(Self::$Variant,)*];

            /// Returns the label value for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)* }
            }

            /// Returns the words for it in the log.
            const fn text(self) -> &'static str {
                match self { $(Self::$Variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// An answer whose HTTP status counts as a failure.
    "http_status" => HttpStatus "HTTP status",
    /// An answer whose gRPC status counts as a failure.
    "grpc_status" => GrpcStatus "gRPC status",
    /// The gRPC health service does not say SERVING.
    "not_serving" => NotServing "not serving",
    /// No answer in time.
    "timeout" => Timeout "timeout",
    /// The connection ended before the answer did.
    "reset" => Reset "connection reset",
    /// The answer is malformed.
    "protocol" => Protocol "malformed answer",
    "connect_refused" => ConnectRefused "connection refused",
    "connect_timeout" => ConnectTimeout "connect timeout",
    /// No route leads to the address.
    "unreachable" => Unreachable "no route to the address",
    /// The name has no address yet.
    "unresolved" => Unresolved "name not resolved",
    /// No TLS handshake.
    "tls" => Tls "TLS handshake failed",
    /// The certificate of the endpoint is not valid.
    "certificate" => Certificate "certificate not valid",
    /// Any other failure of a connection attempt.
    "connect_error" => ConnectError "connect error",
}

impl Kind {
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
}

/// How many kinds there are.
const KINDS: usize = Kind::ALL.len();

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

/// Counters by kind.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; KINDS]);

impl Counts {
    pub fn add(&self, kind: Kind) {
        if let Some(count) = self.0.get(kind as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Returns each kind and its count.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        Kind::ALL.iter().copied().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Counts, Kind};
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
    fn causes_are_told_with_their_status_and_counted_by_kind() {
        assert_eq!(Cause::http(503).to_string(), "HTTP status 503");
        assert_eq!(Cause::grpc(14).to_string(), "gRPC status 14");
        assert_eq!(Cause::from(Kind::Timeout).to_string(), "timeout");
        let counts = Counts::default();
        counts.add(Kind::Timeout);
        counts.add(Kind::ConnectError);
        let seen: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [(Kind::Timeout, 1), (Kind::ConnectError, 1)]);
    }
}
