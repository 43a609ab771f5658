//! The command line: one file a subcommand.

mod check;
mod probe;
mod run;
mod schema;
mod upgrade;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::Problem;

/// The configuration is wrong.
const WRONG_CONFIG: u8 = 1;

/// Something broke (sysexits' EX_SOFTWARE). 2, for wrong arguments, is clap's.
const BROKEN: u8 = 70;

/// An L7 load balancer, configured by one YAML file.
#[derive(Debug, Parser)]
#[command(name = "lb", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM, SIGQUIT: drain; SIGINT: at once; SIGHUP: reload;
    /// SIGUSR2: hand over to a new process; SIGUSR1: reopen logs)
    Run {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Write the process id here while serving
        #[arg(long, value_name = "FILE")]
        pid_file: Option<PathBuf>,
    },
    /// Check a configuration: exit 0, or 1 with every problem as FILE:LINE:COL: path: message
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Have a running process hand its sockets over to a new one, started as it was
    Upgrade {
        /// The pid file of the running process
        #[arg(long, value_name = "FILE")]
        pid_file: PathBuf,
        /// How long to wait for the new process, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 90)]
        timeout: u64,
    },
    /// Ask a URL, such as http://127.0.0.1:9900/readyz: exit 0 if the answer is a 2xx, else 1
    Probe {
        /// The URL, over plain HTTP
        url: String,
    },
}

/// Runs what the arguments ask for.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Run { config, pid_file } => run::run(&config, pid_file.as_deref()),
        Command::Check { config } => check::check(&config),
        Command::Schema => schema::schema(),
        Command::Upgrade { pid_file, timeout } => {
            upgrade::upgrade(&pid_file, Duration::from_secs(timeout))
        }
        Command::Probe { url } => probe::probe(&url),
    }
}

/// Prints lines to standard output and gives `code`. Whoever closes the pipe
/// early, such as `head`, has seen enough.
fn print(lines: impl IntoIterator<Item = String>, code: ExitCode) -> ExitCode {
    let mut output = io::stdout().lock();
    let written = lines
        .into_iter()
        .try_for_each(|line| writeln!(output, "{line}"))
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("lb: cannot write: {error}");
            ExitCode::from(BROKEN)
        }
        _ => code,
    }
}

/// A problem with its file, as editors and terminals understand it.
fn positioned(file: &Path, problem: &Problem) -> String {
    format!("{}:{problem}", file.display())
}
