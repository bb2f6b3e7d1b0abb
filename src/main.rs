//! The `tyrian` binary: parses the command line, calls one verb, maps the result to an exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tyrian::cli::main()
}
