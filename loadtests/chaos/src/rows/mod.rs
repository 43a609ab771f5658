//! What is broken, one after another: a row of the table each.

mod descriptors;
mod endpoint;
mod packets;
mod replace;
mod rolling;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::endpoint::EndpointFault;
use crate::load::outcome::Weather;
use crate::proxy::Fault;
use crate::report::Row;
use crate::stage::{BACKENDS, Plan, Result, SETTLE, Stage};
use crate::tally::Tally;
use crate::watch::Seen;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Before each row.
    pub(crate) quiet: Duration,
    /// How long a fault lasts at least.
    pub(crate) fault: Duration,
    pub(crate) reloads: u32,
    pub(crate) hand_overs: u32,
}

impl Pace {
    pub(crate) const FULL: Self = Self {
        quiet: Duration::from_secs(3),
        fault: Duration::from_secs(10),
        reloads: 100,
        hand_overs: 5,
    };

    /// About a minute and a half for all.
    pub(crate) const QUICK: Self = Self {
        quiet: Duration::from_millis(300),
        fault: Duration::from_secs(2),
        reloads: 10,
        hand_overs: 2,
    };
}

/// After a fault, until what it caused late has shown: clients of tunnels speak
/// once a second.
const AFTERMATH: Duration = Duration::from_millis(1500);

/// What can be broken. The names are those of `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Kill,
    Stop,
    Slow,
    Stuck,
    Reset,
    ResetLate,
    Silent,
    Errors,
    ErrorsAll,
    Rolling,
    Reload,
    HandOver,
    Descriptors,
    Packets,
}

impl Kind {
    /// What the table calls it.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Kill => "backend killed (SIGKILL), started again",
            Self::Stop => "backend stopped (SIGSTOP), continued",
            Self::Slow => "backend 500 ms slower",
            Self::Stuck => "backend slower than the read time-out",
            Self::Reset => "every connection reset",
            Self::ResetLate => "connections reset inside responses",
            Self::Silent => "half-open: accepts, never answers",
            Self::Errors => "500 to everything but checks",
            Self::ErrorsAll => "500 to everything",
            Self::Rolling => "rolling restart of all backends",
            Self::Reload => "reloads (SIGHUP)",
            Self::HandOver => "hand-overs to a new process (SIGUSR2)",
            Self::Descriptors => "descriptors exhausted",
            Self::Packets => "packets delayed and dropped",
        }
    }

    /// What is to be expected of lb meanwhile.
    fn weather(self) -> Weather {
        match self {
            Self::Reload => Weather::CALM,
            Self::HandOver => Weather::LB_REPLACED,
            Self::Descriptors => Weather::LB_FULL,
            _ => Weather::UPSTREAM_BROKEN,
        }
    }

    /// Whose tunnels may break.
    fn affected(self, victim: usize) -> Vec<usize> {
        match self {
            // A slow backend, or one that answers with errors, keeps its tunnels;
            // so does one that is stopped for less than anybody's patience.
            Self::Stop | Self::Slow | Self::Stuck | Self::Errors | Self::ErrorsAll => Vec::new(),
            Self::Reload | Self::HandOver | Self::Descriptors => Vec::new(),
            Self::Kill | Self::Reset | Self::ResetLate | Self::Silent => vec![victim],
            Self::Rolling => (0..BACKENDS).collect(),
            // TCP hides what is lost.
            Self::Packets => Vec::new(),
        }
    }

    /// Runs the row. `directory` is for what it writes.
    pub(crate) async fn run(
        self,
        stage: &mut Stage,
        pace: Pace,
        victim: usize,
        directory: &Path,
    ) -> Result<Row> {
        let name = clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let mut row = Row::new(&name, self.what());
        let before = stage.watch.now();
        sleep(pace.quiet).await;
        // What nobody uses is broken without anybody noticing.
        let attempts = |seen: &Seen| seen.attempts.get(victim).copied().unwrap_or_default();
        if attempts(&stage.watch.now()) <= attempts(&before) {
            row.problems.push("no request had gone to the endpoint before it broke".to_owned());
        }

        let tally = Arc::new(Tally::new(self.weather(), &self.affected(victim)));
        stage.count_in(&tally).await?;
        let before = stage.watch.now();
        let taken_out = stage.lb.times_taken_out();
        let began = Instant::now();
        self.break_and_mend(stage, pace, victim, directory, &mut row).await?;
        sleep(AFTERMATH).await;
        if !stage.tunnels.all_open(SETTLE).await {
            row.problems.push("clients cannot open their tunnels again".to_owned());
        }
        let lasted = began.elapsed();
        let after = stage.watch.now();
        stage.count_in(&Arc::clone(&stage.quiet)).await?;
        // The row in the namespace has counted its own load.
        if row.not_run.is_none() && row.sent == 0 {
            row.count(tally.result(), lasted);
            let taken_out = stage.lb.times_taken_out() - taken_out;
            if taken_out > 0 {
                row.notes.push(format!("its log says {taken_out} times that an endpoint is out"));
            }
            // A new process counts from nothing.
            row.retries = (after.retries - before.retries).max(0.0);
            row.retries_refused = (after.retries_refused - before.retries_refused).max(0.0);
        }
        if !stage.lb.is_running()? {
            return Err(format!("lb is gone after {name}").into());
        }
        Ok(row)
    }

    async fn break_and_mend(
        self,
        stage: &mut Stage,
        pace: Pace,
        victim: usize,
        directory: &Path,
        row: &mut Row,
    ) -> Result<()> {
        use EndpointFault::{Kill, Network, Stop};

        let (fault, must_be_out) = match self {
            Self::Kill => (Kill, true),
            Self::Stop => (Stop, true),
            Self::Slow => (Network(Fault::Delay(Duration::from_millis(500))), false),
            Self::Stuck => (Network(Fault::Delay(Duration::from_secs(3))), true),
            Self::Reset => (Network(Fault::Reset), true),
            // More than the answer to a check has, and less than the others'. The
            // checks pass, and the next by schedule brings back what real requests
            // took out.
            Self::ResetLate => (Network(Fault::ResetAfter(1500)), true),
            Self::Silent => (Network(Fault::Silent), true),
            Self::Errors => (Network(Fault::Fail { is_healthy: true }), false),
            Self::ErrorsAll => (Network(Fault::Fail { is_healthy: false }), true),
            Self::Rolling => return rolling::run(stage, row).await,
            Self::Reload => return replace::reload(stage, pace.reloads, row).await,
            Self::HandOver => return replace::hand_over(stage, pace.hand_overs, row).await,
            Self::Descriptors => return descriptors::run(stage, pace.fault, row).await,
            Self::Packets => return packets::run(stage, pace.fault, directory, row).await,
        };
        endpoint::run(stage, fault, must_be_out, pace.fault, victim, row).await
    }
}

/// What `plan` is for the row inside of a network namespace.
pub(crate) async fn inside_namespace(plan: Plan, pace: Pace, directory: &Path) -> Result<Row> {
    packets::inside(plan, pace, directory).await
}
