//! The soak: everything at once for a long time, and what has grown at its end.

mod growth;
mod mix;
mod samples;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::growth::{Growth, Windows, compare};
use self::mix::Mix;
use self::samples::{Gauge, Sample};
use crate::load::outcome::Weather;
use crate::process::count_descriptors;
use crate::report::Row;
use crate::setup::IDLE_TIMEOUT;
use crate::stage::{BACKENDS, Plan, Result, SETTLE, Stage};
use crate::status::{Metrics, Status};
use crate::tally::Tally;

/// Between two reloads.
const RELOAD: f64 = 5.0;

/// Between two deaths of a backend.
const KILL: f64 = 20.0;

/// How long it is away.
const AWAY: f64 = 3.0;

/// From a death until all is as before.
const SETTLING: f64 = 12.0;

/// How long what clients have left behind may take to be gone: the pool's time, and
/// some for a machine that is busy.
const GIVEN_BACK: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() + 20);

/// Checks and our own questions come and go.
const SPARE_DESCRIPTORS: usize = 10;

/// What of it is asked for.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) plan: Plan,
    pub(crate) minutes: f64,
    pub(crate) results: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    minutes: f64,
    growths: Vec<Growth>,
    reloads: u32,
    kills: u32,
    row: Row,
}

impl Soak {
    /// Runs it, with everything that is written in `directory`. Returns what
    /// makes it fail.
    pub(crate) async fn run(self, directory: &Path) -> Result<Vec<String>> {
        let Self { plan, minutes, results } = self;
        println!(
            "soak: {minutes} minutes; what is written meanwhile is in {}",
            directory.display()
        );
        let mut stage = Stage::start(plan, directory).await?;
        let everybody: Vec<usize> = (0..BACKENDS).collect();
        let tally = Arc::new(Tally::new(Weather::UPSTREAM_BROKEN, &everybody));
        stage.count_in(&tally).await?;
        stage.start_load().await?;
        let mix = Mix {
            wire: stage.wire.clone(),
            http: stage.lb.setup.http,
            https: stage.lb.setup.https,
            current: stage.current.clone(),
        };
        let mix = mix.start();

        let began = Instant::now();
        let mut course = Course::new(minutes * 60.0);
        course.run(&mut stage).await?;
        let lasted = began.elapsed();

        let mut row = Row::new("soak", "soak");
        drop(mix);
        row.problems.extend(stage.end_load().await?);
        tally.settled(SETTLE).await;
        row.count(tally.result(), lasted);
        let left = left_behind(&stage).await;
        if !left.is_empty() {
            row.problems.push(format!("all clients are gone, and there are still {left}"));
        }
        row.problems.extend(stage.stop().await?);
        row.problems.append(&mut course.problems);
        row.notes.append(&mut course.notes);

        let seconds = minutes * 60.0;
        let growths = compare(&course.samples, &course.windows, seconds)
            .ok_or("no samples were taken in a window: give it more minutes")?;
        for growth in growths.iter().filter(|growth| growth.is_leak()) {
            let Growth { name, first, last, .. } = growth;
            row.problems.push(format!("{name} grew from {first:.0} to {last:.0}"));
        }
        drop(stage);
        let report = Report { minutes, growths, reloads: course.reloads, kills: course.kills, row };
        println!("\n{}", report.markdown());
        if let Some(directory) = results {
            fs::create_dir_all(&directory)?;
            let json = serde_json::to_string_pretty(&report)?;
            fs::write(directory.join("soak.json"), json + "\n")?;
            fs::write(directory.join("soak.md"), format!("# Soak\n\n{}", report.markdown()))?;
            println!("written: {}/soak.json and soak.md", directory.display());
        }
        Ok(report.row.problems)
    }
}

/// What happens while it lasts.
struct Course {
    seconds: f64,
    windows: Windows,
    samples: Vec<Sample>,
    reloads: u32,
    kills: u32,
    notes: Vec<String>,
    problems: Vec<String>,
    is_reloading: bool,
}

impl Course {
    fn new(seconds: f64) -> Self {
        Self {
            seconds,
            windows: Windows::of(seconds),
            samples: Vec::new(),
            reloads: 0,
            kills: 0,
            notes: Vec::new(),
            problems: Vec::new(),
            is_reloading: true,
        }
    }

