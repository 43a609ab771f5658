//! `lb probe`: whether a URL answers well, for health checks of containers.

use std::process::ExitCode;
use std::time::Duration;

/// All together; what asks waits for three seconds as a rule.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn probe(url: &str) -> ExitCode {
    match probe::get(url, TIMEOUT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lb: {error}");
            ExitCode::FAILURE
        }
    }
}
