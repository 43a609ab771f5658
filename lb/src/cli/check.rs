//! `lb check`: every problem of a configuration, without running it.

use std::path::Path;
use std::process::ExitCode;

use super::{WRONG_CONFIG, positioned, print};
use crate::compile::compile_file;
use crate::snapshot::Registry;

pub(super) fn check(config: &Path) -> ExitCode {
    let compiled = compile_file(config, &Registry::default());
    let mut lines: Vec<String> =
        compiled.problems.iter().map(|problem| positioned(config, problem)).collect();
    if compiled.has_errors() {
        return print(lines, ExitCode::from(WRONG_CONFIG));
    }
    lines.push(format!("{}: the configuration is sound", config.display()));
    print(lines, ExitCode::SUCCESS)
}
