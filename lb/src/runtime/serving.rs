//! A process that serves: what comes in, and what is done about it, to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::config_file::{self, ConfigFile};
use super::control::{self, Control};
use super::handover::{self, Attempt, Refusal, Testator};
use super::process::Options;
use super::reload::{Trigger, reload};
use super::signals::{Signals, Wish};
use super::{pid_file, service_manager};
use crate::admin::{ReloadReport, ReloadRequests};

/// Between two looks at whether all endpoints have been checked.
const CHECKED: Duration = Duration::from_millis(20);

/// How far stopping has come.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Serving.
    Serving,
    /// /readyz is 503, and connections are accepted until then.
    Delay(Instant),
    /// Nothing is accepted; what is open has time until then.
    Drain(Instant),
}

/// What comes in while the process runs.
enum Event {
    Wish(Wish),
    Admin(oneshot::Sender<Arc<ReloadReport>>),
    /// What came of a hand-over.
    HandedOver(Result<u32, Refusal>),
    /// The current stage is over.
    StageOver,
    /// Look for what is overdue.
    Look,
    /// Look at the configuration file.
    LookAtFile,
    /// No worker is left.
    Ended,
}

/// The process, serving.
pub(super) struct Serving {
    control: Control,
    signals: Signals,
    requests: ReloadRequests,
    stage: Stage,
    options: Options,
    /// How a new process is started.
    attempt: Attempt,
    /// What comes of the one that was.
    handover: Option<oneshot::Receiver<Result<u32, Refusal>>>,
}

impl Serving {
    /// A process that does not accept yet.
    pub(super) fn new(
        control: Control,
        signals: Signals,
        requests: ReloadRequests,
        options: Options,
        attempt: Attempt,
    ) -> Self {
        Self { control, signals, requests, stage: Stage::Serving, options, attempt, handover: None }
    }

    /// What is left to be waited for.
    pub(super) fn into_control(self) -> Control {
        self.control
    }

    /// Ends everything.
    pub(super) fn stop(&mut self) {
        self.control.stop();
    }

    /// Accepts: at once, or when the process before counts on it. Whether there is
    /// anything to go on with.
    pub(super) async fn begin(&mut self, testator: Option<Testator>) -> io::Result<bool> {
        let testator = match testator {
            None => None,
            Some(testator) => {
                if !self.all_checked().await {
                    return Ok(false);
                }
                // A thread: it waits for the other process.
                let said =
                    tokio::task::spawn_blocking(move || testator.prepared().map(|()| testator));
                Some(said.await??)
            }
        };
        self.control.open()?;
        let status = self.control.servers.status_address();
        let status = status.map_or_else(String::new, |address| address.to_string());
        tracing::info!(workers = self.control.workers.len(), %status, pid = std::process::id(), "serving");
        pid_file::write(self.options.pid_file.as_deref())?;
        if let Some(testator) = testator {
            testator.open()?;
        }
        service_manager::ready();
        Ok(true)
    }

    /// Waits until every endpoint has been checked. False: the process is to stop.
    async fn all_checked(&mut self) -> bool {
        let mut looks = interval(CHECKED);
        while !self.control.shared.unchecked().is_empty() {
            tokio::select! {
                _ = looks.tick() => {}
                wish = self.signals.next() => match wish {
                    Wish::Drain | Wish::Stop => return false,
                    Wish::Reopen => self.control.shared.access_log.reopen(),
                    Wish::Reload | Wish::HandOver => {
                        tracing::warn!("the process has not taken over yet");
                    }
                },
            }
        }
        true
    }

