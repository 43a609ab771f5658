//! `lb run`: serve.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::{BROKEN, WRONG_CONFIG, positioned};
use crate::compile::compile_file;
use crate::runtime::{self, Options};
use crate::snapshot::Registry;

/// Pingora reports every client that goes away as an error; what matters of it
/// stands in our access log.
const DEFAULT_FILTER: &str = "info,pingora_core=off,pingora_proxy=off,pingora_pool=off,h2=error,hickory_net=off,kube_client=off,kube_runtime=off,tower=off,rustls_platform_verifier=off";

pub(super) fn run(config: &Path, pid_file: Option<&Path>) -> ExitCode {
    start_log();
    if let Err(error) = runtime::follow_testator() {
        eprintln!("lb: {error}");
        return ExitCode::from(BROKEN);
    }
    runtime::hold_signals();
    let options = Options::new(config.to_owned(), pid_file.map(Path::to_owned));
    let registry = Arc::new(Registry::default());
    let compiled = compile_file(config, &registry);
    for problem in &compiled.problems {
        eprintln!("{}", positioned(config, problem));
    }
    let Some(snapshot) = compiled.snapshot else {
        eprintln!("lb: not started: the configuration has errors");
        return ExitCode::from(WRONG_CONFIG);
    };
    match runtime::run(snapshot, registry, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lb: {error}");
            ExitCode::from(BROKEN)
        }
    }
}

/// The process's own log goes to standard error; `RUST_LOG` sets its levels.
fn start_log() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(filter)
        .with_target(false);
    log.with_ansi(io::stderr().is_terminal()).init();
}
