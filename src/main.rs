//! The `tyrian` binary: parses the command line, calls one verb, maps the result to an exit code.

fn main() {}
