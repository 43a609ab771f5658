//! The `lb` program.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything could install another one.
    lb::tls::install_provider();
    lb::cli::run(lb::cli::Arguments::parse())
}
