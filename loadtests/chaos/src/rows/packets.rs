//! Packets come late, and some not at all: netem on the loopback of a network
//! namespace, where nobody else is disturbed. It needs privileges and a kernel
//! that has netem; where either is missing the row says so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Kind, Pace};
use crate::process::Process;
use crate::report::Row;
use crate::stage::{Plan, Result, Stage};

/// Both directions of everything, the clients' side included: an exchange over
/// new connections has a dozen packets.
const NETEM: &[&str] = &["delay", "20ms", "10ms", "loss", "1%"];

/// Start, load and stop of everything once more.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs the row in a namespace of its own, in a process of its own.
pub(super) async fn run(
    stage: &Stage,
    lasts: Duration,
    directory: &Path,
    row: &mut Row,
) -> Result<()> {
    let probe = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms";
    if let Err(reason) = output(Command::new("unshare").args(["--net", "sh", "-c", probe])) {
        row.not_run = Some(format!("no netem in a network namespace ({reason})"));
        return Ok(());
    }
    let result = directory.join("packets.json");
    let plan = &stage.plan;
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe()?)
        .arg("--lb")
        .arg(&plan.lb)
        .arg("--backend")
        .arg(&plan.backend)
        .arg("--engine")
        .arg(plan.engine.key())
        .arg("--balance")
        .arg(plan.balance.key().replace('_', "-"))
        .arg(format!("--rate={}", plan.per_second))
        .arg(format!("--tunnels={}", plan.tunnels))
        .arg(format!("--namespace-seconds={}", lasts.as_secs().max(1)))
        .arg("--namespace-result")
        .arg(&result);
    let mut process = Process::start(&mut command, &directory.join("packets.log"))?;
    match process.wait(LONGEST).await? {
        Some(status) if status.success() => {
            *row = serde_json::from_slice(&fs::read(&result)?)?;
        }
        Some(status) => {
            let log = fs::read_to_string(process.log()).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            row.problems.push(format!("the run in the namespace ended with {status}: {last}"));
        }
        None => row.problems.push("the run in the namespace has no end".to_owned()),
    }
    Ok(())
}

/// The same, inside.
pub(super) async fn inside(plan: Plan, pace: Pace, directory: &Path) -> Result<Row> {
    let mut stage = Stage::start(plan, directory).await?;
    stage.start_load().await?;
    sleep(pace.quiet).await;
    let kind = Kind::Packets;
    let mut row = Row::new("packets", kind.what());
    let tally = std::sync::Arc::new(crate::tally::Tally::new(kind.weather(), &kind.affected(0)));
    stage.count_in(&tally).await?;

    let began = Instant::now();
    output(Command::new("tc").args(["qdisc", "add", "dev", "lo", "root", "netem"]).args(NETEM))?;
    sleep_until(began + pace.fault).await;
    output(Command::new("tc").args(["qdisc", "del", "dev", "lo", "root"]))?;
    let mended = Instant::now();
    let back = stage.watch.until(mended + Duration::from_secs(15), |seen| seen.are_all_in()).await;
    row.was_back(back.map(|at| at - mended));
    row.notes.push(format!("netem {}", NETEM.join(" ")));
    let lasted = began.elapsed();
    stage.count_in(&std::sync::Arc::clone(&stage.quiet)).await?;
    row.count(tally.result(), lasted);
    stage.stop().await?;
    Ok(row)
}

/// Runs a tool; what it says, if it fails.
fn output(command: &mut Command) -> std::result::Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("no reason given");
    Err(format!("{program}: {last}"))
}
