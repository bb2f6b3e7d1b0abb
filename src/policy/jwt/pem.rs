//! Public keys as files have them: in PEM, by themselves or in a certificate; and the many forms in
//! which one is mistaken for a secret.

use super::keys::Kind;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What a file in PEM holds first.
#[derive(Debug)]
pub enum Held {
    Public(Kind, DecodingKey),
    /// An RSA key of so many bits, which is too few or too many.
    RsaOf(usize),
    Private,
    /// Something else, or a key of a kind that is not known.
    Nothing,
}

/// Looks at what a file in PEM holds first.
pub fn held(text: &[u8]) -> Held {
    let Some(Ok(pem)) = Pem::iter_from_buffer(text).next() else {
        return Held::Nothing;
    };
    let der = &pem.contents;
    match pem.label.as_str() {
        label if label.ends_with("PRIVATE KEY") => Held::Private,
        "RSA PUBLIC KEY" => rsa(der),
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(der) {
            Ok((_, key)) => of(&key),
            Err(_) => Held::Nothing,
        },
        "CERTIFICATE" => match X509Certificate::from_der(der) {
            Ok((_, certificate)) => of(certificate.public_key()),
            Err(_) => Held::Nothing,
        },
        _ => Held::Nothing,
    }
}

fn of(key: &SubjectPublicKeyInfo) -> Held {
    let bytes = &*key.subject_public_key.data;
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return rsa(bytes);
    }
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|curve| curve.as_oid().ok());
    let kind = match curve {
        _ if *algorithm == OID_SIG_ED25519 => Kind::Ed25519,
        Some(curve) if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_EC_P256 => {
            Kind::P256
        }
        Some(curve) if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_NIST_EC_P384 => {
            Kind::P384
        }
        _ => return Held::Nothing,
    };
    match kind.is_whole(bytes) {
        true if kind == Kind::Ed25519 => Held::Public(kind, DecodingKey::from_ed_der(bytes)),
        true => Held::Public(kind, DecodingKey::from_ec_der(bytes)),
        false => Held::Nothing,
    }
}

/// An RSA key (RFC 8017, appendix A.1.1).
fn rsa(der: &[u8]) -> Held {
    let Ok((_, key)) = RSAPublicKey::from_der(der) else {
        return Held::Nothing;
    };
    match bits(key.modulus) {
        bits if RSA_BITS.contains(&bits) => Held::Public(Kind::Rsa, DecodingKey::from_rsa_der(der)),
        bits => Held::RsaOf(bits),
    }
}

/// Sizes of RSA keys that are used: shorter ones are not safe (RFC 7518, section 3.3), longer ones
/// cost too much.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How many bits a number has, in bytes from the highest.
pub fn bits(number: &[u8]) -> usize {
    let mut bytes = number.iter().skip_while(|byte| **byte == 0);
    bytes.next().map_or(0, |first| {
        8 - first.leading_zeros() as usize + 8 * bytes.count()
    })
}

/// Whether what was given as a secret is a key or a certificate in one of the forms that are handed
/// around: whoever has a public one could sign with it.
pub fn is_key(secret: &str) -> bool {
    let secret = secret.trim();
    secret.contains("-----BEGIN ")
        || secret.starts_with("ssh-")
        || secret.starts_with("ecdsa-sha2-")
        || is_jwk(secret)
        || is_bare(secret)
}

fn is_jwk(secret: &str) -> bool {
    let document: Result<serde_json::Value, _> = serde_json::from_str(secret);
    document.is_ok_and(|found| found.get("kty").is_some() || found.get("keys").is_some())
}

/// What stands between the lines of PEM, without them.
fn is_bare(secret: &str) -> bool {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY);
    let text: String = secret.split_ascii_whitespace().collect();
    let text = text.replace('-', "+").replace('_', "/");
    PLAIN.decode(text).is_ok_and(|der| {
        SubjectPublicKeyInfo::from_der(&der).is_ok() || X509Certificate::from_der(&der).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::{Held, Kind, bits, held, is_key};

    const RSA: &str = include_str!("../../../tests/fixtures/rsa-2048.pub.pem");

    #[test]
    fn bits_are_counted_without_leading_zeros() {
        assert_eq!(bits(&[]), 0);
        assert_eq!(bits(&[0, 0, 1]), 1);
        assert_eq!(bits(&[0, 0x80, 0]), 16);
    }

    #[test]
    fn a_certificate_holds_its_key_and_a_private_key_is_none() {
        let made = rcgen::generate_simple_self_signed(vec!["id.example".to_owned()]).unwrap();
        let found = held(made.cert.pem().as_bytes());
        assert!(matches!(found, Held::Public(Kind::P256, _)), "{found:?}");
        let found = held(made.signing_key.serialize_pem().as_bytes());
        assert!(matches!(found, Held::Private), "{found:?}");
        let found = held(RSA.as_bytes());
        assert!(matches!(found, Held::Public(Kind::Rsa, _)), "{found:?}");
        assert!(matches!(held(b"no key"), Held::Nothing));
    }

    #[test]
    fn a_key_is_told_from_a_secret_in_every_form() {
        let bare: String = RSA.lines().filter(|line| !line.contains('-')).collect();
        for key in [
            RSA,
            &bare,
            &bare.replace('+', "-").replace('/', "_"),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            r#"{"keys":[]}"#,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDc gate",
        ] {
            assert!(is_key(key), "{key}");
        }
        for secret in [
            "0123456789abcdef0123456789abcdef",
            "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCA=",
            r#"{"not":"a key"}"#,
        ] {
            assert!(!is_key(secret), "{secret}");
        }
    }
}
