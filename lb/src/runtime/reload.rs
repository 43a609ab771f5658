//! Reloading: load, compile, and either all of it or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use super::changes;
use super::control::{Control, now};
use crate::admin::{Outcome, ReloadReport, ReportedProblem};
use crate::compile::{Compiled, compile_file};
use crate::snapshot::Registry;

/// What main threads have. What is nested deeply takes some before it is refused.
const STACK: usize = 8 << 20;

/// Who asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// SIGHUP.
    Signal,
    /// The file has changed, and is watched.
    File,
    /// The admin server was asked.
    Admin,
}

impl Trigger {
    const fn name(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::File => "file changed",
            Self::Admin => "POST /api/reload",
        }
    }
}

/// A reload that has begun: the file is being compiled.
pub(super) struct Reloading {
    trigger: Trigger,
    answer: Option<oneshot::Sender<Arc<ReloadReport>>>,
    begun: Instant,
    compiled: Result<oneshot::Receiver<Compiled>, Option<String>>,
}

impl Reloading {
    /// Begins. `answer` is told of the report, too.
    pub(super) fn begin(
        control: &Control,
        trigger: Trigger,
        answer: Option<oneshot::Sender<Arc<ReloadReport>>>,
    ) -> Self {
        let (file, registry) = (control.config.clone(), Arc::clone(&control.registry));
        let compiled = compile(file, registry).map_err(Some);
        Self { trigger, answer, begun: Instant::now(), compiled }
    }

    /// What compiling came to. May be given up and asked again.
    pub(super) async fn compiled(&mut self) -> Result<Compiled, String> {
        match &mut self.compiled {
            Ok(compiled) => {
                compiled.await.map_err(|_| "compiling the configuration has panicked".to_owned())
            }
            Err(error) => Err(error.take().unwrap_or_default()),
        }
    }

    /// Makes it live, or nothing. The report is told in the log, in metrics, in /readyz if
    /// it is bad, and to whoever asked.
    pub(super) fn finish(self, control: &mut Control, compiled: Result<Compiled, String>) {
        let Self { trigger, answer, begun, compiled: _ } = self;
        let mut report = ReloadReport {
            outcome: Outcome::Failed,
            trigger: trigger.name(),
            file: control.config.display().to_string(),
            time: now().unsigned_abs(),
            took_ms: 0,
            error: None,
            problems: Vec::new(),
            changes: Vec::new(),
            needs_new_process: Vec::new(),
        };
        match compiled {
            Ok(compiled) => apply(control, compiled, &mut report),
            Err(error) => report.error = Some(error),
        }
        report.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(control, &report);
        let report = Arc::new(report);
        control.desk.put(Arc::clone(&report));
        if let Some(answer) = answer {
            // Err: whoever asked has left.
            let _ = answer.send(report);
        }
    }
}

/// Compiles on a thread of its own: everything else goes on meanwhile, and it has as much
/// stack as the start had.
fn compile(file: PathBuf, registry: Arc<Registry>) -> Result<oneshot::Receiver<Compiled>, String> {
    if would_wait(&file) {
        return Err("the file is a pipe or a device, which is read once, at the start".to_owned());
    }
    let (done, compiled) = oneshot::channel();
    let thread = thread::Builder::new().name("compile".to_owned()).stack_size(STACK);
    thread
        .spawn(move || {
            // Err: nobody waits for it any more.
            let _ = done.send(compile_file(&file, &registry));
        })
        .map_err(|error| format!("the configuration cannot be compiled: {error}"))?;
    Ok(compiled)
}

/// Reading it would wait for whoever writes, and this thread with it. At the start
/// that is what the operator wants (`--config <(…)`).
fn would_wait(file: &Path) -> bool {
    // Err: reading it says what is wrong.
    std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn apply(control: &mut Control, compiled: Compiled, report: &mut ReloadReport) {
    report.problems = compiled.problems.iter().map(ReportedProblem::from).collect();
    let Some(snapshot) = compiled.snapshot else {
        report.error = Some("the configuration has errors".to_owned());
        return;
    };
    let ready = match control.prepare(snapshot) {
        Ok(ready) => ready,
        Err(error) => {
            report.error = Some(error.to_string());
            return;
        }
    };
    report.needs_new_process = changes::needs_new_process(control.workers.len(), ready.process());
    report.changes = control.commit(ready);
    report.outcome = Outcome::Applied;
}

fn tell(control: &Control, report: &ReloadReport) {
    let ReloadReport { file, trigger, took_ms, problems, .. } = report;
    let time = i64::try_from(report.time).unwrap_or(i64::MAX);
    control.shared.metrics.reloaded(report.is_applied(), time);
    for problem in problems {
        match problem.severity {
            "error" => tracing::error!("{file}:{problem}"),
            _ => tracing::warn!("{file}:{problem}"),
        }
    }
    for line in &report.needs_new_process {
        tracing::warn!("not applied: {line}");
    }
    if let Some(error) = &report.error {
        tracing::error!(trigger, %error, "configuration not reloaded; the old one stays in use");
        return;
    }
    for line in &report.changes {
        tracing::info!("{line}");
    }
    tracing::info!(trigger, took_ms, changes = report.changes.len(), "configuration reloaded");
}