    /// Until the end.
    pub(super) async fn run(&mut self) {
        let mut looks = interval(control::LOOK);
        let mut file_looks = interval(config_file::LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        file_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut file = ConfigFile::new(self.control.config.clone());
        loop {
            let alarm = match self.stage {
                Stage::Serving => None,
                Stage::Delay(at) | Stage::Drain(at) => Some(at),
            };
            let event = tokio::select! {
                wish = self.signals.next() => Event::Wish(wish),
                Some(answer) = self.requests.recv() => Event::Admin(answer),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Event::StageOver,
                _ = looks.tick() => Event::Look,
                _ = file_looks.tick() => Event::LookAtFile,
                outcome = told(&mut self.handover) => Event::HandedOver(outcome),
                () = self.control.ended() => Event::Ended,
            };
            match event {
                Event::Ended => return,
                Event::Look => self.control.cut_overdue(std::time::Instant::now()),
                Event::LookAtFile => {
                    let watched = self.control.snapshot().process.watch;
                    if file.has_changed() && watched {
                        self.reload(&mut file, Trigger::File).await;
                    }
                }
                Event::Admin(answer) => {
                    if let Some(report) = self.reload(&mut file, Trigger::Admin).await {
                        // Err: whoever asked has left.
                        let _ = answer.send(report);
                    }
                }
                Event::HandedOver(outcome) => self.handed_over(outcome),
                Event::StageOver => {
                    if self.go_on() {
                        return;
                    }
                }
                Event::Wish(wish) => match wish {
                    Wish::Reopen => self.control.shared.access_log.reopen(),
                    Wish::Reload => {
                        self.reload(&mut file, Trigger::Signal).await;
                    }
                    Wish::HandOver => self.hand_over(),
                    Wish::Drain => self.begin_to_stop(),
                    Wish::Stop => {
                        self.control.stop();
                        return;
                    }
                },
            }
        }
    }

    async fn reload(
        &mut self,
        file: &mut ConfigFile,
        trigger: Trigger,
    ) -> Option<Arc<ReloadReport>> {
        if !matches!(self.stage, Stage::Serving) {
            tracing::warn!("the process is stopping; the configuration is not read again");
            return None;
        }
        if self.handover.is_some() {
            tracing::warn!(
                "a new process is about to take over; the configuration is not read again here"
            );
            return None;
        }
        file.loading();
        service_manager::reloading();
        let report = reload(&mut self.control, trigger).await;
        service_manager::ready();
        Some(report)
    }

    fn begin_to_stop(&mut self) {
        if matches!(self.stage, Stage::Serving) {
            let delay = self.control.snapshot().process.shutdown_delay;
            tracing::info!(?delay, "stopping");
            self.control.shared.drain();
            service_manager::stopping();
            // A new process is not counted on any more.
            self.handover = None;
            self.stage = Stage::Delay(Instant::now() + delay);
        }
    }

    fn hand_over(&mut self) {
        if !matches!(self.stage, Stage::Serving) || self.handover.is_some() {
            tracing::warn!("the process is handing over or stopping already");
            return;
        }
        let Control { sockets, servers, .. } = &self.control;
        let patience = self.control.snapshot().process.handover_timeout;
        match handover::begin(&self.attempt, sockets, servers, patience) {
            Ok(outcome) => self.handover = Some(outcome),
            Err(refusal) => self.handed_over(Err(refusal)),
        }
    }

    fn handed_over(&mut self, outcome: Result<u32, Refusal>) {
        self.handover = None;
        match outcome {
            Ok(pid) => {
                let drain_timeout = self.control.snapshot().process.drain_timeout;
                tracing::info!(pid, ?drain_timeout, "handed over; draining");
                service_manager::main_pid(pid);
                self.control.servers.close();
                self.control.drain(true);
                self.stage = Stage::Drain(Instant::now() + drain_timeout);
            }
            Err(error) => {
                tracing::error!(%error, "not handed over; this process goes on");
                self.control.shared.metrics.handover_successful.set(0);
                // Written again, it tells `lb upgrade` that nothing will come.
                if let Err(error) = pid_file::write(self.options.pid_file.as_deref()) {
                    tracing::error!(%error);
                }
            }
        }
    }

    /// The stage is over. Whether all is.
    fn go_on(&mut self) -> bool {
        match self.stage {
            Stage::Serving => false,
            Stage::Delay(_) => {
                let drain_timeout = self.control.snapshot().process.drain_timeout;
                tracing::info!(?drain_timeout, "draining: no new connections");
                self.control.drain(false);
                self.stage = Stage::Drain(Instant::now() + drain_timeout);
                false
            }
            Stage::Drain(_) => {
                let connections = self.control.connections();
                tracing::warn!(connections, "the drain timeout is over; what is still open is cut");
                self.control.stop();
                true
            }
        }
    }
}

/// Resolves when a hand-over has come to something; never, if there is none.
async fn told(
    handover: &mut Option<oneshot::Receiver<Result<u32, Refusal>>>,
) -> Result<u32, Refusal> {
    match handover {
        None => std::future::pending().await,
        Some(outcome) => match outcome.await {
            Ok(outcome) => outcome,
            // Its thread has panicked.
            Err(_) => Err(Refusal::Broken(io::ErrorKind::BrokenPipe.into())),
        },
    }
}
