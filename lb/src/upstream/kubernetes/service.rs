//! What is known of a Service.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::ServiceRef;
use super::problem::{FAILURES, Problem};
use super::said::Said;
use super::slices::{Counts, Merged, Pod};

/// A Service that endpoints of an upstream come from, and its latest pods.
#[derive(Debug)]
pub struct Service {
    upstream: Arc<str>,
    of: ServiceRef,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    pods: Arc<[Pod]>,
    counts: Counts,
    /// The list was whole once.
    listed: bool,
    /// Nobody waits for the first list any more.
    asked: bool,
    /// Since when the list is followed, as far as is known.
    followed: Option<Instant>,
    /// Since when what is known may be outdated.
    stale_since: Option<SystemTime>,
    /// Why the list is not followed.
    failure: Option<Problem>,
    /// What the log says of that.
    said: Said,
    /// What is missing in it.
    lack: Option<Problem>,
    remark: Option<String>,
    /// By [`FAILURES`].
    failures: [u64; FAILURES.len()],
}

/// How it stands, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Whether changes are followed.
    pub up: bool,
    /// Since when they are not.
    pub stale_since: Option<SystemTime>,
    /// How many pods are in which condition.
    pub counts: Counts,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// How often asking has failed so far, by [`Problem::reason`].
    pub failures: [(&'static str, u64); FAILURES.len()],
}

impl Service {
    /// A Service of which nothing is known yet.
    pub(in crate::upstream) fn new(upstream: Arc<str>, of: ServiceRef) -> Self {
        let known = Known {
            pods: Arc::default(),
            counts: Counts::default(),
            listed: false,
            asked: false,
            followed: None,
            stale_since: Some(SystemTime::now()),
            failure: None,
            said: Said::default(),
            lack: None,
            remark: None,
            failures: [0; FAILURES.len()],
        };
        Self { upstream, of, known: Mutex::new(known) }
    }

    /// Which one it is.
    pub fn of(&self) -> &ServiceRef {
        &self.of
    }

    /// Its pods as far as they are known.
    pub(in crate::upstream) fn pods(&self) -> Arc<[Pod]> {
        Arc::clone(&self.known.lock().pods)
    }

    /// Whether all of its pods have been known once: none is none then.
    pub fn is_listed(&self) -> bool {
        self.known.lock().listed
    }

    /// Whether its first list has come, or has been waited for long enough.
    pub(in crate::upstream) fn is_asked(&self) -> bool {
        self.known.lock().asked
    }

    /// How it stands.
    pub fn status(&self) -> ServiceStatus {
        let known = self.known.lock();
        ServiceStatus {
            up: known.stale_since.is_none(),
            stale_since: known.stale_since,
            counts: known.counts,
            problem: known.failure.clone().or_else(|| known.lack.clone()),
            failures: std::array::from_fn(|index| (FAILURES[index], known.failures[index])),
        }
    }

    /// Takes in all of its pods. Whether that changes anything for the upstream.
    pub(super) fn take_in(&self, merged: Merged) -> bool {
        let Merged { pods, counts, problem, remark } = merged;
        let mut known = self.known.lock();
        let changed = !known.listed || known.pods[..] != pods[..];
        if changed {
            known.pods = pods.into();
        }
        known.counts = counts;
        (known.listed, known.asked) = (true, true);
        let is_news = |before: &Option<Problem>| match (before, &problem) {
            (Some(before), Some(problem)) => !before.is_like(problem),
            (before, now) => before.is_some() != now.is_some(),
        };
        if is_news(&known.lack) {
            let (upstream, service) = (&self.upstream, &self.of);
            match &problem {
                Some(problem) => {
                    tracing::warn!(%upstream, %service, %problem, "no endpoints from Kubernetes")
                }
                None => tracing::info!(%upstream, %service, "Kubernetes has the Service now"),
            }
        }
        known.lack = problem;
        if remark != known.remark
            && let Some(remark) = &remark
        {
            tracing::warn!(upstream = %self.upstream, service = %self.of, remark, "some pods are not used");
        }
        known.remark = remark;
        changed
    }

    /// All of its slices are known, as of now.
    pub(super) fn listed(&self) {
        let mut known = self.known.lock();
        if known.followed.is_none() {
            known.stale_since = Some(SystemTime::now());
        }
    }

    /// Its slices are watched.
    pub(super) fn followed(&self) {
        let mut known = self.known.lock();
        if !known.listed {
            return;
        }
        known.followed.get_or_insert_with(Instant::now);
        known.stale_since = None;
        known.failure = None;
        if known.said.recovers() {
            tracing::info!(upstream = %self.upstream, service = %self.of, "endpoints from Kubernetes are followed again");
        }
    }

    /// Asking has failed: what is known stays, and is older from now on. How long it had
    /// been followed, if it was.
    pub(super) fn failed(&self, problem: Problem) -> Option<Duration> {
        let mut known = self.known.lock();
        let followed = known.unfollow();
        if let Some(index) = FAILURES.iter().position(|reason| *reason == problem.reason()) {
            known.failures[index] += 1;
        }
        if known.said.fails(&problem, Instant::now()) {
            tracing::warn!(
                upstream = %self.upstream,
                service = %self.of,
                %problem,
                known_pods = known.pods.len(),
                "endpoints from Kubernetes are not followed; those that are known stay"
            );
        }
        known.failure = Some(problem);
        followed
    }

    /// Nobody follows it: there is none yet, none any more, or changes have been missed.
    pub(super) fn unfollowed(&self) {
        self.known.lock().unfollow();
    }

    /// Nobody waits for the first list any more. Whether anybody had.
    pub(super) fn give_up_waiting(&self) -> bool {
        !std::mem::replace(&mut self.known.lock().asked, true)
    }
}

impl Known {
    /// How long it had been followed, if it was.
    fn unfollow(&mut self) -> Option<Duration> {
        self.stale_since.get_or_insert_with(SystemTime::now);
        self.followed.take().map(|since| since.elapsed())
    }
}
