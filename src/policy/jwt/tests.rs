//! The attacks that token libraries and gateways have fallen for, one per row, and the checks that
//! every token goes through.

use super::keys::KeySet;
use super::provider::{Materials, Provider};
use super::revoked::Revoked;
use crate::config::load_text;
use crate::policy::held::Held;
use crate::reason::Reason;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};
use serde_json::{Value, json};
use std::sync::Arc;

mod keys;

const RSA: &[u8] = include_bytes!("../../../tests/fixtures/rsa-2048.pk8");
const RSA_PUBLIC_PEM: &str = include_str!("../../../tests/fixtures/rsa-2048.pub.pem");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(RSA).unwrap()
}

pub(super) struct Keys {
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Keys {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            p256: EcdsaKeyPair::from_pkcs8(algorithm, p256.as_ref(), &random).unwrap(),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        // RSAPublicKey in DER: nine bytes of headers, the modulus, the exponent in three bytes.
        let rsa = rsa().public().as_ref().to_vec();
        let (n, e) = (&rsa[9..265], &rsa[267..]);
        let point = self.p256.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": encode(n), "e": encode(e) },
            { "kty": "EC", "kid": "e1", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "OKP", "kid": "d1", "crv": "Ed25519", "x": encode(self.ed25519.public_key()) },
            { "kty": "oct", "kid": "s1", "k": encode(SECRET) },
            { "kty": "future", "kid": "x1" },
        ] })
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match header["alg"].as_str().unwrap_or("") {
            alg @ ("RS256" | "PS256") => {
                let padding: &dyn signature::RsaEncoding = if alg == "RS256" {
                    &RSA_PKCS1_SHA256
                } else {
                    &RSA_PSS_SHA256
                };
                let mut signature = vec![0; rsa().public().modulus_len()];
                rsa()
                    .sign(padding, &random, message.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            "ES256" => self
                .p256
                .sign(&random, message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            "EdDSA" => self.ed25519.sign(message.as_bytes()).as_ref().to_vec(),
            "HS256" => by_secret(SECRET.as_bytes(), &message),
            _ => Vec::new(),
        };
        format!("{message}.{}", encode(signature))
    }
}

fn by_secret(secret: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

pub(super) fn now() -> u64 {
    crate::policy::held::now()
}

pub(super) fn claims() -> Value {
    json!({
        "iss": "https://id.example.com/", "aud": ["shop", "other"], "sub": "alice",
        "iat": now() - 10, "exp": now() + 600, "scope": "shop:read shop:write",
    })
}

pub(super) fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

pub(super) fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(super) fn provider(keys: &Keys, more: &str) -> Arc<Provider> {
    let text = format!(
        "[jwt.users]\nissuer = \"https://id.example.com/\"\naudience = [\"shop\"]\n\
         algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\nkeys = {{ jwks_file = \"unused\" }}\n\
         require = {{ scope = [\"shop:read\"] }}\nforward = {{ sub = \"x-user-id\" }}\n{more}"
    );
    build(
        &text,
        KeySet::from_jwks(keys.jwks().to_string().as_bytes()).unwrap(),
    )
}

fn build(text: &str, keys: KeySet) -> Arc<Provider> {
    let loaded = load_text("test.toml", text, &|_| None);
    let config = loaded
        .config
        .as_ref()
        .unwrap_or_else(|| panic!("{}", loaded.render_human(false)));
    let materials = Materials {
        keys: Some(Held::Read(Arc::new(keys))),
        revoked: Arc::new(Revoked::default()),
    };
    Provider::build(&"users".into(), &config.jwt["users"], materials, None, None)
}

async fn verdict(provider: &Provider, token: &str) -> Result<(), Reason> {
    let verified = provider.verify(token).await.map(drop);
    verified.map_err(|fault| fault.reason)
}

#[tokio::test]
async fn good_tokens_of_every_kind_are_believed_and_remembered() {
    let keys = Keys::new();
    let provider = provider(&keys, "");
    for (alg, kid) in [("RS256", "r1"), ("ES256", "e1"), ("EdDSA", "d1")] {
        let token = keys.sign(&json!({ "alg": alg, "kid": kid, "typ": "JWT" }), &claims());
        for _ in 0..2 {
            let verified = provider.verify(&token).await.unwrap();
            assert_eq!(verified.forward[0].1, "alice");
        }
        let unnamed = keys.sign(&json!({ "alg": alg }), &claims());
        assert_eq!(
            verdict(&provider, &unnamed).await,
            Ok(()),
            "{alg}: the only key that fits"
        );
    }
    let counted: std::collections::BTreeMap<_, _> = provider.results.iter().collect();
    assert_eq!((counted["verified"], counted["cached"]), (6, 3));
}

#[tokio::test]
async fn no_attack_on_the_header_or_signature_passes() {
    let keys = Keys::new();
    let provider = provider(&keys, "");
    let sign = |header: Value| keys.sign(&header, &claims());
    let good = sign(json!({ "alg": "RS256", "kid": "r1" }));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    let forged = |header: Value, secret: &[u8]| {
        let message = format!("{}.{payload}", encode(header.to_string()));
        let signature = by_secret(secret, &message);
        format!("{message}.{}", encode(signature))
    };
    let es256 = sign(json!({ "alg": "ES256", "kid": "e1" }));
    let es_message = es256.rsplit_once('.').unwrap().0;
    let other = Keys::new();
    let own_key = other.jwks()["keys"][1].clone();
    let rows = [
        ("none", sign(json!({ "alg": "none" })), Reason::JwtAlgorithm),
        ("none, oddly spelt", sign(json!({ "alg": "nOnE" })), Reason::JwtAlgorithm),
        ("none, with a signature", format!("{}.{payload}.{signature}", encode(r#"{"alg":"none"}"#)), Reason::JwtAlgorithm),
        ("an algorithm in lower case", sign(json!({ "alg": "rs256", "kid": "r1" })), Reason::JwtAlgorithm),
        ("no algorithm", format!("{}.{payload}.{signature}", encode("{}")), Reason::JwtMalformed),
        ("an algorithm that is a number", format!("{}.{payload}.{signature}", encode(r#"{"alg":256}"#)), Reason::JwtMalformed),
        ("HS256 with the public key in PEM", forged(json!({ "alg": "HS256", "kid": "r1" }), RSA_PUBLIC_PEM.as_bytes()), Reason::JwtAlgorithm),
        ("HS256 with a secret from the key set", forged(json!({ "alg": "HS256", "kid": "s1" }), SECRET.as_bytes()), Reason::JwtAlgorithm),
        ("an algorithm that is not named", sign(json!({ "alg": "PS256", "kid": "r1" })), Reason::JwtAlgorithm),
        ("an empty signature", format!("{message}."), Reason::JwtBadSignature),
        ("no signature part", message.to_owned(), Reason::JwtMalformed),
        ("four parts", format!("{good}.x"), Reason::JwtMalformed),
        ("a psychic signature of zeros", format!("{es_message}.{}", encode([0; 64])), Reason::JwtBadSignature),
        ("a DER signature", format!("{es_message}.{}", encode([0x30; 70])), Reason::JwtBadSignature),
        ("a signature of another message", format!("{message}x.{signature}"), Reason::JwtBadSignature),
        ("a signature that is not base64url", format!("{message}.{signature}="), Reason::JwtBadSignature),
        ("its own key", other.sign(&json!({ "alg": "ES256", "jwk": own_key }), &claims()), Reason::JwtBadSignature),
        ("its own key, by id", other.sign(&json!({ "alg": "ES256", "kid": "mine", "jwk": own_key }), &claims()), Reason::JwtUnknownKey),
        ("a key by URL", other.sign(&json!({ "alg": "ES256", "kid": "e1", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/" }), &claims()), Reason::JwtBadSignature),
        ("an extension it must be understood with", sign(json!({ "alg": "RS256", "kid": "r1", "crit": ["exp"] })), Reason::JwtMalformed),
        ("an empty list of extensions", sign(json!({ "alg": "RS256", "kid": "r1", "crit": [] })), Reason::JwtMalformed),
        ("extensions that are null", sign(json!({ "alg": "RS256", "kid": "r1", "crit": null })), Reason::JwtMalformed),
        ("a key id that climbs", sign(json!({ "alg": "RS256", "kid": "../../../dev/null" })), Reason::JwtUnknownKey),
        ("a key id that injects", sign(json!({ "alg": "RS256", "kid": "r1' OR '1'='1" })), Reason::JwtUnknownKey),
        ("a key id that is a number", sign(json!({ "alg": "RS256", "kid": 1 })), Reason::JwtMalformed),
        ("a key of another kind", sign(json!({ "alg": "RS256", "kid": "e1" })), Reason::JwtUnknownKey),
        ("the secret of the key set", sign(json!({ "alg": "RS256", "kid": "s1" })), Reason::JwtUnknownKey),
        ("a header that is a list", format!("{}.{payload}.{signature}", encode("[]")), Reason::JwtMalformed),
        ("nothing", String::new(), Reason::JwtMalformed),
        ("dots", "..".to_owned(), Reason::JwtMalformed),
        ("more than a token may have", "a".repeat(super::TOKEN_MAX + 1), Reason::JwtMalformed),
    ];
    for (what, token, reason) in rows {
        assert_eq!(verdict(&provider, &token).await, Err(reason), "{what}");
    }
}

#[expect(clippy::too_many_lines, reason = "one row per claim")]
#[tokio::test]
async fn every_claim_is_checked() {
    let keys = Keys::new();
    let provider = provider(&keys, "max_lifetime = \"1h\"\n");
    let rows = [
        ("good", claims(), Ok(())),
        (
            "expired",
            with(claims(), "exp", json!(now() - 31)),
            Err(Reason::JwtExpired),
        ),
        (
            "expired within the leeway",
            with(claims(), "exp", json!(now() - 20)),
            Ok(()),
        ),
        (
            "no expiry",
            without(claims(), "exp"),
            Err(Reason::JwtBadClaims),
        ),
        (
            "expiry as text",
            with(claims(), "exp", json!((now() + 600).to_string())),
            Err(Reason::JwtBadClaims),
        ),
        (
            "expiry below zero",
            with(claims(), "exp", json!(-1)),
            Err(Reason::JwtBadClaims),
        ),
        (
            "expiry beyond numbers",
            with(claims(), "exp", json!(1e300)),
            Err(Reason::JwtBadClaims),
        ),
        (
            "expiry as a list",
            with(claims(), "exp", json!([now() + 600])),
            Err(Reason::JwtBadClaims),
        ),
        (
            "expiry with a fraction",
            with(claims(), "exp", json!(now() as f64 + 600.5)),
            Ok(()),
        ),
        (
            "not valid yet",
            with(claims(), "nbf", json!(now() + 60)),
            Err(Reason::JwtNotYetValid),
        ),
        (
            "issued in the future",
            with(claims(), "iat", json!(now() + 60)),
            Err(Reason::JwtNotYetValid),
        ),
        (
            "lives too long",
            with(claims(), "exp", json!(now() + 7200)),
            Err(Reason::JwtBadClaims),
        ),
        (
            "of another issuer",
            with(claims(), "iss", json!("https://evil.example.com/")),
            Err(Reason::JwtBadClaims),
        ),
        (
            "of a similar issuer",
            with(claims(), "iss", json!("https://id.example.com")),
            Err(Reason::JwtBadClaims),
        ),
        (
            "of several issuers",
            with(claims(), "iss", json!(["https://id.example.com/"])),
            Err(Reason::JwtBadClaims),
        ),
        (
            "of no issuer",
            without(claims(), "iss"),
            Err(Reason::JwtBadClaims),
        ),
        (
            "for somebody else",
            with(claims(), "aud", json!(["other"])),
            Err(Reason::JwtBadClaims),
        ),
        ("for one", with(claims(), "aud", json!("shop")), Ok(())),
        (
            "for nobody",
            without(claims(), "aud"),
            Err(Reason::JwtBadClaims),
        ),
        (
            "for an object",
            with(claims(), "aud", json!({ "shop": 1 })),
            Err(Reason::JwtBadClaims),
        ),
        (
            "too little scope",
            with(claims(), "scope", json!("shop:readall")),
            Err(Reason::JwtScope),
        ),
        (
            "no scope",
            without(claims(), "scope"),
            Err(Reason::JwtScope),
        ),
        (
            "scope as a list",
            with(claims(), "scope", json!(["shop:read"])),
            Ok(()),
        ),
    ];
    for (what, claims, expected) in rows {
        let token = keys.sign(&json!({ "alg": "ES256", "kid": "e1" }), &claims);
        assert_eq!(verdict(&provider, &token).await, expected, "{what}");
    }
    let list = keys.sign(&json!({ "alg": "ES256", "kid": "e1" }), &json!([1]));
    assert_eq!(verdict(&provider, &list).await, Err(Reason::JwtMalformed));
}

#[tokio::test]
async fn a_changed_key_set_forgets_what_the_old_one_verified() {
    let keys = Keys::new();
    let provider = provider(&keys, "");
    let token = keys.sign(&json!({ "alg": "ES256", "kid": "e1" }), &claims());
    assert_eq!(verdict(&provider, &token).await, Ok(()));
    let other = Keys::new();
    provider.renew(KeySet::from_jwks(other.jwks().to_string().as_bytes()).unwrap());
    assert_eq!(
        verdict(&provider, &token).await,
        Err(Reason::JwtBadSignature)
    );
}
