//! The cryptography of tokens: ring, which the TLS stack brings anyway, so that the gateway holds one
//! implementation of each primitive. Asked by hand and not as a provider of `jsonwebtoken`, which
//! copies the key for each signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// Room for the longest signature, one of RSA with 8192 bits, and for what decoding rounds up to.
const SIGNATURE_MAX: usize = 8192 / 8 + 8;

/// Whether a signature in base64 is one of this message, by this key and algorithm.
pub fn verify(signature: &str, message: &[u8], key: &DecodingKey, algorithm: Algorithm) -> bool {
    let mut room = [0; SIGNATURE_MAX];
    let decoded = URL_SAFE_NO_PAD.decode_slice(signature, &mut room);
    let signature = decoded.ok().and_then(|length| room.get(..length));
    let Some(signature) = signature.filter(|_| key.family() == family_of(algorithm)) else {
        return false;
    };
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.as_slice(),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            let key = RsaPublicKeyComponents { n, e };
            let verified = rsa_of(algorithm).map(|rsa| key.verify(rsa, message, signature));
            return verified.is_some_and(|verified| verified.is_ok());
        }
    };
    if let Some(hmac) = hmac_of(algorithm) {
        return hmac::verify(&hmac::Key::new(hmac, bytes), message, signature).is_ok();
    }
    let rsa = rsa_of(algorithm).map(|rsa| -> &dyn VerificationAlgorithm { rsa });
    let public = rsa.or_else(|| curve_of(algorithm));
    public.is_some_and(|public| {
        let key = UnparsedPublicKey::new(public, bytes);
        key.verify(message, signature).is_ok()
    })
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

fn family_of(algorithm: Algorithm) -> AlgorithmFamily {
    match (hmac_of(algorithm), rsa_of(algorithm), algorithm) {
        (Some(_), _, _) => AlgorithmFamily::Hmac,
        (_, Some(_), _) => AlgorithmFamily::Rsa,
        (_, _, Algorithm::EdDSA) => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Ec,
    }
}
