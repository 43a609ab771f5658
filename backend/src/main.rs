//! The `backend` binary: arguments → settings → log → build → run → drain.

use std::env;
use std::error::Error;
use std::io;
use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use backend::app::{App, StartError};
use backend::causes::chain;
use backend::settings::{Arguments, InvalidSettings, ProbeArguments, Settings};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Faster than the system's with many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the end of the process waits for work that cannot be cancelled, such
/// as a password hash. It takes tens of milliseconds.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// All together; what asks waits for three seconds as a rule.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Wrong arguments end here, with code 2.
    if env::args_os().nth(1).is_some_and(|argument| argument == "probe") {
        return probe(&ProbeArguments::parse_from(env::args_os().skip(1)).url);
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

/// Whether a URL answers well, for health checks of containers.
fn probe(url: &str) -> ExitCode {
    match probe::get(url, PROBE_TIMEOUT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = Settings::try_from(arguments)?;
    log_to_stderr(std::mem::take(&mut settings.log));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(async {
        App::build(settings).await?.run().await;
        Ok(())
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    result
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl Failure {
    fn report(&self) {
        for line in self.chain().lines() {
            eprintln!("backend: {line}");
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) => ExitCode::from(1),
            Self::Start(error) if error.is_about_settings() => ExitCode::from(1),
            Self::Start(_) | Self::Runtime(_) => ExitCode::from(70),
        }
    }

    fn chain(&self) -> String {
        chain(self as &(dyn Error + 'static))
    }
}

fn log_to_stderr(filter: EnvFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    // In the format of the other lines, and with the request's id.
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, message = panic.payload_as_str(), "panicked");
    }));
}
