//! What the gateway shows to upstreams and asks of them, in the types of the proxy core, which
//! makes these handshakes: made once, shared by every try.

use super::PROVIDER;
use super::certificate::{Unusable, certificates, key, parse};
use crate::config::tls::{Verify, VersionTls};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// TLS towards one version.
pub struct UpstreamTls {
    /// Name that is asked for and checked; `None`: the host of the endpoint.
    pub server_name: Option<String>,
    pub verify: bool,
    /// Authorities that are believed; `None`: those of the system.
    pub ca: Option<Arc<CaType>>,
    pub client: Option<Arc<CertKey>>,
    /// For connections that the gateway makes for itself.
    own: ClientConfig,
    /// Tells connections apart that were made under other rules: the core's pools go by address,
    /// name and client certificate, not by authority.
    pub rules: u64,
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("server_name", &self.server_name)
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl UpstreamTls {
    /// Whether the other one goes by the same rules.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.rules, &self.server_name, self.verify)
            == (other.rules, &other.server_name, other.verify)
    }

    /// A handshake of the gateway's own, for checks.
    ///
    /// # Errors
    /// What the handshake fails on.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        alpn: &'static [u8],
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let mut config = self.own.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
    }

    /// Reads and checks everything that a version's `tls` names.
    ///
    /// # Errors
    /// Whatever keeps it from being used.
    pub fn read(config: &VersionTls) -> Result<Self, Unusable> {
        let mut rules = Sha256::new();
        let mut roots = RootCertStore::empty();
        let ca = match &config.ca {
            None => {
                // Whatever of the system's store can be read; no store at all is told by the
                // first handshake.
                let system = rustls_native_certs::load_native_certs().certs;
                roots.add_parsable_certificates(system);
                None
            }
            Some(file) => {
                let path = file.0.display().to_string();
                let mut authorities = Vec::new();
                for der in certificates(file)? {
                    // The core takes for granted that they can be parsed.
                    parse(&der, &path)?;
                    rules.update(&der);
                    authorities.push(WrappedX509::new(der.to_vec(), parse_x509));
                    roots.add(der)?;
                }
                Some(Arc::from(authorities))
            }
        };
        let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match config.verify {
            Verify::Full => builder.with_root_certificates(roots),
            Verify::None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody)),
        };
        let (own, client) = match &config.client_cert {
            None => (builder.with_no_client_auth(), None),
            Some(shown) => {
                // Read as a listener would, which also matches the key to the certificate.
                let certified = super::Certified::read(shown)?;
                let chain = certified.key.cert.clone();
                for der in &chain {
                    rules.update(der);
                }
                let key = key(shown, &certified.file)?;
                let core = CertKey::new(
                    chain.iter().map(|der| der.to_vec()).collect(),
                    key.secret_der().to_vec(),
                );
                let own = builder.with_client_auth_cert(chain, key)?;
                (own, Some(Arc::new(core)))
            }
        };
        let hash: [u8; 32] = rules.finalize().into();
        let rules = hash
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Ok(Self {
            server_name: config.server_name.as_ref().map(|name| name.0.clone()),
            verify: config.verify == Verify::Full,
            ca,
            client,
            own,
            rules,
        })
    }
}

/// Believes whoever answers, as `verify = "none"` asks for; signatures are checked all the same.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER
            .signature_verification_algorithms
            .supported_schemes()
    }
}
