//! The keys of a provider: from a JWKS document (RFC 7517), a PEM file, or a shared secret.

use crate::config::jwt::Algorithm as Allowed;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::path::Path;
use std::str::FromStr;

/// Most keys of one provider.
const KEYS_MAX: usize = 100;
/// Largest JWKS document, in bytes.
pub const DOCUMENT_MAX: usize = 256 * 1024;
/// Shortest shared secret, in bytes (RFC 7518, section 3.2).
const SECRET_MIN: usize = 32;

/// What a key is for. A key is never used with an algorithm of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

impl Kind {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Some(Self::Rsa),
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Some(Self::Secret),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm it is meant for, if it says so.
    only: Option<Algorithm>,
    key: DecodingKey,
}

/// The keys of a provider.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKeys {
    #[error("cannot read {path}: {source}")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error("not a JWKS document: {0}")]
    NotJwks(#[from] serde_json::Error),
    #[error("the JWKS document is larger than 256 KiB")]
    TooLarge,
    #[error("no usable key in it: public RSA, P-256, P-384 or Ed25519 keys are")]
    Empty,
    #[error("{path} holds no public key in PEM")]
    NotPem { path: String },
    #[error("the secret is shorter than 32 bytes")]
    ShortSecret,
    #[error("the secret is not there")]
    NoSecret,
}

impl KeySet {
    /// Reads a JWKS document. Keys that are not for verifying signatures are passed over, as are
    /// kinds that are not known (RFC 7517, section 5) and secrets, which do not belong there.
    ///
    /// # Errors
    /// When no key is left.
    pub fn from_jwks(document: &[u8]) -> Result<Self, UnusableKeys> {
        #[derive(serde::Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        if document.len() > DOCUMENT_MAX {
            return Err(UnusableKeys::TooLarge);
        }
        let Document { keys } = serde_json::from_slice(document)?;
        let keys: Vec<Key> = keys
            .into_iter()
            .filter_map(|key| {
                serde_json::from_value(key)
                    .ok()
                    .and_then(|key| usable(&key))
            })
            .take(KEYS_MAX)
            .collect();
        if keys.is_empty() {
            return Err(UnusableKeys::Empty);
        }
        Ok(Self { keys })
    }

    /// Reads a JWKS document from a file.
    ///
    /// # Errors
    /// When it cannot be read or holds no usable key.
    pub fn from_file(path: &Path) -> Result<Self, UnusableKeys> {
        Self::from_jwks(&read(path)?)
    }

    /// Reads one public key in PEM; the algorithms say of which kind it has to be.
    ///
    /// # Errors
    /// When it cannot be read or is of another kind.
    pub fn from_pem(path: &Path, algorithms: &[Allowed]) -> Result<Self, UnusableKeys> {
        let text = read(path)?;
        let kinds = algorithms
            .iter()
            .filter_map(|allowed| Kind::of(algorithm(*allowed)));
        let keys: Vec<Key> = kinds
            .filter_map(|kind| {
                let key = match kind {
                    Kind::Rsa => DecodingKey::from_rsa_pem(&text),
                    Kind::P256 | Kind::P384 => DecodingKey::from_ec_pem(&text),
                    Kind::Ed25519 => DecodingKey::from_ed_pem(&text),
                    Kind::Secret => return None,
                };
                Some(Key {
                    id: None,
                    kind,
                    only: None,
                    key: key.ok()?,
                })
            })
            .collect();
        if keys.is_empty() {
            return Err(UnusableKeys::NotPem {
                path: path.display().to_string(),
            });
        }
        Ok(Self { keys })
    }

    /// A shared secret.
    ///
    /// # Errors
    /// When it is shorter than its hash would be.
    pub fn from_secret(secret: &[u8]) -> Result<Self, UnusableKeys> {
        if secret.len() < SECRET_MIN {
            return Err(UnusableKeys::ShortSecret);
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self {
            keys: vec![Key {
                id: None,
                kind: Kind::Secret,
                only: None,
                key,
            }],
        })
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key for a token: by its id; without one, the only key that fits.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let kind = Kind::of(algorithm)?;
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.kind == kind && key.only.is_none_or(|only| only == algorithm));
        match id {
            Some(id) => fitting
                .find(|key| key.id.as_deref().is_none_or(|known| known == id))
                .map(|key| &key.key),
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Some(&only.key),
                _ => None,
            },
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, UnusableKeys> {
    use std::io::Read;
    let fail = |source| UnusableKeys::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(DOCUMENT_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(bytes)
}

fn usable(key: &Jwk) -> Option<Key> {
    let common = &key.common;
    let for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Kind::Rsa,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Kind::P256,
            EllipticCurve::P384 => Kind::P384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Kind::Ed25519
        }
        _ => return None,
    };
    (for_signatures && verifies).then_some(())?;
    // One that is meant for encryption has no name of an algorithm that signs.
    let only = match &common.key_algorithm {
        Some(only) => Some(Algorithm::from_str(&only.to_string()).ok()?),
        None => None,
    };
    Some(Key {
        id: common.key_id.clone(),
        kind,
        only,
        key: DecodingKey::from_jwk(key).ok()?,
    })
}

/// The algorithm as the crate knows it.
pub fn algorithm(allowed: Allowed) -> Algorithm {
    match allowed {
        Allowed::Rs256 => Algorithm::RS256,
        Allowed::Rs384 => Algorithm::RS384,
        Allowed::Rs512 => Algorithm::RS512,
        Allowed::Ps256 => Algorithm::PS256,
        Allowed::Ps384 => Algorithm::PS384,
        Allowed::Ps512 => Algorithm::PS512,
        Allowed::Es256 => Algorithm::ES256,
        Allowed::Es384 => Algorithm::ES384,
        Allowed::EdDsa => Algorithm::EdDSA,
        Allowed::Hs256 => Algorithm::HS256,
        Allowed::Hs384 => Algorithm::HS384,
        Allowed::Hs512 => Algorithm::HS512,
    }
}

/// The name in tokens and keys.
pub fn name_of(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}
