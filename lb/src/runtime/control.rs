//! The control of a process: it makes snapshots live, tells the workers, and
//! ends what has to end. It runs on the main thread, beside the checks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::certificates::{self, Certificates};
use super::changes;
use super::servers::Servers;
use super::shares::{self, Limits, Shares};
use super::sockets::SocketSet;
use super::worker::{Order, Round, Worker};
use super::{StartError, descriptors};
use crate::admin::Desk;
use crate::engine::{Era, Live, Shared, Stage};
use crate::observe::AccessLog;
use crate::snapshot::{Registry, Snapshot};
use crate::upstream::{self, Checker};

/// What the process is made of.
pub(super) struct Control {
    /// The configuration file.
    pub(super) config: PathBuf,
    pub(super) registry: Arc<Registry>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<Worker>,
    pub(super) sockets: SocketSet,
    pub(super) desk: Arc<Desk>,
    pub(super) servers: Servers,
    files: u64,
    limits: Limits,
    shares: Shares,
    checker: Checker,
    certificates: Certificates,
    /// Eras that have ended, whose connections may stay until then.
    ending: Vec<(Instant, Arc<Era>)>,
    /// The servers' sockets, before anything accepts.
    unopened: Option<super::servers::Prepared>,
}

/// Everything of a snapshot that may fail, done.
pub(super) struct Ready {
    snapshot: Snapshot,
    sockets: super::sockets::Prepared,
    servers: super::servers::Prepared,
    access_log: Option<crate::observe::PreparedLog>,
}

impl Ready {
    /// What it says of the process.
    pub(super) fn process(&self) -> &crate::snapshot::Process {
        &self.snapshot.process
    }
}

/// The parts that exist before the first snapshot is live.
pub(super) struct Parts {
    pub(super) config: PathBuf,
    pub(super) registry: Arc<Registry>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<Worker>,
    pub(super) sockets: SocketSet,
    pub(super) desk: Arc<Desk>,
    pub(super) servers: Servers,
    pub(super) files: u64,
    pub(super) limits: Limits,
}

impl Control {
    /// Begins with the first snapshot, which is live already: everything but
    /// accepting. Inside a runtime.
    pub(super) fn start(
        parts: Parts,
        sockets: super::sockets::Prepared,
        servers: super::servers::Prepared,
    ) -> Self {
        let Parts {
            config,
            registry,
            shared,
            workers,
            sockets: set,
            desk,
            servers: running,
            files,
            limits,
        } = parts;
        let snapshot = Arc::clone(&shared.live().snapshot);
        let (shares, _) = shares::succeed(None, &snapshot, &limits, &shared.metrics);
        let mut control = Self {
            config,
            registry,
            checker: Checker::start(&snapshot.upstreams),
            certificates: certificates::watch(&snapshot, &shared.metrics),
            shared,
            workers,
            sockets: set,
            desk,
            servers: running,
            files,
            limits,
            shares,
            ending: Vec::new(),
            unopened: None,
        };
        control.sockets.commit(&snapshot.listeners, sockets);
        control.shared.metrics.reload_time.set(now());
        control.unopened = Some(servers);
        control
    }

    /// Accepts, on listeners and at the status and admin servers.
    pub(super) fn open(&mut self) {
        if let Some(servers) = self.unopened.take() {
            self.servers.commit(servers, &self.shared, &self.desk);
        }
        let snapshot = self.snapshot();
        self.tell_workers(&snapshot);
    }

