//! A certificate chain with its key: read, matched to each other, and asked for names and dates.

use super::PROVIDER;
use crate::config::tls::{Certificate, PemFile};
use crate::files;
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Why something of TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{path}: {error}")]
    File { path: String, error: String },
    #[error("{0} holds no certificate")]
    Empty(String),
    #[error("{0} holds no revocation list")]
    NoList(String),
    #[error("the key of {0} cannot be read; is it there, and PEM?")]
    Key(String),
    #[error("the key does not belong to the certificate in {0}")]
    Mismatch(String),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub struct Certified {
    pub key: Arc<CertifiedKey>,
    /// DNS names, lower case, wildcards as `*.example.com`; and IP addresses.
    pub names: Vec<String>,
    /// Distinguished name of whom it was issued to, and by whom.
    pub subject: String,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Its file, for messages and metrics.
    pub file: String,
    /// Whether each certificate of the chain was issued by the next one.
    pub chained: bool,
}

impl Certified {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// Whatever keeps it from being shown.
    pub fn read(config: &Certificate) -> Result<Self, Unusable> {
        let file = config.chain.0.display().to_string();
        let chain = certificates(&config.chain)?;
        let key = key(config, &file)?;
        let signer = PROVIDER.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(Unusable::Mismatch(file)),
            Err(other) => return Err(other.into()),
        }
        let parsed: Result<Vec<X509Certificate>, Unusable> =
            certified.cert.iter().map(|der| parse(der, &file)).collect();
        let parsed = parsed?;
        let leaf = parsed
            .first()
            .ok_or_else(|| Unusable::Empty(file.clone()))?;
        let chained = parsed
            .iter()
            .zip(parsed.iter().skip(1))
            .all(|(one, next)| one.issuer() == next.subject());
        let names = names(leaf);
        let (subject, issuer) = (leaf.subject().to_string(), leaf.issuer().to_string());
        let validity = leaf.validity();
        let (not_before, not_after) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        drop(parsed);
        Ok(Self {
            key: Arc::new(certified),
            names,
            subject,
            issuer,
            not_before,
            not_after,
            file,
            chained,
        })
    }
}

/// The key of a certificate, as DER.
pub(super) fn key(config: &Certificate, file: &str) -> Result<PrivateKeyDer<'static>, Unusable> {
    let text = config.key.text();
    text.and_then(|text| PrivateKeyDer::from_pem_slice(text.as_bytes()).ok())
        .ok_or_else(|| Unusable::Key(file.to_owned()))
}

/// All certificates of a file.
pub(super) fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let all = pem(file)?;
    if all.is_empty() {
        return Err(Unusable::Empty(file.0.display().to_string()));
    }
    Ok(all)
}

/// Everything of a kind in a PEM file. Errors never quote it: it may be another file than it should.
pub(super) fn pem<T: PemObject>(file: &PemFile) -> Result<Vec<T>, Unusable> {
    let unusable = |error: String| Unusable::File {
        path: file.0.display().to_string(),
        error,
    };
    let bytes =
        files::read(&file.0, files::PEM_MAX).map_err(|error| unusable(error.to_string()))?;
    let all: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
    all.map_err(|_| unusable("is not sound PEM".to_owned()))
}

pub(super) fn parse<'a>(der: &'a [u8], file: &str) -> Result<X509Certificate<'a>, Unusable> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| Unusable::File {
        path: file.to_owned(),
        error: format!("is no certificate: {error}"),
    })?;
    Ok(certificate)
}

/// The names it speaks for; its common name only when it has no others, as old ones do.
fn names(leaf: &X509Certificate) -> Vec<String> {
    let alternatives = leaf.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => super::identity::address(bytes),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        return names;
    }
    let common = leaf.subject().iter_common_name();
    common
        .filter_map(|name| name.as_str().ok())
        .map(str::to_ascii_lowercase)
        .collect()
}
