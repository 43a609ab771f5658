//! Everything that runs: three backends, lb in front of them, the load.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::certificates;
use crate::lb::Lb;
use crate::load::outcome::Weather;
use crate::load::schedule::Schedule;
use crate::load::tunnels::Tunnels;
use crate::load::wire::Wire;
use crate::load::{Clients, Current, Load};
use crate::ports::Ports;
use crate::process::count_descriptors;
use crate::setup::{Balance, Engine, Setup};
use crate::tally::Tally;
use crate::watch::Watch;

pub(crate) const BACKENDS: usize = 3;

/// Longer than the hand-overs take together: tunnels stay with the process that
/// has them, and must not be cut because the next hand-over is tried.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// For the first checks of all endpoints, and for tunnels to stand.
const START: Duration = Duration::from_secs(60);

/// Twice what a client waits, since it may send a request again.
pub(crate) const SETTLE: Duration = Duration::from_secs(60);

/// What is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) lb: PathBuf,
    pub(crate) backend: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) balance: Balance,
    pub(crate) per_second: u32,
    pub(crate) tunnels: usize,
}

/// What runs. Fields are dropped in this order: nobody misses what stops later.
#[derive(Debug)]
pub(crate) struct Stage {
    load: Option<Load>,
    pub(crate) tunnels: Tunnels,
    pub(crate) watch: Watch,
    pub(crate) lb: Lb,
    pub(crate) backends: Vec<Backend>,
    pub(crate) plan: Plan,
    pub(crate) ports: Ports,
    pub(crate) wire: Wire,
    pub(crate) current: Current,
    /// What lb had open before the first client came.
    pub(crate) descriptors_at_first: usize,
    /// Of the time in which nothing is broken.
    pub(crate) quiet: Arc<Tally>,
}

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

impl Stage {
    /// Starts all but the load.
    pub(crate) async fn start(plan: Plan, directory: &Path) -> Result<Self> {
        let mut ports = Ports::new();
        let wire = Wire::new(certificates::make(directory)?);
        let mut backends = Vec::new();
        for index in 0..BACKENDS {
            let address = ports.pick()?;
            backends.push(Backend::start(&plan.backend, directory, index, address).await?);
        }
        let setup = setup(&plan, &mut ports, directory, "lb", &backends)?;
        let lb = Lb::start(&plan.lb, setup, None).await?;

        let quiet = Arc::new(Tally::new(Weather::CALM, &[]));
        let current = Current::new(Arc::clone(&quiet));
        let watch = Watch::start(lb.setup.status, &lb.setup.endpoints);
        let deadline = Instant::now() + START;
        if watch.until(deadline, |seen| seen.are_all_in()).await.is_none() {
            return Err("lb does not find all backends healthy".into());
        }
        let descriptors_at_first = count_descriptors(lb.pid())?;
        let tunnels = Tunnels::start(plan.tunnels, &wire, lb.setup.https, &current);
        if !tunnels.all_open(START).await {
            return Err(format!("{} tunnels do not open", plan.tunnels).into());
        }
        Ok(Self {
            load: None,
            tunnels,
            watch,
            lb,
            backends,
            plan,
            ports,
            wire,
            current,
            descriptors_at_first,
            quiet,
        })
    }

    /// Starts the load, on connections that stand already.
    pub(crate) async fn start_load(&mut self) -> Result<()> {
        let setup = &self.lb.setup;
        let clients = Clients::new(&self.wire, setup.http, setup.https);
        clients.warm_up(16).await.map_err(|failure| failure.label())?;
        let schedule = Schedule::new(self.plan.per_second);
        self.load = Some(Load::start(Arc::new(clients), schedule, self.current.clone()));
        Ok(())
    }

    /// From now on `tally` counts; returns when nothing that is under way is
    /// counted in another any more.
    pub(crate) async fn count_in(&self, tally: &Arc<Tally>) -> Result<()> {
        let before = self.current.get();
        self.current.set(Arc::clone(tally));
        if before.settled(SETTLE).await { Ok(()) } else { Err("requests have no end".into()) }
    }

    /// What one more lb in front of the same backends runs with.
    pub(crate) fn another_setup(&mut self, name: &'static str) -> io::Result<Setup> {
        let directory = self.lb.setup.directory.clone();
        setup(&self.plan, &mut self.ports, &directory, name, &self.backends)
    }

    /// A new watch: the old one's connection is to the process that it asked first.
    pub(crate) fn watch_anew(&mut self) {
        self.watch = Watch::start(self.lb.setup.status, &self.lb.setup.endpoints);
    }

    /// Ends the load and the tunnels, with their connections.
    pub(crate) async fn end_load(&mut self) -> Result<Option<String>> {
        self.load = None;
        let has_settled = self.current.get().settled(SETTLE).await;
        self.tunnels = Tunnels::start(0, &self.wire, self.lb.setup.https, &self.current);
        Ok((!has_settled).then(|| "requests have no end".to_owned()))
    }

    /// Ends lb as an operator would, when nobody is there. Says what was wrong with
    /// that.
    pub(crate) async fn stop(&mut self) -> Result<Option<String>> {
        self.end_load().await?;
        sleep(Duration::from_millis(500)).await;
        let longest = DRAIN_TIMEOUT / 2;
        let has_stopped = self.lb.stop(longest).await?;
        Ok((!has_stopped)
            .then(|| format!("lb does not stop within {} s after SIGTERM", longest.as_secs())))
    }
}

fn setup(
    plan: &Plan,
    ports: &mut Ports,
    directory: &Path,
    name: &'static str,
    backends: &[Backend],
) -> io::Result<Setup> {
    let endpoints: Vec<SocketAddr> =
        backends.iter().map(|backend| backend.proxy.address()).collect();
    Ok(Setup {
        directory: directory.to_owned(),
        name,
        status: ports.pick()?,
        http: ports.pick()?,
        https: ports.pick()?,
        endpoints,
        engine: plan.engine,
        balance: plan.balance,
        drain_timeout: DRAIN_TIMEOUT,
        max_connections: None,
        generation: 0,
    })
}
