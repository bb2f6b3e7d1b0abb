//! What requests that nobody traces allocate for tracing: nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../benches/support/traced.rs"]
mod traced;

use http::HeaderMap;
use traced::{Traced, arriving};

#[test]
fn a_request_that_nobody_traces_allocates_nothing_for_it() {
    for headers in [HeaderMap::new(), arriving("00"), arriving("01")] {
        let mut traced = Traced::new(headers);
        // The first sheets of its thread.
        for _ in 0..1_000 {
            assert!(!traced.request());
        }
        let counted = allocation_counter::measure(|| {
            for _ in 0..10_000 {
                assert!(!traced.request());
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
