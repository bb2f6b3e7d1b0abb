//! Instructions of policy code for one request of the whole job, with a token that is known already
//! (under 6,000), and of its parts; then those of a token that is not known yet, beside the crypto
//! library's verification of the same signature.
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::default_trait_access,
    reason = "the macro's items are its own; a bench that cannot begin says so"
)]

#[path = "support/policed.rs"]
mod policed;

use futures::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group, main};
use policed::{Issuer, Policed};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use std::hint::black_box;
use std::time::Instant;

/// One that has had a few requests, so that nothing is done for the first time. In a box, so that
/// moving it is not counted.
fn warm() -> (Box<Policed>, Instant) {
    let mut policed = Box::new(Policed::new());
    let now = Instant::now();
    for _ in 0..3 {
        policed.request(now);
    }
    (policed, now)
}

#[library_benchmark]
#[bench::known_token(warm())]
fn request((mut policed, now): (Box<Policed>, Instant)) -> Box<Policed> {
    policed.request(now);
    policed
}

#[library_benchmark]
#[bench::known(warm())]
fn token((policed, _): (Box<Policed>, Instant)) -> Box<Policed> {
    black_box(policed.token());
    policed
}

#[library_benchmark]
#[bench::by_claim(warm())]
fn limit((policed, _): (Box<Policed>, Instant)) -> Box<Policed> {
    // Its claims are at hand on the road.
    let verified = &*policed.verified;
    black_box(policed.limit(verified));
    policed
}

#[library_benchmark]
#[bench::of_route_and_service(warm())]
fn places((policed, _): (Box<Policed>, Instant)) -> Box<Policed> {
    black_box(policed.places());
    policed
}

#[library_benchmark]
#[bench::closed(warm())]
fn breaker((policed, now): (Box<Policed>, Instant)) -> Box<Policed> {
    policed.breaker(now);
    policed
}

/// A gateway that has verified, and another token.
fn unknown() -> (Box<Policed>, String) {
    let (policed, _) = warm();
    let token = policed.issuer.compact("second");
    (policed, token)
}

#[library_benchmark]
#[bench::unknown_token(unknown())]
fn rs256((policed, token): (Box<Policed>, String)) -> Box<Policed> {
    let verified = policed.provider().verify(&token).now_or_never();
    black_box(verified.unwrap().unwrap());
    policed
}

/// The same, for the crypto library alone, which has verified one before.
fn signed() -> (Issuer, String, Vec<u8>) {
    let (policed, _) = warm();
    let (message, signature) = policed.issuer.token("second");
    (Issuer::new(), message, signature)
}

#[library_benchmark]
#[bench::ring_alone(signed())]
fn rs256_by((issuer, message, signature): (Issuer, String, Vec<u8>)) -> Issuer {
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, issuer.public());
    key.verify(message.as_bytes(), &signature).unwrap();
    issuer
}

library_benchmark_group!(
    name = policies;
    benchmarks = request, token, limit, places, breaker, rs256, rs256_by
);
main!(library_benchmark_groups = policies);
