//! A handshake with a client: how it failed, in a closed set of causes, and by whose certificate.

use crate::counts::label_values;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, InvalidMessage,
    PeerIncompatible, ServerConfig, SignatureScheme,
};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

label_values! {
    /// Why a handshake with a client failed.
    pub enum Cause {
        /// The client did not finish in time.
        "timeout" => Timeout,
        /// The client closed the connection.
        "closed" => Closed,
        /// What the client sent is not TLS.
        "not_tls" => NotTls,
        /// The client speaks no version of TLS that the listener allows.
        "version" => Version,
        /// No cipher suite, group, signature scheme or protocol (ALPN) in common.
        "incompatible" => Incompatible,
        /// The client ended the handshake with an alert, such as for a certificate it does not
        /// trust.
        "alert" => Alert,
        /// The client broke the rules of the protocol.
        "protocol" => Protocol,
        /// The client showed no certificate where one is required.
        "client_cert_missing" => ClientCertMissing,
        /// No known authority has signed the client's certificate.
        "client_cert_issuer" => ClientCertIssuer,
        /// The client's certificate is not valid now.
        "client_cert_expired" => ClientCertExpired,
        /// The client's certificate is revoked.
        "client_cert_revoked" => ClientCertRevoked,
        /// The client's certificate cannot be accepted for another cause.
        "client_cert_invalid" => ClientCertInvalid,
    }
}

impl Cause {
    /// Whether the client's certificate, or the lack of one, is the cause.
    pub const fn is_about_client(self) -> bool {
        matches!(
            self,
            Self::ClientCertMissing
                | Self::ClientCertIssuer
                | Self::ClientCertExpired
                | Self::ClientCertRevoked
                | Self::ClientCertInvalid
        )
    }

    fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        match tls {
            Some(error) => Self::of_tls(error),
            None => Self::Closed,
        }
    }

    fn of_tls(error: &Error) -> Self {
        use PeerIncompatible as No;
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Error::PeerIncompatible(
                No::SupportedVersionsExtensionRequired
                | No::Tls12NotOffered
                | No::Tls12NotOfferedOrEnabled
                | No::ServerDoesNotSupportTls12Or13,
            ) => Self::Version,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::AlertReceived(_) => Self::Alert,
            Error::NoCertificatesPresented => Self::ClientCertMissing,
            Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Self::ClientCertIssuer,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::ClientCertExpired,
                CertificateError::Revoked => Self::ClientCertRevoked,
                _ => Self::ClientCertInvalid,
            },
            _ => Self::Protocol,
        }
    }
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Failed {
    pub cause: Cause,
    pub error: io::Error,
    /// The client's certificate that was refused, if it showed one.
    pub leaf: Option<CertificateDer<'static>>,
}

tokio::task_local! {
    /// The certificate that the verifier has refused in the handshake of this task.
    static REFUSED: RefCell<Option<CertificateDer<'static>>>;
}

/// Shakes hands with a client.
///
/// # Errors
/// Why it failed.
pub async fn accept<T>(config: Arc<ServerConfig>, transport: T) -> Result<TlsStream<T>, Failed>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = async {
        let shaken = TlsAcceptor::from(config).accept(transport).await;
        shaken.map_err(|error| Failed {
            cause: Cause::of(&error),
            error,
            leaf: REFUSED.with(RefCell::take),
        })
    };
    REFUSED.scope(RefCell::new(None), shaken).await
}

/// Verifies as the verifier in it does, and notes whose certificate was refused: the library's
/// error does not tell.
#[derive(Debug)]
pub(super) struct Noting(pub Arc<dyn ClientCertVerifier>);

impl Noting {
    fn note<T>(leaf: &CertificateDer<'_>, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            let note = |slot: &RefCell<_>| *slot.borrow_mut() = Some(leaf.clone().into_owned());
            // An error: the handshake is not one of `accept`.
            let _ = REFUSED.try_with(note);
        }
        result
    }
}

impl ClientCertVerifier for Noting {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::note(leaf, self.0.verify_client_cert(leaf, intermediates, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.0.verify_tls12_signature(message, leaf, signature);
        Self::note(leaf, verified)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.0.verify_tls13_signature(message, leaf, signature);
        Self::note(leaf, verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;
    use crate::counts::LabelValue;
    use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};
    use std::io;

    #[test]
    fn every_failure_has_a_cause() {
        let tls = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (error, cause) in [
            (io::ErrorKind::UnexpectedEof.into(), Cause::Closed),
            (
                tls(Error::InvalidMessage(InvalidMessage::InvalidContentType)),
                Cause::NotTls,
            ),
            (
                tls(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)),
                Cause::Version,
            ),
            (
                tls(Error::NoCertificatesPresented),
                Cause::ClientCertMissing,
            ),
            (
                tls(CertificateError::Revoked.into()),
                Cause::ClientCertRevoked,
            ),
            (
                tls(CertificateError::UnknownIssuer.into()),
                Cause::ClientCertIssuer,
            ),
            (
                tls(CertificateError::BadSignature.into()),
                Cause::ClientCertInvalid,
            ),
            (tls(Error::HandshakeNotComplete), Cause::Protocol),
        ] {
            assert_eq!(Cause::of(&error), cause, "{error:?}");
        }
        let about_client = Cause::ALL.iter().filter(|cause| cause.is_about_client());
        assert!(about_client.clone().count() == 5);
        assert!(
            about_client
                .clone()
                .all(|cause| cause.name().starts_with("client_cert_"))
        );
    }
}
