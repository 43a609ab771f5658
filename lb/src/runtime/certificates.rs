//! Certificates and ticket keys whose files change while we serve.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::{IntCounter, IntGauge};

use crate::observe::Metrics;
use crate::snapshot::Snapshot;
use crate::tls::{self, CertificateStore, ReloadOutcome, Reloader, Watch, WatchTimes};

/// How long before its end a certificate is worth a word, in seconds.
const NOTICE: i64 = 14 * DAY;

const DAY: i64 = 24 * 3600;

/// What is done while the process runs; ends when dropped.
pub(super) struct Certificates {
    _watch: Option<Watch>,
    reminder: tokio::task::JoinHandle<()>,
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.reminder.abort();
    }
}

/// Watches the files of every TLS listener, and reminds of certificates that
/// are about to expire, once a day.
pub(super) fn watch(snapshot: &Arc<Snapshot>, metrics: &Metrics) -> Certificates {
    let mut reloader = Reloader::new();
    let mut failing = HashMap::new();
    let mut reloaded = HashMap::new();
    for listener in snapshot.listeners.iter() {
        let Some(tls) = &listener.tls else { continue };
        let name = &*listener.name;
        reloader.add_certificates(name, tls.files.clone(), &tls.server.certificates);
        if let (Some(tickets), false) = (&tls.server.tickets, tls.ticket_key_files.is_empty()) {
            reloader.add_ticket_keys(name, tls.ticket_key_files.clone(), tickets);
        }
        let failed =
            Failing { files: HashSet::new(), gauge: metrics.certificate_reload_failed(name) };
        failing.insert(name.to_owned(), failed);
        reloaded.insert(name.to_owned(), metrics.certificate_reloads(name));
    }
    let reminder = tokio::spawn(remind(Arc::clone(snapshot)));
    if failing.is_empty() {
        return Certificates { _watch: None, reminder };
    }
    let mut report = Report { failing, reloaded };
    let watch = tls::watch(reloader, WatchTimes::default(), move |outcomes| {
        outcomes.iter().for_each(|outcome| report.tell(outcome));
    });
    match watch {
        Ok(watch) => {
            if let Some(error) = watch.trouble() {
                tracing::warn!(%error, "file changes are not announced here; looking every 10 s");
            }
            Certificates { _watch: Some(watch), reminder }
        }
        Err(error) => {
            tracing::error!(%error, "certificates are not watched");
            Certificates { _watch: None, reminder }
        }
    }
}

/// Tells what came of changed files.
struct Report {
    failing: HashMap<String, Failing>,
    reloaded: HashMap<String, IntCounter>,
}

/// A listener has failed while any of its files has.
struct Failing {
    files: HashSet<PathBuf>,
    gauge: IntGauge,
}

impl Report {
    fn tell(&mut self, outcome: &ReloadOutcome) {
        match outcome {
            ReloadOutcome::Reloaded { listener, file, names, expires } => {
                let names = names.join(",");
                tracing::info!(%listener, names, expires, "certificate reloaded");
                self.succeeded(listener, file);
            }
            ReloadOutcome::TicketKeysReloaded { listener, file } => {
                tracing::info!(%listener, "ticket keys reloaded");
                self.succeeded(listener, file);
            }
            ReloadOutcome::Failed { listener, file, error } => {
                tracing::error!(
                    %listener, file = %file.display(), %error,
                    "certificate_reload_failed: the old one stays in use"
                );
                if let Some(failing) = self.failing.get_mut(&**listener) {
                    failing.files.insert(file.clone());
                    failing.gauge.set(1);
                }
            }
        }
    }

    fn succeeded(&mut self, listener: &str, file: &Path) {
        if let Some(failing) = self.failing.get_mut(listener) {
            failing.files.remove(file);
            failing.gauge.set(i64::from(!failing.files.is_empty()));
        }
        if let Some(counter) = self.reloaded.get(listener) {
            counter.inc();
        }
    }
}

async fn remind(snapshot: Arc<Snapshot>) {
    let mut days = tokio::time::interval(Duration::from_secs(DAY as u64));
    // The first is now, and compiling has warned already.
    days.tick().await;
    loop {
        days.tick().await;
        for listener in snapshot.listeners.iter() {
            if let Some(tls) = &listener.tls {
                warn_of_expiry(&listener.name, &tls.server.certificates);
            }
        }
    }
}

fn warn_of_expiry(listener: &str, certificates: &CertificateStore) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    for (name, expires) in certificates.expiries() {
        let left = expires - now.as_secs() as i64;
        if left < NOTICE {
            let days = left.div_euclid(DAY);
            tracing::warn!(%listener, certificate = %name, days, "a certificate is about to expire");
        }
    }
}