    async fn run(&mut self, stage: &mut Stage) -> Result<()> {
        let mut status = Status::new(stage.lb.setup.status);
        let began = Instant::now();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next_reload, mut next_kill) = (RELOAD, RELOAD);
        let mut away: Option<(usize, f64)> = None;
        let mut told = 0;
        loop {
            ticks.tick().await;
            let second = began.elapsed().as_secs_f64();
            if second >= self.seconds {
                break;
            }
            if !stage.lb.is_running()? {
                return Err("lb is gone".into());
            }
            let metrics = status.metrics().await?;
            self.samples.push(Sample::take(second, stage.lb.pid(), &metrics)?);

            if self.is_reloading && second >= next_reload {
                next_reload = second + RELOAD;
                self.reload(stage)?;
            }
            if let Some((index, until)) = away {
                if second >= until {
                    stage.backends[index].bring_back().await?;
                    away = None;
                }
            } else if second >= next_kill && self.windows.may_disturb(second, SETTLING) {
                next_kill = second + KILL;
                let index = self.kills as usize % BACKENDS;
                stage.backends[index].kill();
                self.kills += 1;
                away = Some((index, second + AWAY));
            }
            let tenth = (second / self.seconds * 10.0) as u32;
            if tenth > told {
                told = tenth;
                self.tell(second);
            }
        }
        if let Some((index, _)) = away {
            stage.backends[index].bring_back().await?;
        }
        let failed = stage.watch.now().reloads_failed;
        if failed > 0.0 {
            self.problems.push(format!("{failed:.0} reloads failed"));
        }
        let applied = stage.watch.now().reloads_applied;
        if self.is_reloading && applied + 1.0 < f64::from(self.reloads) {
            self.problems.push(format!("{applied:.0} of {} reloads were applied", self.reloads));
        }
        Ok(())
    }

    fn reload(&mut self, stage: &mut Stage) -> Result<()> {
        if stage.lb.ignores(Signal::SIGHUP) {
            self.is_reloading = false;
            self.reloads = 0;
            self.notes.push("without reloads: this lb does nothing on SIGHUP".to_owned());
            return Ok(());
        }
        self.reloads += 1;
        let generation = stage.lb.setup.generation + 1;
        Ok(stage.lb.reload(generation)?)
    }

    fn tell(&self, second: f64) {
        let Some(sample) = self.samples.last() else { return };
        println!(
            "{second:>6.0} s  {:.0} KiB, {:.0} descriptors, {:.0} threads, {:.0} in flight",
            sample.get(Gauge::Memory),
            sample.get(Gauge::Descriptors),
            sample.get(Gauge::Threads),
            sample.get(Gauge::InFlight),
        );
    }
}

/// What is open although nobody is there; nothing, if all is well.
async fn left_behind(stage: &Stage) -> String {
    let mut status = Status::new(stage.lb.setup.status);
    let deadline = Instant::now() + GIVEN_BACK;
    loop {
        let left = match status.metrics().await {
            Ok(metrics) => still_open(stage, &metrics),
            Err(error) => format!("no metrics ({error})"),
        };
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn still_open(stage: &Stage, metrics: &Metrics) -> String {
    let mut left = Vec::new();
    for (name, what) in [
        ("lb_connections_open", "connections of clients"),
        ("lb_endpoint_in_flight", "exchanges in flight"),
        ("lb_endpoint_connections", "connections to endpoints"),
    ] {
        let count = metrics.sum(name, &[]).unwrap_or_default();
        if count != 0.0 {
            left.push(format!("{count} {what}"));
        }
    }
    let first = stage.descriptors_at_first;
    let descriptors = count_descriptors(stage.lb.pid()).unwrap_or_default();
    if descriptors > first + SPARE_DESCRIPTORS {
        left.push(format!("{descriptors} descriptors ({first} before they came)"));
    }
    left.join(", ")
}

impl Report {
    fn markdown(&self) -> String {
        let Self { minutes, growths, reloads, kills, row } = self;
        let mut text = format!(
            "{minutes} minutes, {} requests, {} failed, {} not repeatable, {reloads} reloads, \
             {kills} backends killed. p99 {:.1} ms.\n\n\
             | | after the warm-up | at the end | allowed | each tenth |\n|---|--:|--:|--:|---|\n",
            row.sent,
            row.failed,
            row.unsafe_to_repeat,
            row.p99_ms.unwrap_or_default(),
        );
        for growth in growths {
            let course: Vec<String> =
                growth.course.iter().map(|value| format!("{value:.0}")).collect();
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.0} | {:.0} | {} |",
                growth.name,
                growth.first,
                growth.last,
                growth.allowed,
                course.join(" ")
            );
        }
        let details = row.details();
        if !details.is_empty() {
            let _ = write!(text, "\n{details}");
        }
        text
    }
}
