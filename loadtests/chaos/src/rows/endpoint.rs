//! One endpoint is broken, and mended.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use crate::proxy::Fault;
use crate::report::{FAILOVER, Row};
use crate::stage::{Result, Stage};

/// How.
#[derive(Debug, Clone, Copy)]
pub(super) enum EndpointFault {
    Kill,
    Stop,
    Network(Fault),
}

/// Some more than what makes the run fail, so that the time is known.
const LONGEST: Duration = Duration::from_secs(FAILOVER.as_secs() + 5);

pub(super) async fn run(
    stage: &mut Stage,
    fault: EndpointFault,
    must_be_out: bool,
    lasts: Duration,
    victim: usize,
    row: &mut Row,
) -> Result<()> {
    let began = Instant::now();
    let backend = &mut stage.backends[victim];
    match fault {
        EndpointFault::Kill => backend.kill(),
        EndpointFault::Stop => backend.signal(Signal::SIGSTOP)?,
        EndpointFault::Network(fault) => backend.proxy.set(fault),
    }
    let patience = if must_be_out { LONGEST } else { lasts };
    let out = stage.watch.until(began + patience, |seen| !seen.is_in(victim)).await;
    if must_be_out || out.is_some() {
        row.was_out(out.map(|at| at - began));
    }
    sleep_until(began + lasts).await;

    let backend = &mut stage.backends[victim];
    match fault {
        EndpointFault::Kill => backend.bring_back().await?,
        EndpointFault::Stop => backend.signal(Signal::SIGCONT)?,
        EndpointFault::Network(_) => backend.proxy.set(Fault::Pass),
    }
    // From here on it could answer.
    let mended = Instant::now();
    let back = stage.watch.until(mended + LONGEST, |seen| seen.is_in(victim)).await;
    if row.out_seconds.is_some() || back.is_none() {
        row.was_back(back.map(|at| at - mended));
    }
    Ok(())
}
