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
        let accepted = crypto::verify(&text, message, key, algorithm);
        match result {
            TestResult::Valid => self.valid += 1,
            TestResult::Invalid => self.invalid += 1,
            // Either is sound.
            TestResult::Acceptable => return,
        }
        let expected = result == TestResult::Valid;
        assert_eq!(accepted, expected, "{algorithm:?}, vector {number}");
    }

    fn more_than(&self, valid: usize, invalid: usize) {
        let enough = self.valid > valid && self.invalid > invalid;
        assert!(enough, "{} {}", self.valid, self.invalid);
    }
}

/// Has all vectors of a set judged; sets of different kinds have fields of the same names.
macro_rules! judge {
    ($judged:ident, $set:ident::$name:ident, $algorithm:ident, $from_pem:ident) => {
        let set = $set::TestSet::load($set::TestName::$name).unwrap();
        for group in set.test_groups {
            let key = DecodingKey::$from_pem(group.pem.as_bytes()).unwrap();
            for test in &group.tests {
                let vector = (test.tc_id, test.result);
                let signed = (&test.msg[..], &test.sig[..]);
                $judged.look(Algorithm::$algorithm, &key, signed, vector);
            }
        }
    };
}

#[test]
fn elliptic_curves() {
    let mut judged = Judged::default();
    judge!(judged, ecdsa::EcdsaSecp256r1Sha256P1363, ES256, from_ec_pem);
    judge!(judged, ecdsa::EcdsaSecp384r1Sha384P1363, ES384, from_ec_pem);
    judge!(judged, eddsa::Ed25519, EdDSA, from_ed_pem);
    judged.more_than(300, 200);
}

#[test]
fn rsa() {
    let mut judged = Judged::default();
    judge!(judged, rsa_pkcs1_verify::Rsa2048Sha256, RS256, from_rsa_pem);
    judge!(judged, rsa_pkcs1_verify::Rsa2048Sha384, RS384, from_rsa_pem);
    judge!(judged, rsa_pkcs1_verify::Rsa2048Sha512, RS512, from_rsa_pem);
    judge!(judged, rsa_pkcs1_verify::Rsa4096Sha256, RS256, from_rsa_pem);
    judge!(
        judged,
        rsa_pss_verify::RsaPss2048Sha256Mgf1SaltLen32,
        PS256,
        from_rsa_pem
    );
    judge!(
        judged,
        rsa_pss_verify::RsaPss3072Sha256Mgf1SaltLen32,
        PS256,
        from_rsa_pem
    );
    judged.more_than(100, 500);
}

#[test]
fn shared_secrets() {
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
    judged.more_than(90, 200);
}
