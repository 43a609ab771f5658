//! The `lb` program.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything could install another one.
    lb::tls::install_provider();
    lb::cli::run(lb::cli::Arguments::parse())
}
