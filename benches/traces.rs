//! Instructions that a request costs for tracing when nobody traces it.
#![allow(
    missing_docs,
    unused_qualifications,
    clippy::unwrap_used,
    reason = "the macro's items are its own; a bench that cannot begin says so"
)]

#[path = "support/traced.rs"]
mod traced;

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::HeaderMap;
use std::hint::black_box;
use traced::{Traced, arriving};

/// One that has written on its first sheet already.
fn warm(headers: HeaderMap) -> Traced {
    let mut traced = Traced::new(headers);
    black_box(traced.request());
    traced
}

#[library_benchmark]
#[bench::without_context(warm(HeaderMap::new()))]
#[bench::unsampled_context(warm(arriving("00")))]
#[bench::sampled_by_a_stranger(warm(arriving("01")))]
fn unsampled(mut traced: Traced) -> Traced {
    black_box(traced.request());
    traced
}

library_benchmark_group!(name = traces; benchmarks = unsampled);
main!(library_benchmark_groups = traces);
