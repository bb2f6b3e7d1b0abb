//! What requests allocate for tracing when nobody traces them, and for their line in the log: nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../benches/support/traced.rs"]
mod traced;

use http::HeaderMap;
use jiff::Timestamp;
use traced::{Traced, arriving};
use tyrian::config::access_log::AccessLog;
use tyrian::telemetry::exchange::Exchange;
use tyrian::telemetry::lines::Lines;

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

#[test]
fn a_line_of_the_log_allocates_nothing() {
    let lines = Lines::new(&AccessLog::default());
    let mut exchange = Exchange {
        method: "GET",
        host: "shop.example",
        path: "/cart/7",
        route: "cart",
        service: "shop",
        version: "v1",
        endpoint: "10.0.0.7:8080",
        tries: 1,
        request_id: "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9fa0b1",
        bytes_out: 4711,
        ..Exchange::new([192, 0, 2, 7].into(), 200)
    };
    let mut out = Vec::with_capacity(1024);
    let mut line = |time: i64| {
        exchange.time = Timestamp::from_nanosecond(i128::from(time)).unwrap();
        out.clear();
        lines.write(&mut out, &exchange);
    };
    line(1_000_000_001);
    // Within a second: its text is made once.
    let counted = allocation_counter::measure(|| (0..10_000).for_each(|n| line(1_000_000_002 + n)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
