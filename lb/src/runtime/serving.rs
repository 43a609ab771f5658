//! A process that serves: what comes in, and what is done about it, to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{SIGHUP, kill};
use nix::unistd::Pid;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::config_file::{self, ConfigFile};
use super::control::{self, Control};
use super::handover::{self, Attempt, Refusal, Testator};
use super::process::Options;
use super::reload::{Reloading, Trigger};
use super::signals::{Signals, Wish};
use super::{pid_file, service_manager};
use crate::admin::{ReloadReport, ReloadRequests};
use crate::compile::Compiled;

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
    /// The configuration is compiled.
    Compiled(Box<Result<Compiled, String>>),
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
    /// The file, as it was when it was last read.
    file: ConfigFile,
    /// What is being read.
    reloading: Option<Reloading>,
    /// It was asked for once more in the meantime.
    asked_meanwhile: bool,
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
        Self {
            control,
            signals,
            requests,
            stage: Stage::Serving,
            file: options.file(),
            options,
            attempt,
            handover: None,
            reloading: None,
            asked_meanwhile: false,
        }
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
                pid_file::test(self.options.pid_file.as_deref())?;
                // A thread: it waits for the other process.
                let said =
                    tokio::task::spawn_blocking(move || testator.prepared().map(|()| testator));
                let testator = said.await??;
                testator.outlive()?;
                Some(testator)
            }
        };
        self.control.open();
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

    /// Waits until every Service has been listed and every endpoint checked. There is
    /// somebody who knows more, and serves: other than at a start, no time is long enough
    /// to do without a list. False: the process is to stop.
    async fn all_checked(&mut self) -> bool {
        let mut looks = interval(CHECKED);
        let shared = Arc::clone(&self.control.shared);
        while shared.has_unlisted() || !shared.unchecked().is_empty() {
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
        loop {
            let alarm = match self.stage {
                Stage::Serving => None,
                Stage::Delay(at) | Stage::Drain(at) => Some(at),
            };
            let event = tokio::select! {
                wish = self.signals.next() => Event::Wish(wish),
                Some(answer) = self.requests.recv(), if self.reloading.is_none() => Event::Admin(answer),
                compiled = compiled(&mut self.reloading) => Event::Compiled(Box::new(compiled)),
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
                    if self.reloading.is_none() && self.file.has_changed() && watched {
                        self.reload(Trigger::File, None);
                    }
                }
                Event::Admin(answer) => self.reload(Trigger::Admin, Some(answer)),
                Event::Compiled(compiled) => self.compiled(*compiled),
                Event::HandedOver(outcome) => self.handed_over(outcome),
                Event::StageOver => {
                    if self.go_on() {
                        return;
                    }
                }
                Event::Wish(wish) => match wish {
                    Wish::Reopen => self.control.shared.access_log.reopen(),
                    Wish::Reload => self.reload(Trigger::Signal, None),
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

    /// Begins to read the configuration again. What comes of it is an event of its own:
    /// however long a file takes, signals are heard.
    fn reload(&mut self, trigger: Trigger, answer: Option<oneshot::Sender<Arc<ReloadReport>>>) {
        if !matches!(self.stage, Stage::Serving) {
            // Said once of a file that has changed.
            self.file.loading();
            tracing::warn!("the process is stopping; the configuration is not read again");
            return;
        }
        if self.handover.is_some() {
            // A file is looked at again when this is over.
            if trigger != Trigger::File {
                self.asked_meanwhile = true;
                tracing::warn!(
                    "a new process is about to take over; the configuration is read again after that"
                );
            }
            return;
        }
        if self.reloading.is_some() {
            self.asked_meanwhile = true;
            return;
        }
        self.file.loading();
        service_manager::reloading();
        self.reloading = Some(Reloading::begin(&self.control, trigger, answer));
    }

    fn compiled(&mut self, compiled: Result<Compiled, String>) {
        let Some(reloading) = self.reloading.take() else { return };
        reloading.finish(&mut self.control, compiled);
        service_manager::ready();
        if std::mem::take(&mut self.asked_meanwhile) {
            self.reload(Trigger::Signal, None);
        }
    }

    fn begin_to_stop(&mut self) {
        if matches!(self.stage, Stage::Serving) {
            let delay = self.control.snapshot().process.shutdown_delay;
            tracing::info!(?delay, "stopping");
            self.control.shared.drain();
            service_manager::stopping();
            // A new process is not counted on any more, and what is being read is not
            // either.
            (self.handover, self.reloading) = (None, None);
            self.stage = Stage::Delay(Instant::now() + delay);
        }
    }

    fn hand_over(&mut self) {
        let already = match (&self.stage, &self.handover, &self.reloading) {
            (Stage::Serving, None, None) => None,
            (Stage::Serving, Some(_), _) => Some("the process is handing over already"),
            (Stage::Serving, None, Some(_)) => Some("the configuration is being read; try again"),
            _ => Some("the process is stopping; it does not hand over"),
        };
        if let Some(already) = already {
            tracing::warn!("{already}");
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
                if self.asked_meanwhile {
                    pass_on_reload(pid);
                }
                self.control.servers.close();
                self.control.drain(true);
                self.stage = Stage::Drain(Instant::now() + drain_timeout);
            }
            Err(error) => {
                tracing::error!(%error, "not handed over; this process goes on");
                self.control.shared.metrics.handover_successful.set(0);
                // Written again, it tells `lb upgrade` that nothing will come.
                if let Err(error) = pid_file::write(self.options.pid_file.as_deref()) {
                    tracing::error!(%error, "the pid file is as it was");
                }
                if std::mem::take(&mut self.asked_meanwhile) {
                    self.reload(Trigger::Signal, None);
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

/// The new process compiled before that was asked for.
fn pass_on_reload(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().map(Pid::from_raw) else { return };
    if let Err(error) = kill(pid, SIGHUP) {
        tracing::warn!(%error, "the new process cannot be told to read the configuration again");
    }
}

/// Resolves when the configuration is compiled; never, if it is not being read.
async fn compiled(reloading: &mut Option<Reloading>) -> Result<Compiled, String> {
    match reloading {
        None => std::future::pending().await,
        Some(reloading) => reloading.compiled().await,
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