    /// The snapshot that is live.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.live().snapshot)
    }

    /// Does what may fail. When it does, nothing has changed.
    pub(super) fn prepare(&mut self, snapshot: Snapshot) -> Result<Ready, StartError> {
        let before = self.snapshot();
        let sockets = self.sockets.prepare(&snapshot.listeners)?;
        let servers = self.servers.prepare(&snapshot.process)?;
        let access_log = match before.process.access_log == snapshot.process.access_log {
            true => None,
            false => Some(AccessLog::prepare(&snapshot.process.access_log)?),
        };
        Ok(Ready { snapshot, sockets, servers, access_log })
    }

    /// Makes a snapshot live. What of it is other than before, in words.
    pub(super) fn commit(&mut self, ready: Ready) -> Vec<String> {
        let Ready { snapshot, sockets, servers, access_log } = ready;
        let (before, new) = (self.shared.live(), Arc::new(snapshot));
        let changes = changes::changes(&before.snapshot, &new);
        if let Some(prepared) = access_log {
            self.shared.access_log.switch(prepared);
        }
        self.limits.room.set_limit(descriptors::room(&new.process, &new.listeners, self.files));

        let old = Some((&*before.snapshot, &self.shares));
        let (shares, ended) = shares::succeed(old, &new, &self.limits, &self.shared.metrics);
        self.shares = shares;
        // Before another snapshot is live: their connections never see it.
        let until = Instant::now() + before.snapshot.process.drain_timeout;
        for era in ended {
            era.end(Arc::clone(&before));
            self.ending.push((until, era));
        }
        // Before it takes requests: endpoints of the old snapshot stay where none of
        // the new is known to be healthy yet.
        self.checker.update(&new.upstreams);
        self.shared.replace(Live::new(Arc::clone(&new), &self.shared.metrics));
        for upstream in &before.snapshot.upstreams {
            if !new.upstreams.iter().any(|other| other.name == upstream.name) {
                upstream::Registry::upstream_left(upstream);
            }
        }
        self.certificates.end();
        self.certificates = certificates::watch(&new, &self.shared.metrics);
        self.sockets.commit(&new.listeners, sockets);
        self.servers.commit(servers, &self.shared, &self.desk);
        self.tell_workers(&new);
        changes
    }

    fn tell_workers(&mut self, snapshot: &Arc<Snapshot>) {
        let places = self.sockets.places(&snapshot.listeners, &self.shares);
        for (worker, places) in self.workers.iter().zip(places) {
            worker.tell(Order::Serve(Round { snapshot: Arc::clone(snapshot), places }));
        }
    }

    /// Cuts what a reload has ended and is still open after its time. Called every
    /// now and then.
    pub(super) fn cut_overdue(&mut self, now: Instant) {
        let drain_timeout = self.snapshot().process.drain_timeout;
        let mut cut = self.registry.upstreams.cut_overdue(now, drain_timeout);
        self.ending.retain(|(until, era)| {
            // Nobody else has it: its connections are closed.
            if Arc::strong_count(era) == 1 {
                return false;
            }
            if *until <= now && !era.is_cut() {
                tracing::warn!(listener = %era.name(), "the drain timeout is over; what is still open is cut");
                era.advance(Stage::Cut);
                cut = true;
            }
            true
        });
        if cut {
            self.shared.cut();
            self.workers.iter().for_each(|worker| worker.tell(Order::WakeAll));
        }
    }

    /// Accepts nothing more. Connections close when they have done what they are
    /// doing. `others` accept at our sockets from now on.
    pub(super) fn drain(&mut self, others: bool) {
        self.shared.drain();
        for era in self
            .shares
            .values()
            .map(|share| &share.era)
            .chain(self.ending.iter().map(|(_, era)| era))
        {
            era.advance(Stage::Closing);
        }
        for worker in &self.workers {
            if others {
                worker.tell(Order::Leave);
            }
            worker.tell(Order::Drain);
        }
        self.sockets.close();
        self.checker = Checker::default();
    }

    /// Ends everything.
    pub(super) fn stop(&mut self) {
        self.drain(false);
        self.workers.iter().for_each(|worker| worker.tell(Order::Stop));
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> i64 {
        let snapshot = self.snapshot();
        let listeners = snapshot.listeners.iter();
        listeners.map(|listener| self.shared.metrics.listener(&listener.name).1.get()).sum()
    }

    /// Resolves when no worker is left.
    pub(super) async fn ended(&self) {
        for worker in &self.workers {
            worker.ended().await;
        }
    }
}

/// In seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How often what is overdue is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(250);
