//! The chaos run: rows one after another, a table, a verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use clap::ValueEnum;

use crate::report::{Report, Row};
use crate::rows::{Kind, Pace};
use crate::stage::{BACKENDS, Plan, Result, SETTLE, Stage};

/// What of it is asked for.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) plan: Plan,
    pub(crate) pace: Pace,
    /// All, if empty.
    pub(crate) only: Vec<Kind>,
    /// Where the tables are written.
    pub(crate) results: Option<PathBuf>,
}

impl Chaos {
    /// Runs it, with everything that is written in `directory`. Returns what
    /// makes it fail.
    pub(crate) async fn run(self, directory: &Path) -> Result<Vec<String>> {
        let Self { plan, pace, only, results } = self;
        let kinds: Vec<Kind> = Kind::value_variants()
            .iter()
            .copied()
            .filter(|kind| only.is_empty() || only.contains(kind))
            .collect();

        println!("chaos: starting; what is written meanwhile is in {}", directory.display());
        let mut stage = Stage::start(plan, directory).await?;
        stage.start_load().await?;
        let began = Instant::now();
        let mut rows = Vec::new();
        for (number, kind) in kinds.into_iter().enumerate() {
            let row = kind.run(&mut stage, pace, number % BACKENDS, directory).await?;
            tell(&row);
            rows.push(row);
        }

        let mut quiet = Row::new("quiet", "nothing broken, between the others");
        let stopped_badly = stage.stop().await?;
        stage.quiet.settled(SETTLE).await;
        quiet.count(stage.quiet.result(), began.elapsed());
        quiet.problems.extend(stopped_badly);
        // Of all rows together: what is in between has no time of its own.
        quiet.seconds -= rows.iter().map(|row| row.seconds).sum::<f64>();
        tell(&quiet);
        rows.insert(0, quiet);

        let report = Report {
            lb: version(&stage.plan.lb),
            engine: stage.plan.engine.key().to_owned(),
            balance: stage.plan.balance.key().to_owned(),
            per_second: stage.plan.per_second,
            tunnels: stage.plan.tunnels,
            cores: thread::available_parallelism().map_or(1, usize::from),
            rows,
        };
        drop(stage);
        println!("\n{}", report.table());
        if let Some(directory) = results {
            fs::create_dir_all(&directory)?;
            let json = serde_json::to_string_pretty(&report)?;
            fs::write(directory.join("chaos.json"), json + "\n")?;
            fs::write(directory.join("chaos.md"), report.markdown())?;
            println!("written: {}/chaos.json and chaos.md", directory.display());
        }
        Ok(report.problems())
    }
}

fn tell(row: &Row) {
    match &row.not_run {
        Some(reason) => println!("{:<12} not run here: {reason}", row.name),
        None => println!(
            "{:<12} {:>3.0} s, {} requests, {} failed, p99 {:.0} ms",
            row.name,
            row.seconds,
            row.sent,
            row.failed,
            row.p99_ms.unwrap_or_default()
        ),
    }
    for line in row.details().lines() {
        println!("             {line}");
    }
}

/// What `lb --version` says.
fn version(lb: &Path) -> String {
    let output = std::process::Command::new(lb).arg("--version").output();
    output.map_or_else(
        |_| "lb".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
