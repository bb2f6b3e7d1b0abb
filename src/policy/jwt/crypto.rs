//! The cryptography behind `jsonwebtoken`: ring, which the TLS stack brings anyway, so that the
//! gateway holds one implementation of each primitive.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    // Thumbprints and the like, which nothing here asks for.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the provider of this process. Calling it again changes nothing.
pub fn install() {
    let _ = PROVIDER.install_default();
}

fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_of(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn curve_of(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&ED25519),
        _ => None,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate's signature")]
fn verifier_factory(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != family_of(*algorithm) {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(RingVerifier {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

fn family_of(algorithm: Algorithm) -> AlgorithmFamily {
    match (hmac_of(algorithm), rsa_of(algorithm), algorithm) {
        (Some(_), _, _) => AlgorithmFamily::Hmac,
        (_, Some(_), _) => AlgorithmFamily::Rsa,
        (_, _, Algorithm::EdDSA) => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Ec,
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let wrong = |_| signature::Error::new();
        let bytes = || match self.key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => Ok(bytes.as_slice()),
            DecodingKeyKind::RsaModulusExponent { .. } => Err(signature::Error::new()),
        };
        if let Some(rsa) = rsa_of(self.algorithm) {
            return match self.key.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => RsaPublicKeyComponents { n, e }
                    .verify(rsa, message, signature)
                    .map_err(wrong),
                DecodingKeyKind::SecretOrDer(der) => UnparsedPublicKey::new(rsa, der)
                    .verify(message, signature)
                    .map_err(wrong),
            };
        }
        if let Some(curve) = curve_of(self.algorithm) {
            return UnparsedPublicKey::new(curve, bytes()?)
                .verify(message, signature)
                .map_err(wrong);
        }
        let algorithm = hmac_of(self.algorithm).ok_or_else(signature::Error::new)?;
        let key = hmac::Key::new(algorithm, bytes()?);
        hmac::verify(&key, message, signature).map_err(wrong)
    }
}

/// Signing is for shared secrets only: the gateway issues nothing else.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate's signature")]
fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let hmac = hmac_of(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
    if key.family() != AlgorithmFamily::Hmac {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let key = hmac::Key::new(hmac, key.as_bytes());
    Ok(Box::new(HmacSigner {
        algorithm: *algorithm,
        key,
    }))
}

struct HmacSigner {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl JwtSigner for HmacSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for HmacSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}
