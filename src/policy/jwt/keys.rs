//! The keys of a provider: from a JWKS document (RFC 7517), a PEM file, or a shared secret.

use super::pem::{self, Held, RSA_BITS};
use crate::config::jwt::Algorithm as Allowed;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::error::Category;
use std::path::Path;
use std::str::FromStr;

/// Most keys of one provider.
const KEYS_MAX: usize = 100;
/// Most keys that one token is held against: each costs a verification.
pub(super) const TRIED_MAX: usize = 8;
/// What a key is for. A key is never used with an algorithm of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
            Self::Secret => "a secret",
        })
    }
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

    /// Whether bytes are as long as a key of this kind, and begin like one: a point on a curve
    /// stands there uncompressed.
    pub(super) fn is_whole(self, bytes: &[u8]) -> bool {
        match self {
            Self::P256 => bytes.len() == 65 && bytes.first() == Some(&4),
            Self::P384 => bytes.len() == 97 && bytes.first() == Some(&4),
            Self::Ed25519 => bytes.len() == 32,
            Self::Rsa | Self::Secret => true,
        }
    }
}

/// Shortest secret for an algorithm, in bytes: as long as its hash (RFC 7518, section 3.2).
fn shortest(algorithm: Allowed) -> usize {
    match algorithm {
        Allowed::Hs512 => 64,
        Allowed::Hs384 => 48,
        _ => 32,
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

/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    // What stands there is not quoted: it may be another file than it should.
    #[error("not a JWKS document: {}", without_content(.0))]
    NotJwks(#[from] serde_json::Error),
    #[error("the JWKS document is larger than 256 KiB")]
    TooLarge,
    #[error("{path} holds no public RSA, P-256, P-384 or Ed25519 key in PEM")]
    NotPem { path: String },
    #[error("{path} holds a private key")]
    Private { path: String },
    #[error("{path} holds an RSA key of {bits} bits")]
    RsaBits { path: String, bits: usize },
    #[error("{path} holds {found}, and {algorithm} needs {wanted}")]
    OtherKind {
        path: String,
        found: Kind,
        algorithm: String,
        wanted: Kind,
    },
    #[error("the secret has {has} bytes, and {algorithm} needs {needs}")]
    ShortSecret {
        has: usize,
        algorithm: String,
        needs: usize,
    },
    #[error("the secret is a key in PEM, JSON or SSH form, or a certificate")]
    KeyAsSecret,
    #[error("the secret is not there")]
    NoSecret,
}

/// What is wrong with a document, without what stands in it: errors of data quote values.
fn without_content(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => {
            let (line, column) = (error.line(), error.column());
            format!("a value of another kind at line {line} column {column}")
        }
        Category::Io | Category::Syntax | Category::Eof => error.to_string(),
    }
}

impl UnusableKeys {
    /// What would help.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::KeyAsSecret => {
                "whoever has a public key could sign tokens with it; name it in `pem` or \
                 `jwks_file`, with the algorithms it is for"
            }
            Self::Private { .. } => {
                "the gateway needs the public one: openssl pkey -in KEY -pubout"
            }
            Self::RsaBits { .. } => "RSA keys have 2048 to 8192 bits (RFC 7518, section 3.3)",
            Self::ShortSecret { .. } => {
                "a secret is as long as the hash (RFC 7518, section 3.2): openssl rand -base64 48"
            }
            Self::OtherKind { .. } => {
                "take out the algorithm, or give this key a provider of its own"
            }
            _ => return None,
        })
    }
}

impl KeySet {
    /// Largest JWKS document, in bytes.
    pub const DOCUMENT_MAX: usize = 256 * 1024;

