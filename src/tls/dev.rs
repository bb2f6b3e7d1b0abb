//! Certificates for trying things out: an authority of one's own and leaves signed by it. Nobody
//! believes them who has not been told to.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Days that a leaf is good for: less than a year, as browsers will soon ask for.
const LEAF_DAYS: i64 = 364;
/// Days that the authority is good for.
const AUTHORITY_DAYS: i64 = 3650;

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// An authority that signs leaves.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let params = authority();
        let certificate = params.self_signed(&key)?.pem();
        let pem = key.serialize_pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            key: pem,
        })
    }

    /// One that was made before, by its key.
    ///
    /// # Errors
    /// When the key is none.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, rcgen::Error> {
        Ok(Self {
            issuer: Issuer::new(authority(), KeyPair::from_pem(key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Signs a leaf for these names: DNS names, IP addresses, or URIs such as SPIFFE ids. The
    /// first one is its common name.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn sign(&self, names: &[String], role: Role) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(names.first().map_or("tyrian", |name| name));
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if name.contains("://") => SanType::URI(name.as_str().try_into()?),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_DAYS);
        Ok(Pair {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A list that revokes this certificate and nothing else, as PEM.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn revoke(&self, pair: &Pair) -> Result<String, rcgen::Error> {
        let parsed = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).ok();
        let serial = parsed
            .as_ref()
            .and_then(|der| X509Certificate::from_der(der).ok())
            .map(|(_, leaf)| leaf.raw_serial().to_vec())
            .ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let mut scope = CertificateParams::default();
        valid_for(&mut scope, LEAF_DAYS);
        let list = CertificateRevocationListParams {
            this_update: scope.not_before,
            next_update: scope.not_after,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: scope.not_before,
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)?.pem()
    }
}

/// What every authority made here says of itself.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Tyrian development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_DAYS);
    params
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// From yesterday, since clocks differ, for so many days.
fn valid_for(params: &mut CertificateParams, days: i64) {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let at = |date: jiff::civil::Date| {
        date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    let day = |days: i64| today.saturating_add(jiff::Span::new().days(days));
    params.not_before = at(day(-1));
    params.not_after = at(day(days));
}
