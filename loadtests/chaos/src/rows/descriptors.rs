//! An lb with few descriptors, and clients that connect and say nothing: those
//! that were there before are served, and when the others leave, so are new ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::lb::Lb;
use crate::load::outcome::Weather;
use crate::load::schedule::{Ask, Schedule, Way};
use crate::load::{Clients, Load};
use crate::report::{FAILOVER, Row};
use crate::stage::{Result, SETTLE, Stage};
use crate::status::Status;
use crate::tally::Tally;

/// What the small lb may open.
const FILES: u32 = 256;

/// More than fit.
const SILENT_CLIENTS: usize = 400;

/// Of the load, what this lb gets besides the other's.
const SHARE: u32 = 6;

/// On the connections that it has: more are opened than it needs at once.
const CONNECTIONS: usize = 24;

pub(super) async fn run(stage: &mut Stage, lasts: Duration, row: &mut Row) -> Result<()> {
    let mut setup = stage.another_setup("small")?;
    // Descriptors are to run out before places do.
    setup.max_connections = Some(10_000);
    let mut small = Lb::start(&stage.plan.lb, setup, Some(FILES)).await?;
    let clients = Clients::new(&stage.wire, small.setup.http, small.setup.https);
    clients.warm_up(CONNECTIONS).await.map_err(|failure| failure.label())?;
    let schedule = Schedule::new(stage.plan.per_second / SHARE);
    let load = Load::start(Arc::new(clients), schedule, stage.current.clone());
    sleep(Duration::from_secs(1)).await;

    let mut silent = Vec::new();
    for _ in 0..SILENT_CLIENTS {
        // Beyond the limit some are refused, and some closed a moment later.
        if let Ok(Ok(stream)) =
            timeout(Duration::from_secs(5), TcpStream::connect(small.setup.http)).await
        {
            silent.push(stream);
        }
    }
    sleep(lasts).await;

    let metrics = Status::new(small.setup.status).metrics().await;
    match metrics {
        Ok(metrics) => {
            let closed = |cause| {
                metrics.sum("lb_connections_closed_total", &[("cause", cause)]).unwrap_or_default()
            };
            let exhausted = closed("descriptors_exhausted");
            let open = metrics.sum("lb_connections_open", &[]).unwrap_or_default();
            row.notes.push(format!(
                "{SILENT_CLIENTS} silent clients and {FILES} descriptors: {exhausted:.0} closed \
                 for want of descriptors, {:.0} for want of places, {open:.0} open",
                closed("connection_limit"),
            ));
            if exhausted == 0.0 {
                row.problems.push("descriptors did not run out".to_owned());
            }
        }
        Err(error) => row.problems.push(format!("the status server does not answer: {error}")),
    }

    drop(silent);
    let left = Instant::now();
    let back = loop {
        let apart = Tally::new(Weather::CALM, &[]);
        let newcomer = Clients::new(&stage.wire, small.setup.http, small.setup.https);
        match newcomer.ask(Way::Http1, Ask::Get, 0, &apart).await {
            Ok(()) => break Some(left.elapsed()),
            Err(_) if left.elapsed() > FAILOVER => break None,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    row.was_back(back);
    drop(load);
    // Its requests must have ended before it does.
    sleep(Duration::from_secs(1)).await;
    if !small.is_running()? {
        row.problems.push("lb did not survive".to_owned());
    } else if !small.stop(SETTLE).await? {
        row.problems.push("lb does not stop after SIGTERM".to_owned());
    }
    Ok(())
}
