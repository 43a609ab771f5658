//! Breaks what stands around lb, and lb itself, under a steady load, and says
//! what clients noticed of it (`chaos`); or runs it for long and watches what
//! grows (`chaos soak`).

mod backend;
mod certificates;
mod lb;
mod load;
mod ports;
mod process;
mod proxy;
mod report;
mod rows;
mod run;
mod setup;
mod soak;
mod stage;
mod status;
mod tally;
mod watch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::rows::{Kind, Pace};
use crate::run::Chaos;
use crate::setup::{Balance, Engine};
use crate::soak::Soak;
use crate::stage::{Plan, Result};

/// Breaks what stands around lb, and lb itself, under load.
#[derive(Debug, Parser)]
#[command(
    name = "chaos",
    after_help = "Exit codes: 0 nothing was noticed that should not have been, 1 something \
        was, 2 the arguments are wrong, 70 the run itself broke."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The lb to run [default: the one beside this program].
    #[arg(long, global = true, value_name = "FILE")]
    lb: Option<PathBuf>,

    /// The backend to run [default: the one beside this program].
    #[arg(long, global = true, value_name = "FILE")]
    backend: Option<PathBuf>,

    /// Which engine the listeners ask for.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    engine: Engine,

    /// How requests are spread over the backends.
    #[arg(long, global = true, value_enum, default_value = "least-connections")]
    balance: Balance,

    /// Requests a second.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 300)]
    rate: u32,

    /// WebSockets at the same time.
    #[arg(long, global = true, value_name = "COUNT", default_value_t = 60)]
    tunnels: usize,

    /// Shorter faults, fewer reloads and hand-overs.
    #[arg(long)]
    quick: bool,

    /// How many reloads [default: 100, or 10 with --quick].
    #[arg(long, value_name = "COUNT")]
    reloads: Option<u32>,

    /// How many hand-overs [default: 5, or 2 with --quick].
    #[arg(long, value_name = "COUNT")]
    hand_overs: Option<u32>,

    /// This row only; may be repeated.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Kind>,

    /// Where to write the tables, as JSON and as Markdown [default: nowhere].
    #[arg(long, global = true, value_name = "DIRECTORY")]
    results: Option<PathBuf>,

    /// In a network namespace: the row that needs one, for so long.
    #[arg(long, hide = true, value_name = "COUNT", requires = "namespace_result")]
    namespace_seconds: Option<u64>,

    /// Where the result of that row goes.
    #[arg(long, hide = true, value_name = "FILE", requires = "namespace_seconds")]
    namespace_result: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything at once for long, and fails if memory, descriptors, threads
    /// or connections grow meanwhile.
    Soak {
        /// How long.
        #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
        minutes: f64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = process::adopt_orphans() {
        eprintln!("chaos: orphans would be lost: {error}");
        return ExitCode::from(70);
    }
    let code = match run(arguments) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in problems {
                eprintln!("chaos: FAILS: {problem}");
            }
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(70)
        }
    };
    // Whatever a child of ours has started and not ended itself.
    process::end_orphans();
    code
}

fn run(arguments: Arguments) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let directory = tempfile::Builder::new().prefix("lb-chaos-").tempdir()?;
    let result = runtime.block_on(async {
        let mut stop = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(signal)
            .into_iter()
            .collect::<io::Result<Vec<_>>>()?;
        let [interrupt, terminate, hangup] = &mut stop[..] else { return Err("no signals".into()) };
        tokio::select! {
            result = carry_out(arguments, directory.path()) => result,
            _ = interrupt.recv() => Err("interrupted".into()),
            _ = terminate.recv() => Err("told to stop".into()),
            _ = hangup.recv() => Err("hung up".into()),
        }
    });
    // Tasks hold sockets only; processes have ended with what carried it out.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !matches!(&result, Ok(problems) if problems.is_empty()) {
        match keep_logs(directory.path()) {
            Ok(kept) => eprintln!("chaos: logs are kept in {}", kept.display()),
            Err(error) => eprintln!("chaos: logs are lost: {error}"),
        }
    }
    result
}

async fn carry_out(arguments: Arguments, directory: &Path) -> Result<Vec<String>> {
    let beside = |name: &str, given: Option<PathBuf>| match given {
        Some(path) => fs::canonicalize(path),
        None => Ok(std::env::current_exe()?.with_file_name(name)),
    };
    let plan = Plan {
        lb: beside("lb", arguments.lb)?,
        backend: beside("backend", arguments.backend)?,
        engine: arguments.engine,
        balance: arguments.balance,
        per_second: arguments.rate,
        tunnels: arguments.tunnels,
    };
    if let (Some(seconds), Some(result)) = (arguments.namespace_seconds, arguments.namespace_result)
    {
        let pace = Pace { fault: Duration::from_secs(seconds), ..Pace::FULL };
        let row = rows::inside_namespace(plan, pace, directory).await?;
        fs::write(result, serde_json::to_vec(&row)?)?;
        return Ok(Vec::new());
    }
    if let Some(Command::Soak { minutes }) = arguments.command {
        let soak = Soak { plan, minutes: minutes.max(0.5), results: arguments.results };
        return soak.run(directory).await;
    }
    let mut pace = if arguments.quick { Pace::QUICK } else { Pace::FULL };
    pace.reloads = arguments.reloads.unwrap_or(pace.reloads);
    pace.hand_overs = arguments.hand_overs.unwrap_or(pace.hand_overs);
    let chaos = Chaos { plan, pace, only: arguments.only, results: arguments.results };
    chaos.run(directory).await
}

/// Copies what was written to `target/chaos`, in place of what is there.
fn keep_logs(directory: &Path) -> io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let kept = PathBuf::from(target).join("chaos");
    match fs::remove_dir_all(&kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&kept)?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_wanted = path
            .extension()
            .is_some_and(|extension| ["log", "yaml", "json"].iter().any(|one| extension == *one));
        if let (true, Some(name)) = (is_wanted, path.file_name()) {
            fs::copy(&path, kept.join(name))?;
        }
    }
    Ok(kept)
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
