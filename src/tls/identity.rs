//! Who a client is by its certificate, which the handshake has verified.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Distinguished name, such as `CN=ci, O=Example`.
    pub subject: String,
    /// URI names; a SPIFFE id is one.
    pub uris: Vec<String>,
    pub dns: Vec<String>,
    /// SHA-256 of the certificate, lower-case hex.
    pub hash: String,
    /// In the form that proxies agree on: `Hash=…;Subject="…";URI=…;DNS=…`.
    pub forwarded: String,
}

impl Identity {
    /// Reads the leaf of a client's chain; `None` when it says nothing that can be read.
    pub fn of(leaf: &CertificateDer) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let mut identity = Self {
            subject: certificate.subject().to_string(),
            uris: Vec::new(),
            dns: Vec::new(),
            hash: format!("{:x}", Sha256::digest(leaf)),
            forwarded: String::new(),
        };
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names);
        for name in names {
            match name {
                GeneralName::URI(uri) => identity.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => identity.dns.push(name.to_ascii_lowercase()),
                _ => {}
            }
        }
        identity.forwarded = identity.forward();
        Some(identity)
    }

    /// The name that limits and logs go by: the SPIFFE id or first URI, else the first DNS name,
    /// else the subject.
    pub fn name(&self) -> &str {
        let first = self.uris.first().or_else(|| self.dns.first());
        first.map_or(&self.subject, |name| name)
    }

    fn forward(&self) -> String {
        let quoted = self.subject.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!("Hash={};Subject=\"{quoted}\"", self.hash);
        let plain = |name: &&String| !name.contains([';', ',', '"', '=']);
        for uri in self.uris.iter().filter(plain) {
            let _ = write!(text, ";URI={uri}");
        }
        for name in self.dns.iter().filter(plain) {
            let _ = write!(text, ";DNS={name}");
        }
        // What cannot stand in a field is left out, never passed on as something else.
        text.retain(|letter| letter.is_ascii() && !letter.is_ascii_control());
        text
    }
}

/// Four or sixteen bytes as an address.
pub(super) fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_string())
}
