//! Published signature vectors (Wycheproof) against the verification that tokens go through: what
//! is valid is accepted, and none of the forged, malformed or boundary signatures.

use super::crypto;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// How many vectors were looked at; each that is judged otherwise than published fails the test.
#[derive(Default)]
struct Judged {
    valid: usize,
    invalid: usize,
}

impl Judged {
    fn look(
        &mut self,
        algorithm: Algorithm,
        key: &DecodingKey,
        (message, signature): (&[u8], &[u8]),
        (number, result): (usize, TestResult),
    ) {
        let text = URL_SAFE_NO_PAD.encode(signature);
        let accepted = jsonwebtoken::crypto::verify(&text, message, key, algorithm);
        let accepted = accepted.unwrap_or(false);
        match result {
            TestResult::Valid => self.valid += 1,
            TestResult::Invalid => self.invalid += 1,
            // Either is sound.
            TestResult::Acceptable => return,
        }
        let expected = result == TestResult::Valid;
        assert_eq!(accepted, expected, "{algorithm:?}, vector {number}");
    }
}

#[test]
fn elliptic_curves() {
    crypto::install();
    let mut judged = Judged::default();
    for (name, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = DecodingKey::from_ec_pem(group.pem.as_bytes()).unwrap();
            for test in &group.tests {
                judged.look(
                    algorithm,
                    &key,
                    (&test.msg, &test.sig),
                    (test.tc_id, test.result),
                );
            }
        }
    }
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .unwrap()
        .test_groups
    {
        let key = DecodingKey::from_ed_pem(group.pem.as_bytes()).unwrap();
        for test in &group.tests {
            judged.look(
                Algorithm::EdDSA,
                &key,
                (&test.msg, &test.sig),
                (test.tc_id, test.result),
            );
        }
    }
    assert!(
        judged.valid > 300 && judged.invalid > 200,
        "{} {}",
        judged.valid,
        judged.invalid
    );
}

#[test]
fn rsa() {
    crypto::install();
    let mut judged = Judged::default();
    for (name, algorithm) in [
        (rsa_pkcs1_verify::TestName::Rsa2048Sha256, Algorithm::RS256),
        (rsa_pkcs1_verify::TestName::Rsa2048Sha384, Algorithm::RS384),
        (rsa_pkcs1_verify::TestName::Rsa2048Sha512, Algorithm::RS512),
        (rsa_pkcs1_verify::TestName::Rsa4096Sha256, Algorithm::RS256),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = DecodingKey::from_rsa_pem(group.pem.as_bytes()).unwrap();
            for test in &group.tests {
                judged.look(
                    algorithm,
                    &key,
                    (&test.msg, &test.sig),
                    (test.tc_id, test.result),
                );
            }
        }
    }
    for name in [
        rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32,
        rsa_pss_verify::TestName::RsaPss3072Sha256Mgf1SaltLen32,
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = DecodingKey::from_rsa_pem(group.pem.as_bytes()).unwrap();
            for test in &group.tests {
                let vector = (test.tc_id, test.result);
                judged.look(Algorithm::PS256, &key, (&test.msg, &test.sig), vector);
            }
        }
    }
    assert!(
        judged.valid > 100 && judged.invalid > 500,
        "{} {}",
        judged.valid,
        judged.invalid
    );
}

#[test]
fn shared_secrets() {
    crypto::install();
    let mut judged = Judged::default();
    for (name, algorithm, whole) in [
        (mac::TestName::HmacSha256, Algorithm::HS256, 256),
        (mac::TestName::HmacSha384, Algorithm::HS384, 384),
        (mac::TestName::HmacSha512, Algorithm::HS512, 512),
    ] {
        // Tokens carry whole tags; a shortened one is no signature here.
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let key = DecodingKey::from_secret(&test.key);
                let result = match test.result {
                    TestResult::Valid if group.tag_size < whole => TestResult::Invalid,
                    result => result,
                };
                judged.look(
                    algorithm,
                    &key,
                    (&test.msg, &test.tag),
                    (test.tc_id, result),
                );
            }
        }
    }
    assert!(
        judged.valid > 90 && judged.invalid > 200,
        "{} {}",
        judged.valid,
        judged.invalid
    );
}
