//! `lb schema`: the JSON Schema of the configuration.

use std::process::ExitCode;

use super::{BROKEN, print};

pub(super) fn schema() -> ExitCode {
    match serde_json::to_string_pretty(&crate::compile::schema()) {
        Ok(text) => print([text], ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("lb: the schema cannot be printed: {error}");
            ExitCode::from(BROKEN)
        }
    }
}
