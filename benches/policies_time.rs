//! Time to verify a token that is not known yet, beside the crypto library's verification of the same
//! signature: no more than a tenth slower.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::default_trait_access,
    dead_code,
    reason = "the macro's items are its own; a bench that cannot begin says so"
)]

#[path = "support/policed.rs"]
mod policed;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures::FutureExt;
use policed::Policed;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use std::hint::black_box;
use std::sync::Arc;
use tyrian::policy::held::Held;
use tyrian::policy::jwt::{Materials, Provider};

fn rs256(criterion: &mut Criterion) {
    let policed = Policed::new();
    let (message, signature) = policed.issuer.token("second");
    let token = policed.issuer.compact("second");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, policed.issuer.public());
    let mut group = criterion.benchmark_group("rs256");
    group.bench_function("ring_alone", |bench| {
        bench.iter(|| black_box(key.verify(black_box(message.as_bytes()), &signature)));
    });
    let provider = policed.provider();
    // New keys: what the old ones have verified is not believed any more.
    let forget = || {
        let keys = Materials {
            keys: Some(Held::Read(Arc::new(policed.issuer.keys()))),
            revoked: Default::default(),
        };
        let config = &provider.config;
        drop(Provider::build(
            &provider.name,
            config,
            keys,
            Some(provider),
            None,
        ));
    };
    group.bench_function("unknown_token", |bench| {
        let verify = |()| provider.verify(&token).now_or_never().unwrap().unwrap();
        bench.iter_batched(forget, verify, BatchSize::PerIteration);
    });
    group.bench_function("known_token", |bench| {
        bench.iter(|| provider.verify(&token).now_or_never().unwrap().unwrap());
    });
    group.finish();
}

criterion_group!(benches, rs256);
criterion_main!(benches);
