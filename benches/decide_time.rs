//! Time per decision, and time to make a generation of 10,000 routes.
#![allow(missing_docs, reason = "the macro's items are its own")]

#[path = "support/world.rs"]
mod world;

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use world::World;

fn decide(criterion: &mut Criterion) {
    for routes in [10, 1_000, 100_000] {
        let world = World::new(routes);
        criterion.bench_function(&format!("decide/{routes}_routes"), |bench| {
            bench.iter(|| black_box(world.decide()));
        });
        let world = World::new(routes).plain();
        criterion.bench_function(&format!("decide/{routes}_routes_plain"), |bench| {
            bench.iter(|| black_box(world.decide()));
        });
        let world = World::with_share(routes).uncolored();
        let name = format!("decide/{routes}_routes_outside_a_share");
        criterion.bench_function(&name, |bench| {
            bench.iter(|| black_box(world.decide()));
        });
    }
}

fn build(criterion: &mut Criterion) {
    let text = world::text(10_000);
    let load = || tyrian::config::load_text("bench", &text, &|_| None);
    criterion.bench_function("load_and_check/10000_routes", |bench| {
        bench.iter(|| black_box(load()));
    });
    let Some(config) = load().config else { return };
    criterion.bench_function("build_table/10000_routes", |bench| {
        bench.iter(|| black_box(tyrian::routing::Table::build(&config)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = decide, build
}
criterion_main!(benches);
