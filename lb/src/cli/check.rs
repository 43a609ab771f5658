//! `lb check`: every problem of a configuration, without running it.

use std::path::Path;
use std::process::ExitCode;

use super::{WRONG_CONFIG, positioned};
use crate::compile::compile_file;
use crate::upstream::Registry;

pub(super) fn check(config: &Path) -> ExitCode {
    let compiled = compile_file(config, &Registry::default());
    for problem in &compiled.problems {
        println!("{}", positioned(config, problem));
    }
    if compiled.has_errors() {
        return ExitCode::from(WRONG_CONFIG);
    }
    println!("{}: the configuration is sound", config.display());
    ExitCode::SUCCESS
}
