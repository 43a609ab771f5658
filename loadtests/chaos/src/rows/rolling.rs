//! All backends are restarted, one after the other, as a deployment does: each
//! says that it is not ready before it stops accepting.

use std::time::Duration;

use tokio::time::Instant;

use crate::report::{FAILOVER, Row};
use crate::stage::{BACKENDS, Result, Stage};

const LONGEST: Duration = Duration::from_secs(FAILOVER.as_secs() + 5);

pub(super) async fn run(stage: &mut Stage, row: &mut Row) -> Result<()> {
    for index in 0..BACKENDS {
        let began = Instant::now();
        let backend = &mut stage.backends[index];
        let watch = &stage.watch;
        let (stopped, out) =
            tokio::join!(backend.stop(), watch.until(began + LONGEST, |seen| !seen.is_in(index)),);
        stopped?;
        row.was_out(out.map(|at| at - began));
        backend.bring_back().await?;
        let started = Instant::now();
        let back = watch.until(started + LONGEST, |seen| seen.is_in(index)).await;
        row.was_back(back.map(|at| at - started));
    }
    Ok(())
}