    /// Reads a JWKS document. Keys that are not for verifying signatures are passed over, as are
    /// kinds that are not known (RFC 7517, section 5) and secrets, which do not belong there. A set
    /// of which no key is left is one all the same: it takes away every key there was.
    ///
    /// # Errors
    /// When it is not such a document, or too large.
    pub fn from_jwks(document: &[u8]) -> Result<Self, UnusableKeys> {
        #[derive(serde::Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        if document.len() > Self::DOCUMENT_MAX {
            return Err(UnusableKeys::TooLarge);
        }
        // RFC 8259, section 8.1, allows a parser to ignore it.
        let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
        let Document { keys } = serde_json::from_slice(document)?;
        let keys = keys
            .into_iter()
            .filter_map(|key| {
                serde_json::from_value(key)
                    .ok()
                    .and_then(|key| usable(&key))
            })
            .take(KEYS_MAX)
            .collect();
        Ok(Self { keys })
    }

    /// Reads a JWKS document from a file.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn from_file(path: &Path) -> Result<Self, UnusableKeys> {
        Self::from_jwks(&read(path)?)
    }

    /// Reads one public key in PEM, or that of a certificate. It has to be of the kind that each
    /// of the algorithms is for.
    ///
    /// # Errors
    /// When it cannot be read or is of another kind.
    pub fn from_pem(path: &Path, algorithms: &[Allowed]) -> Result<Self, UnusableKeys> {
        let text = read(path)?;
        let path = path.display().to_string();
        let (found, key) = match pem::held(&text) {
            Held::Public(kind, key) => (kind, key),
            Held::RsaOf(bits) => return Err(UnusableKeys::RsaBits { path, bits }),
            Held::Private => return Err(UnusableKeys::Private { path }),
            Held::Nothing => return Err(UnusableKeys::NotPem { path }),
        };
        let algorithms = algorithms.iter().map(|allowed| algorithm(*allowed));
        for algorithm in algorithms {
            if let Some(wanted) = Kind::of(algorithm).filter(|wanted| *wanted != found) {
                return Err(UnusableKeys::OtherKind {
                    path,
                    found,
                    algorithm: name_of(algorithm),
                    wanted,
                });
            }
        }
        let key = Key {
            id: None,
            kind: found,
            only: None,
            key,
        };
        Ok(Self { keys: vec![key] })
    }

    /// A shared secret.
    ///
    /// # Errors
    /// When it is shorter than the hash of one of the algorithms, or something that everybody may
    /// know.
    pub fn from_secret(secret: &str, algorithms: &[Allowed]) -> Result<Self, UnusableKeys> {
        if pem::is_key(secret) {
            return Err(UnusableKeys::KeyAsSecret);
        }
        let dearest = algorithms.iter().max_by_key(|known| shortest(**known));
        let dearest = dearest.copied().unwrap_or(Allowed::Hs256);
        let (has, needs) = (secret.len(), shortest(dearest));
        if has < needs {
            return Err(UnusableKeys::ShortSecret {
                has,
                algorithm: name_of(algorithm(dearest)),
                needs,
            });
        }
        let key = DecodingKey::from_secret(secret.as_bytes());
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

    /// Keys that an algorithm may be used with.
    fn fitting(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> + Clone {
        let kind = Kind::of(algorithm);
        self.keys.iter().filter(move |key| {
            Some(key.kind) == kind && key.only.is_none_or(|only| only == algorithm)
        })
    }

    /// Names of the algorithms that no key is for: none of their tokens could pass.
    pub fn uncovered(&self, algorithms: &[Allowed]) -> Option<String> {
        let known = algorithms.iter().map(|known| algorithm(*known));
        let names: Vec<String> = known
            .filter(|known| self.fitting(*known).next().is_none())
            .map(name_of)
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Returns the keys that a token is held against, at most eight, in the order of the
    /// set. A token with an id: the keys of this id, else those that have none. A token without
    /// an id: every key that fits its algorithm.
    pub fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &DecodingKey> {
        let known = id.filter(|id| {
            let mut fitting = self.fitting(algorithm);
            fitting.any(|key| key.id.as_deref() == Some(id))
        });
        let fits = move |key: &&Key| id.is_none() || key.id.as_deref() == known;
        let fitting = self.fitting(algorithm).filter(fits);
        fitting.map(|key| &key.key).take(TRIED_MAX)
    }

    /// Whether any key of the set could be the one that has signed such a token.
    pub fn knows(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.candidates(id, algorithm).next().is_some()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, UnusableKeys> {
    use std::io::Read;
    let fail = |source| UnusableKeys::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let file = crate::files::open(path).map_err(fail)?;
    file.take(KeySet::DOCUMENT_MAX as u64 + 1)
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
    let key = DecodingKey::from_jwk(key).ok()?;
    let whole = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => RSA_BITS.contains(&pem::bits(n)),
        DecodingKeyKind::SecretOrDer(bytes) => kind.is_whole(bytes),
    };
    whole.then(|| Key {
        id: common.key_id.clone(),
        kind,
        only,
        key,
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
