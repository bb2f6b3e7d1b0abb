//! Colors that a key of a provider has signed: a token of a type of its own, with the issuer, the
//! color, and when it expires. It opens nothing but its color, and no token of another type does.

use super::claims;
use super::keys::{algorithm, name_of};
use super::provider::{Provider, Verified, signed_by_any};
use super::token::{Parts, decoded};
use crate::config::jwt::{Jwt, KeyPlace, Keys, KeysAtHand};
use crate::routing::claims::Claims;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use ring::{hmac, rsa};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The `typ` of its header.
const TYPE: &str = "tyrian-color+jwt";
/// Longest token, in bytes.
const COLOR_MAX: usize = 2048;

impl Parts<'_> {
    /// Whether the token brings a color, and says nothing of who has it.
    pub(super) fn is_color(&self) -> bool {
        let typ = self.header.typ.as_deref();
        typ.is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE))
    }
}

impl Provider {
    /// The color of a token and when it expires, if a key of this provider has signed it. Waits for
    /// nothing: keys that are not known yet are asked for, and count from when they are there.
    pub fn color(&self, token: &str, now: u64) -> Option<(String, u64)> {
        if token.len() > COLOR_MAX {
            return None;
        }
        let parts = Parts::of(token).ok().filter(Parts::is_color)?;
        let generation = self.state.generation.load(Relaxed);
        let known = match self.is_stale(now) {
            true => None,
            false => self.colors.get(token, generation, now),
        };
        let verified = match known {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.examine_color(&parts, now)?);
                self.colors.put(token, verified.clone(), generation, now);
                verified
            }
        };
        if self.revoked.load().lists(&verified) {
            return None;
        }
        let color = verified.claims.get("color")?.as_str()?;
        (now < verified.expires).then(|| (color.to_owned(), verified.expires))
    }

    fn examine_color(&self, parts: &Parts, now: u64) -> Option<Verified> {
        let algorithm = Algorithm::from_str(&parts.header.alg).ok()?;
        if !self.algorithms.contains(&algorithm) {
            return None;
        }
        let id = parts.header.kid.as_deref();
        let keys = self.keys(now).filter(|keys| keys.knows(id, algorithm));
        let Some(keys) = keys else {
            self.want_keys(now);
            return None;
        };
        signed_by_any(parts, &keys, algorithm).then_some(())?;
        let claims: Claims = decoded(parts.payload).ok()?;
        let expires = claims::check_color(&claims, &self.config, now).ok()?;
        Some(Verified {
            claims,
            forward: Vec::new(),
            logged: Vec::new(),
            expires,
        })
    }
}

/// Makes a token that brings a color, with the private key of a provider in PEM, or its shared
/// secret. `id` is the key's, where there are several.
///
/// # Errors
/// When the key is none that the provider's algorithms could use.
pub fn sign(
    config: &Jwt,
    pem: Option<&[u8]>,
    id: Option<&str>,
    color: &str,
    expires: u64,
) -> Result<String, String> {
    let shared = match &config.keys {
        Keys::AtHand(KeysAtHand {
            place: KeyPlace::Hmac(secret),
            ..
        }) => Some(secret),
        _ => None,
    };
    let key = match (shared, pem) {
        (Some(secret), _) => {
            let secret = secret.text().ok_or("the provider's secret is not there")?;
            Key::Secret(secret)
        }
        (_, Some(pem)) => {
            let der = PrivateKeyDer::from_pem_slice(pem);
            Key::Private(der.map_err(|_| "no private key in PEM")?)
        }
        (_, None) => return Err("its private key is needed: --private-key FILE".to_owned()),
    };
    let payload = json!({ "iss": config.issuer, "color": color, "exp": expires });
    let mut algorithms = config.algorithms.iter().map(|known| algorithm(*known));
    let token = algorithms.find_map(|algorithm| {
        let mut header = json!({ "alg": name_of(algorithm), "typ": TYPE });
        if let (Some(id), Some(header)) = (id, header.as_object_mut()) {
            header.insert("kid".to_owned(), id.into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&payload));
        let signature = key.sign(algorithm, message.as_bytes())?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    });
    let wrong =
        "the key fits none of the provider's algorithms (a P-256 or P-384 key must be PKCS #8)";
    let token = token.ok_or_else(|| wrong.to_owned())?;
    match token.len() <= COLOR_MAX {
        true => Ok(token),
        false => Err(format!("the token would be longer than {COLOR_MAX} bytes")),
    }
}

enum Key {
    Secret(String),
    Private(PrivateKeyDer<'static>),
}

impl Key {
    /// `None`: the algorithm is for keys of another kind.
    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let der = match self {
            Self::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::HS256 => hmac::HMAC_SHA256,
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    Algorithm::HS512 => hmac::HMAC_SHA512,
                    _ => return None,
                };
                let key = hmac::Key::new(hash, secret.as_bytes());
                return Some(hmac::sign(&key, message).as_ref().to_vec());
            }
            Self::Private(der) => der.secret_der(),
        };
        let random = SystemRandom::new();
        let by_curve = |curve| {
            let key = EcdsaKeyPair::from_pkcs8(curve, der, &random).ok()?;
            Some(key.sign(&random, message).ok()?.as_ref().to_vec())
        };
        let by_rsa = |padding: &'static dyn signature::RsaEncoding| {
            let key: RsaKeyPair = rsa::KeyPair::from_pkcs8(der)
                .or_else(|_| rsa::KeyPair::from_der(der))
                .ok()?;
            let mut signed = vec![0; key.public().modulus_len()];
            key.sign(padding, &random, message, &mut signed).ok()?;
            Some(signed)
        };
        match algorithm {
            Algorithm::ES256 => by_curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => by_curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
                Some(key.sign(message).as_ref().to_vec())
            }
            Algorithm::RS256 => by_rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => by_rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => by_rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => by_rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => by_rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => by_rsa(&signature::RSA_PSS_SHA512),
            _ => None,
        }
    }
}
