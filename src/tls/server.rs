//! What a listener shows its clients and asks of them.

use super::PROVIDER;
use super::certificate::{Certified, Unusable, certificates};
use crate::config::listener::{Listener, Protocol};
use crate::config::tls::{ClientAuth, ClientAuthMode, MinVersion, Tls};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// A listener's TLS, ready for handshakes.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    pub config: Arc<ServerConfig>,
    pub certificates: Vec<Certified>,
    /// Whether the client's certificate goes up.
    pub forwards: bool,
    /// What client authentication was asked for; tickets are good only as long as it stays.
    admission: [u8; 32],
}

impl ListenerTls {
    /// Reads and checks everything that a listener's `tls` names.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub fn read(listener: &Listener, tls: &Tls) -> Result<Self, Unusable> {
        let read: Result<Vec<_>, _> = tls.certs.0.iter().map(Certified::read).collect();
        let certified = read?;
        let versions: &[_] = match tls.min_version {
            MinVersion::V12 => &[&TLS13, &TLS12],
            MinVersion::V13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(versions)?;
        let (builder, admission) = match &tls.client_auth {
            None => (builder.with_no_client_auth(), [0; 32]),
            Some(asked) => {
                let (verifier, admission) = verifier(asked)?;
                (builder.with_client_cert_verifier(verifier), admission)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&certified)));
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.alpn_protocols = [(Protocol::H2, "h2"), (Protocol::H1, "http/1.1")]
            .into_iter()
            .filter(|(protocol, _)| listener.speaks(*protocol))
            .map(|(_, name)| name.as_bytes().to_vec())
            .collect();
        let forwards = tls.client_auth.as_ref().is_some_and(|asked| asked.forward);
        Ok(Self {
            config: Arc::new(config),
            certificates: certified,
            forwards,
            admission,
        })
    }

    /// Goes on with the ticket keys of the generation before, so that clients resume across a
    /// reload; unless other clients are let in now.
    pub fn after(mut self, previous: Option<&Self>) -> Self {
        if let Some(before) = previous.filter(|before| before.admission == self.admission) {
            let mut config = (*self.config).clone();
            config.ticketer = before.ticketer();
            config.session_storage = before.config.session_storage.clone();
            self.config = Arc::new(config);
        }
        self
    }

    fn ticketer(&self) -> Arc<dyn ProducesTickets> {
        self.config.ticketer.clone()
    }
}

/// Who lets clients in, and a hash of the rules it goes by.
fn verifier(asked: &ClientAuth) -> Result<(Arc<dyn ClientCertVerifier>, [u8; 32]), Unusable> {
    let mut rules = Sha256::new();
    rules.update([u8::from(asked.mode == ClientAuthMode::Required)]);
    let mut roots = RootCertStore::empty();
    for authority in certificates(&asked.ca)? {
        rules.update(&authority);
        roots.add(authority)?;
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone());
    if let Some(file) = &asked.crl {
        let path = file.0.display().to_string();
        let unusable = |error: rustls::pki_types::pem::Error| Unusable::File {
            path: path.clone(),
            error: error.to_string(),
        };
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(&file.0)
            .map_err(unusable)?
            .collect();
        let lists = lists.map_err(unusable)?;
        for list in &lists {
            rules.update(list);
        }
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if asked.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    Ok((builder.build()?, rules.finalize().into()))
}

/// Certificates by the name a client asks for: exact, then wildcard, then the first of all. Of
/// several for one name, the first that the client can verify (ECDSA beside RSA).
#[derive(Debug)]
struct ByName {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    fn new(certificates: &[Certified]) -> Self {
        let mut by_name = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            all: Vec::new(),
        };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut by_name.wildcard, parent),
                    None => (&mut by_name.exact, name.as_str()),
                };
                let keys = names.entry(name.to_owned()).or_default();
                keys.push(certificate.key.clone());
            }
            by_name.all.push(certificate.key.clone());
        }
        by_name
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        self.exact.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = hello.server_name().and_then(|name| self.named(name));
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let keys = keys.unwrap_or(&self.all);
        keys.iter().find(fits).or_else(|| keys.first()).cloned()
    }
}
