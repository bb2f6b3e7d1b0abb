//! Instructions per decision, at 10, 1,000 and 100,000 routes.
#![allow(
    missing_docs,
    unused_qualifications,
    reason = "the macro's items are its own"
)]

#[path = "support/world.rs"]
mod world;

use gungraun::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use world::World;

/// A world that has decided once: the first search of a process asks the CPU what it can do.
fn warm(routes: usize) -> World {
    let world = World::new(routes);
    black_box(world.decide());
    world
}

#[library_benchmark]
#[bench::routes_10(warm(10))]
#[bench::routes_1000(warm(1_000))]
#[bench::routes_100000(warm(100_000))]
fn decide(world: World) -> World {
    black_box(world.decide());
    world
}

library_benchmark_group!(name = decisions; benchmarks = decide);
main!(library_benchmark_groups = decisions);
