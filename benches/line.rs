//! Instructions per line of the access log, in its usual form.
#![allow(
    missing_docs,
    unused_qualifications,
    reason = "the macro's items are its own"
)]

use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use std::hint::black_box;
use std::time::Duration;
use tyrian::config::access_log::AccessLog;
use tyrian::telemetry::exchange::Exchange;
use tyrian::telemetry::lines::Lines;

/// What the log knows of a request that was served, and room for its line.
struct Served {
    lines: Lines,
    exchange: Exchange<'static>,
    line: Vec<u8>,
}

impl Served {
    /// One whose line has been written once, so that nothing is done for the first time.
    fn new() -> Self {
        let mut served = Self {
            lines: Lines::new(&AccessLog::default()),
            exchange: Exchange {
                method: "GET",
                host: "shop.example.com",
                path: "/api/v1/users/42/profile",
                protocol: "HTTP/1.1",
                scheme: "http",
                listener: "web",
                generation: 7,
                route: "users",
                service: "app",
                version: "v2",
                endpoint: "10.1.2.3:8080",
                tries: 1,
                color_requested: "canary",
                color_served: "canary",
                request_id: "01a20055-a87f-73bb-afdc-9c4bc1809c06",
                trace_id: "f1b8dbdb9df39af8eb695cc858f4bcfd",
                bytes_out: 64,
                duration: Duration::from_micros(1_047),
                upstream: Duration::from_micros(951),
                inputs: br#"{"headers":{"x-group":"beta"}}"#,
                ..Exchange::new([192, 0, 2, 17].into(), 200)
            },
            line: Vec::new(),
        };
        served.lines.write(&mut served.line, &served.exchange);
        served
    }
}

/// What is counted, and nothing that prepares it.
#[inline(never)]
fn counted(served: &mut Served) {
    served.line.clear();
    served.lines.write(&mut served.line, &served.exchange);
}

#[library_benchmark]
#[bench::json(Served::new())]
fn line(mut served: Served) -> Served {
    counted(&mut served);
    black_box(served)
}

library_benchmark_group!(name = lines; benchmarks = line);
main!(
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().entry_point(EntryPoint::Custom("line::counted".to_owned())));
    library_benchmark_groups = lines
);
