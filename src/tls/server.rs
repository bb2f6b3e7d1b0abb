//! What a listener shows its clients and asks of them.

use super::PROVIDER;
use super::certificate::{Certified, Unusable, certificates, pem};
use super::handshake::Noting;
use crate::config::listener::{Listener, Protocol};
use crate::config::tls::{Certificate, ClientAuth, ClientAuthMode, MinVersion, Tls};
use rustls::pki_types::CertificateRevocationListDer;
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
    admission: Admission,
}

/// Who lets clients in; `None`: everybody comes in.
#[derive(Debug, Clone)]
struct Admission {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Hash of the rules it goes by; tickets are good only as long as it stays.
    rules: [u8; 32],
}

/// The TLS that a listener has in use: parts of it go on where their files cannot be used.
#[derive(Debug)]
pub struct InUse<'a> {
    /// What it was made of.
    pub table: &'a Tls,
    pub made: &'a ListenerTls,
}

impl InUse<'_> {
    /// The certificate of the same files.
    fn certified(&self, config: &Certificate) -> Option<Certified> {
        let mut certificates = self.table.certs.0.iter();
        let position = certificates.position(|known| known == config)?;
        self.made.certificates.get(position).cloned()
    }

    /// Who lets in by the same files and rules.
    fn admission(&self, asked: &ClientAuth) -> Option<Admission> {
        let same = self.table.client_auth.as_ref() == Some(asked);
        same.then(|| self.made.admission.clone())
    }
}

impl ListenerTls {
    /// Reads and checks everything that a listener's `tls` names. Where files cannot be used, what
    /// was made of them before goes on; the second value says which.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub fn read(
        listener: &Listener,
        tls: &Tls,
        in_use: Option<&InUse>,
    ) -> Result<(Self, Vec<Unusable>), Unusable> {
        let mut kept = Vec::new();
        let mut certified = Vec::new();
        for certificate in &tls.certs.0 {
            let before = in_use.and_then(|in_use| in_use.certified(certificate));
            certified.push(or_kept(Certified::read(certificate), before, &mut kept)?);
        }
        let versions: &[_] = match tls.min_version {
            MinVersion::V12 => &[&TLS13, &TLS12],
            MinVersion::V13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(versions)?;
        let admission = match &tls.client_auth {
            None => Admission {
                verifier: None,
                rules: [0; 32],
            },
            Some(asked) => {
                let before = in_use.and_then(|in_use| in_use.admission(asked));
                or_kept(admission(asked), before, &mut kept)?
            }
        };
        let builder = match &admission.verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&certified)));
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.alpn_protocols = [(Protocol::H2, "h2"), (Protocol::H1, "http/1.1")]
            .into_iter()
            .filter(|(protocol, _)| listener.speaks(*protocol))
            .map(|(_, name)| name.as_bytes().to_vec())
            .collect();
        let forwards = tls.client_auth.as_ref().is_some_and(|asked| asked.forward);
        let read = Self {
            config: Arc::new(config),
            certificates: certified,
            forwards,
            admission,
        };
        Ok((read, kept))
    }

    /// Goes on with the ticket keys of the generation before, so that clients resume across a
    /// reload; unless other clients are let in now.
    pub fn after(mut self, previous: Option<&Self>) -> Self {
        if let Some(before) =
            previous.filter(|before| before.admission.rules == self.admission.rules)
        {
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

/// What was read, or what goes on in its place: why is noted then.
fn or_kept<T>(
    read: Result<T, Unusable>,
    before: Option<T>,
    kept: &mut Vec<Unusable>,
) -> Result<T, Unusable> {
    read.or_else(|why| match before {
        Some(before) => {
            kept.push(why);
            Ok(before)
        }
        None => Err(why),
    })
}

/// Who lets clients in.
fn admission(asked: &ClientAuth) -> Result<Admission, Unusable> {
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
        let lists: Vec<CertificateRevocationListDer> = pem(file)?;
        if lists.is_empty() {
            // A list without entries is a list in PEM too: this file was emptied, or is another.
            return Err(Unusable::NoList(file.0.display().to_string()));
        }
        for list in &lists {
            rules.update(list);
        }
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if asked.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    Ok(Admission {
        verifier: Some(Arc::new(Noting(builder.build()?))),
        rules: rules.finalize().into(),
    })
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
                let keys = names.entry(compared(name)).or_default();
                keys.push(certificate.key.clone());
            }
            by_name.all.push(certificate.key.clone());
        }
        by_name
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = compared(name);
        self.exact.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }
}

/// A name as it is compared: in lower case, without the dot of the root, which no client should send and
/// some do (RFC 6066, section 3).
fn compared(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
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

#[cfg(test)]
mod tests {
    use super::{ByName, compared};
    use crate::tls::PROVIDER;
    use crate::tls::dev::{Authority, Role};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::sign::CertifiedKey;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn key(authority: &Authority, name: &str) -> Arc<CertifiedKey> {
        let pair = authority.sign(&[name.to_owned()], Role::Server).unwrap();
        let leaf = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        Arc::new(CertifiedKey::from_der(vec![leaf], key, &PROVIDER).unwrap())
    }

    #[test]
    fn a_name_is_found_in_any_case_and_with_the_dot_of_the_root() {
        let authority = Authority::new().unwrap();
        let (shop, wild) = (
            key(&authority, "shop.example"),
            key(&authority, "*.b.example"),
        );
        let by_name = ByName {
            exact: HashMap::from([("shop.example".to_owned(), vec![shop.clone()])]),
            wildcard: HashMap::from([("b.example".to_owned(), vec![wild.clone()])]),
            all: vec![wild.clone(), shop.clone()],
        };
        for (asked, wanted) in [
            ("shop.example", Some(&shop)),
            ("shop.example.", Some(&shop)),
            ("SHOP.Example.", Some(&shop)),
            ("a.b.example.", Some(&wild)),
            ("A.B.EXAMPLE", Some(&wild)),
            ("a.a.b.example.", None),
            ("shop.example..", None),
            ("other.example.", None),
            (".", None),
        ] {
            let found = by_name.named(asked).and_then(|keys| keys.first());
            assert!(
                found.map(Arc::as_ptr) == wanted.map(Arc::as_ptr),
                "{asked} is compared as {}",
                compared(asked)
            );
        }
    }
}
