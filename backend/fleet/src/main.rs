//! `fleet`: starts, stops and shows the whole system on this machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use fleet::system::{self, ADMIN_EMAIL, Options, Outcome};

/// The whole system on this machine: PostgreSQL with two replicas, a Redis Cluster of six
/// nodes, three backends, two frontends, and lb in front of them.
#[derive(Debug, Parser)]
#[command(name = "fleet", version)]
struct Arguments {
    /// Where data, logs, pid files and passwords are.
    #[arg(long, value_name = "DIR", default_value = "target/fleet", global = true)]
    directory: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it, keep the data of the last time, and leave it running.
    Up(Up),
    /// Stop what `up` started.
    Stop,
    /// Show what runs; the exit status is 1 unless all of it does.
    Status,
}

#[derive(Debug, Args)]
struct Up {
    /// Throw away the data and the passwords of the last time.
    #[arg(long)]
    fresh: bool,

    /// PostgreSQL and Redis, and nothing in front of them.
    #[arg(long)]
    servers_only: bool,

    /// The load balancer [default: beside this program].
    #[arg(long, value_name = "FILE")]
    lb: Option<PathBuf>,

    /// The backend [default: beside this program].
    #[arg(long, value_name = "FILE")]
    backend: Option<PathBuf>,

    /// The load balancer's configuration; the ports in it have to be those of config/fleet.yaml.
    #[arg(long, value_name = "FILE", default_value = "config/fleet.yaml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let directory = std::path::absolute(&arguments.directory)?;
    match &arguments.command {
        Command::Up(up) => start(&directory, up)?,
        Command::Stop => match system::stop(&directory)?.as_slice() {
            [] => say("fleet: nothing is running"),
            stopped => say(&format!("fleet: stopped {}", stopped.join(", "))),
        },
        Command::Status => {
            if !show(&directory) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start(directory: &Path, up: &Up) -> Result<(), Box<dyn std::error::Error>> {
    fleet::heed_signals()?;
    let beside = |name: &str, given: &Option<PathBuf>| match given {
        Some(path) => std::path::absolute(path),
        None => Ok(std::env::current_exe()?.with_file_name(name)),
    };
    let options = Options {
        lb: beside("lb", &up.lb)?,
        backend: beside("backend", &up.backend)?,
        config: std::path::absolute(&up.config)?,
        servers_only: up.servers_only,
        fresh: up.fresh,
    };
    match system::up(directory, &options)? {
        Outcome::RanAlready => say("fleet: it is running already"),
        Outcome::Started => {}
    }
    show(directory);
    if !up.servers_only {
        introduce(directory);
    }
    Ok(())
}

/// Whoever stopped reading, as in `fleet status | head`, wants no more.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn show(directory: &Path) -> bool {
    let parts = system::status(directory);
    for part in &parts {
        let ports: Vec<String> = part.ports.iter().map(ToString::to_string).collect();
        let state = part.pid.map_or_else(|| "down".to_owned(), |pid| format!("pid {pid}"));
        say(&format!("  {:<11} {:<11} 127.0.0.1:{}", part.name, state, ports.join(", ")));
    }
    parts.iter().all(|part| part.pid.is_some())
}

fn introduce(directory: &Path) {
    let directory = directory.display();
    say(&format!(
        "
the page:   https://localhost:8443/  (its authority: certs/dev/ca.pem; http://localhost:8080 leads there)
lb:         http://127.0.0.1:9900/metrics  http://127.0.0.1:9900/readyz
logs:       {directory}/logs

sign in as the administrator, {ADMIN_EMAIL}:

  printf '{{\"email\":\"{ADMIN_EMAIL}\",\"password\":\"%s\"}}' \"$(cat {directory}/admin-password)\" |
    curl --cacert certs/dev/ca.pem -H 'Content-Type: application/json' -d @- \\
         https://localhost:8443/api/v1/auth/login

make fleet-status shows what runs, make fleet brings back what was killed, make fleet-stop
stops everything and keeps the data."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
