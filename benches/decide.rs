//! Instructions per decision, at 10, 1,000 and 100,000 routes.
#![allow(
    missing_docs,
    unused_qualifications,
    reason = "the macro's items are its own"
)]

#[path = "support/world.rs"]
mod world;

use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use std::hint::black_box;
use world::World;

/// A world that has decided once, so that nothing is done for the first time.
fn warm(world: World) -> World {
    black_box(world.decide());
    world
}

/// What is counted, and nothing that prepares it.
#[inline(never)]
fn counted(world: &World) {
    black_box(world.decide());
}

#[library_benchmark]
#[bench::routes_1000(warm(World::new(1_000).plain()))]
#[bench::routes_100000(warm(World::new(100_000).plain()))]
fn plain(world: World) -> World {
    counted(&world);
    world
}

// A route with a condition on a header, and a trusted client, which may carry its color itself.
#[library_benchmark]
#[bench::routes_10(warm(World::new(10)))]
#[bench::routes_1000(warm(World::new(1_000)))]
#[bench::routes_100000(warm(World::new(100_000)))]
fn colored(world: World) -> World {
    counted(&world);
    world
}

#[library_benchmark]
#[bench::routes_1000(warm(World::new(1_000).uncolored()))]
#[bench::routes_100000(warm(World::new(100_000).uncolored()))]
fn uncolored(world: World) -> World {
    counted(&world);
    world
}

// A color has a share, which a rollout moves; the request has another color.
#[library_benchmark]
#[bench::routes_1000(warm(World::with_share(1_000)))]
#[bench::routes_100000(warm(World::with_share(100_000)))]
fn colored_beside_a_share(world: World) -> World {
    counted(&world);
    world
}

// The request's user is not among those of the share.
#[library_benchmark]
#[bench::routes_1000(warm(World::with_share(1_000).uncolored()))]
#[bench::routes_100000(warm(World::with_share(100_000).uncolored()))]
fn outside_a_share(world: World) -> World {
    counted(&world);
    world
}

library_benchmark_group!(
    name = decisions;
    benchmarks = plain, colored, uncolored, colored_beside_a_share, outside_a_share
);
main!(
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().entry_point(EntryPoint::Custom("decide::counted".to_owned())));
    library_benchmark_groups = decisions
);
