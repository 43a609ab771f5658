//! Reloading: load, compile, and either all of it or nothing.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::changes;
use super::control::Control;
use crate::admin::{Outcome, ReloadReport, ReportedProblem};
use crate::compile::{Compiled, compile_file};

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

/// Reads the configuration again. The report is told in the log, in metrics, in
/// /readyz if it is bad, and to whoever asked.
pub(super) async fn reload(control: &mut Control, trigger: Trigger) -> Arc<ReloadReport> {
    let begun = Instant::now();
    let (file, registry) = (control.config.clone(), Arc::clone(&control.registry));
    // Beside the checks and the status server, which go on meanwhile.
    let compiled = tokio::task::spawn_blocking(move || compile_file(&file, &registry)).await;
    let mut report = ReloadReport {
        outcome: Outcome::Failed,
        trigger: trigger.name(),
        file: control.config.display().to_string(),
        time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        took_ms: 0,
        error: None,
        problems: Vec::new(),
        changes: Vec::new(),
        needs_new_process: Vec::new(),
    };
    match compiled {
        Ok(compiled) => apply(control, compiled, &mut report),
        Err(error) => report.error = Some(format!("compiling has failed: {error}")),
    }
    report.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tell(control, &report);
    let report = Arc::new(report);
    control.desk.put(Arc::clone(&report));
    report
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
    match control.commit(ready) {
        Ok(changes) => {
            report.outcome = Outcome::Applied;
            report.changes = changes;
        }
        Err(error) => {
            report.error = Some(format!("a socket cannot be handed to its worker: {error}"))
        }
    }
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
