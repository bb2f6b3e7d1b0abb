//! The `tyrian` binary: parses the command line, calls one verb, maps the result to an exit code.

use std::process::ExitCode;

#[cfg(not(feature = "heap-profiles"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Its settings are compiled in: `.cargo/config.toml`.
#[cfg(feature = "heap-profiles")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // With huge pages the allocator's first touches cost 2 MiB each: half as much resident memory
    // again at a thousand routes, for 3 % of CPU. A kernel without the switch changes nothing.
    let _ = nix::sys::prctl::set_thp_disable(true);
    tyrian::cli::main()
}
