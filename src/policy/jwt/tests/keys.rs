//! Which keys are taken, for which algorithms, and which of them a token is held against.

use super::super::keys::TRIED_MAX;
use super::super::provider::{Materials, Provider};
use super::now;
use super::{
    KeySet, Keys, RSA_PUBLIC_PEM, Reason, SECRET, build, by_secret, claims, encode, provider,
    verdict, with,
};
use crate::config::jwt::Algorithm;
use crate::config::load_text;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn a_shared_secret_verifies_what_it_signed() {
    let text = "[jwt.users]\nissuer = \"https://id.example.com/\"\nalgorithms = [\"HS256\"]\n\
                keys = { hmac = { env = \"X\" } }\n";
    let hs256 = [Algorithm::Hs256];
    let provider = build(text, KeySet::from_secret(SECRET, &hs256).unwrap());
    let keys = Keys::new();
    let token = keys.sign(&json!({ "alg": "HS256" }), &claims());
    assert_eq!(verdict(&provider, &token).await, Ok(()));
    let message = token.rsplit_once('.').unwrap().0;
    let forged = format!("{message}.{}", encode(by_secret(b"another", message)));
    assert_eq!(
        verdict(&provider, &forged).await,
        Err(Reason::JwtBadSignature)
    );
}

#[test]
fn a_secret_is_as_long_as_the_hash_of_each_algorithm_and_no_public_key() {
    let refused = |secret: &str, algorithms: &[Algorithm]| {
        let keys = KeySet::from_secret(secret, algorithms);
        keys.err().map(|error| error.to_string())
    };
    let long = SECRET.repeat(2);
    assert_eq!(refused(SECRET, &[Algorithm::Hs256]), None);
    assert_eq!(refused(&long[..48], &[Algorithm::Hs384]), None);
    assert_eq!(refused(&long, &[Algorithm::Hs256, Algorithm::Hs512]), None);
    for (secret, algorithms, why) in [
        (
            &SECRET[..31],
            &[Algorithm::Hs256][..],
            "31 bytes, and HS256 needs 32",
        ),
        (
            &long[..47],
            &[Algorithm::Hs384],
            "47 bytes, and HS384 needs 48",
        ),
        (
            &long[..48],
            &[Algorithm::Hs256, Algorithm::Hs512],
            "48 bytes, and HS512 needs 64",
        ),
        (RSA_PUBLIC_PEM, &[Algorithm::Hs256], "is a key in PEM"),
    ] {
        let told = refused(secret, algorithms).unwrap();
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn a_public_key_in_pem_verifies() {
    let text = "[jwt.users]\nissuer = \"https://id.example.com/\"\n\
                algorithms = [\"RS256\", \"PS256\"]\nkeys = { pem = \"unused\" }\n";
    let path = std::path::Path::new("tests/fixtures/rsa-2048.pub.pem");
    let algorithms = [Algorithm::Rs256, Algorithm::Ps256];
    let provider = build(text, KeySet::from_pem(path, &algorithms).unwrap());
    let keys = Keys::new();
    for alg in ["RS256", "PS256"] {
        let token = keys.sign(&json!({ "alg": alg, "kid": "whatever" }), &claims());
        assert_eq!(verdict(&provider, &token).await, Ok(()), "{alg}");
    }
}

#[test]
fn a_key_in_pem_must_be_one_that_each_algorithm_can_use() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let public = write("p256.pem", &p256.public_key_pem());
    let private = write("private.pem", &p256.serialize_pem());
    let short = write("short.pem", RSA_1024_PEM);
    let rsa = std::path::Path::new("tests/fixtures/rsa-2048.pub.pem");
    let refused = |path: &std::path::Path, algorithms: &[Algorithm]| {
        let keys = KeySet::from_pem(path, algorithms);
        keys.err().map(|error| error.to_string())
    };
    assert_eq!(refused(&public, &[Algorithm::Es256]), None);
    for (path, algorithms, why) in [
        (
            &*public,
            &[Algorithm::Es384][..],
            "a P-256 key, and ES384 needs a P-384 key",
        ),
        (
            rsa,
            &[Algorithm::Es256],
            "an RSA key, and ES256 needs a P-256 key",
        ),
        (
            rsa,
            &[Algorithm::Rs256, Algorithm::Es256],
            "and ES256 needs",
        ),
        (&private, &[Algorithm::Es256], "a private key"),
        (&short, &[Algorithm::Rs256], "an RSA key of 1024 bits"),
    ] {
        let told = refused(path, algorithms).unwrap();
        assert!(told.contains(why), "{told}");
    }
}

/// Too short to be safe.
const RSA_1024_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC1E9s5CuNlKzyIPhpVOlEeV3XM
uUAkqRUDELLUDAk+OtixZDeAD0HHAs/48Z2txPFb0ivzVcjWt0+dAa5Jg3g7mnC7
yM4mSBMegX9kESQ1kFRQu+yZdC4mvOxJ7uWzJUSwnmfmjLGR+odZymgiPPa3Ltlp
SCIFjITncJBCbohhVQIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn keys_that_are_too_weak_or_torn_are_no_keys_and_algorithms_without_one_are_told() {
    let mut document = Keys::new().jwks();
    document["keys"][0]["n"] = json!(encode([0xff; 128]));
    document["keys"][1]["y"] = json!(encode([1; 31]));
    let keys = KeySet::from_jwks(document.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    let all = [Algorithm::Rs256, Algorithm::EdDsa, Algorithm::Es256];
    assert_eq!(keys.uncovered(&all).as_deref(), Some("RS256, ES256"));
    assert_eq!(keys.uncovered(&[Algorithm::EdDsa]), None);
    // A key that says what it is for is for nothing else.
    let whole = KeySet::from_jwks(Keys::new().jwks().to_string().as_bytes()).unwrap();
    assert_eq!(
        whole.uncovered(&[Algorithm::Ps256]).as_deref(),
        Some("PS256")
    );
    assert_eq!(whole.uncovered(&all), None);
}

#[tokio::test]
async fn the_key_of_a_tokens_id_comes_before_one_without_an_id() {
    let (old, new) = (Keys::new(), Keys::new());
    let mut nameless = old.jwks()["keys"][1].clone();
    nameless.as_object_mut().unwrap().remove("kid");
    let document = json!({ "keys": [nameless, new.jwks()["keys"][1]] });
    let provider = provider(&old, "");
    provider.renew(KeySet::from_jwks(document.to_string().as_bytes()).unwrap());
    let by = |keys: &Keys, id: &str| keys.sign(&json!({ "alg": "ES256", "kid": id }), &claims());
    assert_eq!(verdict(&provider, &by(&new, "e1")).await, Ok(()));
    assert_eq!(verdict(&provider, &by(&old, "e0")).await, Ok(()));
}

/// A set of P-256 keys under these ids, in this order.
fn set(keys: &[(&Keys, Option<&str>)]) -> KeySet {
    let key =
        |(keys, id): &(&Keys, Option<&str>)| with(keys.jwks()["keys"][1].clone(), "kid", json!(id));
    let keys: Vec<_> = keys.iter().map(key).collect();
    KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_token_without_an_id_is_held_against_the_keys_that_fit_up_to_a_bound() {
    let all: Vec<Keys> = (0..=TRIED_MAX).map(|_| Keys::new()).collect();
    let ids: Vec<String> = (0..=TRIED_MAX).map(|index| format!("k{index}")).collect();
    let named: Vec<_> = all
        .iter()
        .zip(&ids)
        .map(|(keys, id)| (keys, Some(id.as_str())))
        .collect();
    let nameless: Vec<_> = all.iter().map(|keys| (keys, None)).collect();
    let provider = provider(&all[0], "");
    let by = |keys: &Keys, header| keys.sign(&header, &claims());
    for (set_of, header) in [
        (&named, json!({ "alg": "ES256" })),
        // A token may name a key of a set that has no names.
        (&nameless, json!({ "alg": "ES256", "kid": "any" })),
    ] {
        provider.renew(set(set_of));
        for keys in &all[..TRIED_MAX] {
            assert_eq!(verdict(&provider, &by(keys, header.clone())).await, Ok(()));
        }
        let beyond = by(&all[TRIED_MAX], header.clone());
        assert_eq!(
            verdict(&provider, &beyond).await,
            Err(Reason::JwtBadSignature)
        );
        let stranger = by(&Keys::new(), header);
        assert_eq!(
            verdict(&provider, &stranger).await,
            Err(Reason::JwtBadSignature)
        );
    }
    // An id leads to its key, however many stand before it, and to no other one.
    provider.renew(set(&named));
    let last = json!({ "alg": "ES256", "kid": ids[TRIED_MAX] });
    assert_eq!(
        verdict(&provider, &by(&all[TRIED_MAX], last.clone())).await,
        Ok(())
    );
    assert_eq!(
        verdict(&provider, &by(&all[0], last)).await,
        Err(Reason::JwtBadSignature)
    );
    let unknown = by(&all[0], json!({ "alg": "ES256", "kid": "other" }));
    assert_eq!(
        verdict(&provider, &unknown).await,
        Err(Reason::JwtUnknownKey)
    );
    // A key of another kind is never one of them.
    let eddsa = by(&all[0], json!({ "alg": "EdDSA" }));
    assert_eq!(verdict(&provider, &eddsa).await, Err(Reason::JwtUnknownKey));
}

#[tokio::test]
async fn fetched_keys_go_on_where_another_line_of_the_table_changes() {
    let (keys, alg) = (Keys::new(), json!({ "alg": "ES256" }));
    let table = |issuer: &str, url: &str, more: &str| {
        format!(
            "[jwt.users]\nissuer = \"https://{issuer}/\"\nalgorithms = [\"ES256\"]\n\
             keys = {{ jwks_url = \"http://127.0.0.1:1/{url}\" }}\n{more}"
        )
    };
    let build = |text: &str, previous: Option<&Arc<Provider>>| {
        let config = load_text("test.toml", text, &|_| None).config.unwrap();
        let materials = Materials {
            keys: None,
            revoked: Arc::default(),
        };
        Provider::build(
            &"users".into(),
            &config.jwt["users"],
            materials,
            previous,
            None,
        )
    };
    let first = build(&table("id.example.com", "a", ""), None);
    assert!(first.keys(now()).is_none());
    first.renew(set(&[(&keys, None)]));
    let changed = build(
        &table("id.example.com", "a", "leeway = \"1s\"\n"),
        Some(&first),
    );
    assert!(!Arc::ptr_eq(&first, &changed));
    assert_eq!(verdict(&changed, &keys.sign(&alg, &claims())).await, Ok(()));
    assert_eq!(changed.keys_age(), first.keys_age());
    // Those of another issuer or from another place are not believed.
    for text in [
        table("evil.example.com", "a", ""),
        table("id.example.com", "b", ""),
    ] {
        assert!(build(&text, Some(&first)).keys(now()).is_none(), "{text}");
    }
}

#[tokio::test]
async fn keys_that_share_an_id_are_all_tried() {
    let (one, two) = (Keys::new(), Keys::new());
    let provider = provider(&one, "");
    provider.renew(set(&[(&one, Some("k")), (&two, Some("k"))]));
    let header = json!({ "alg": "ES256", "kid": "k" });
    for keys in [&one, &two] {
        assert_eq!(
            verdict(&provider, &keys.sign(&header, &claims())).await,
            Ok(())
        );
    }
}

#[test]
fn only_usable_keys_are_taken_from_a_document() {
    assert_eq!(
        KeySet::from_jwks(Keys::new().jwks().to_string().as_bytes())
            .unwrap()
            .len(),
        3
    );
    for document in [
        "",
        "[]",
        "{}",
        r#"{"keys":null}"#,
        r#"{"keys":[{"kty":"RSA","#,
    ] {
        assert!(
            KeySet::from_jwks(document.as_bytes()).is_err(),
            "{document}"
        );
    }
    // A set without a usable key is sound: it takes away those that were there.
    for document in [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
        r#"{"keys":[{"kty":"RSA"}, 1]}"#,
    ] {
        let keys = KeySet::from_jwks(document.as_bytes()).unwrap();
        assert!(keys.is_empty(), "{document}");
    }
    let encryption =
        json!({ "keys": [with(Keys::new().jwks()["keys"][0].clone(), "use", json!("enc"))] });
    let none = KeySet::from_jwks(encryption.to_string().as_bytes());
    assert!(none.unwrap().is_empty());
}
