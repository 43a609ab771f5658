//! Following a Service: its slices are listed and watched for as long as we run.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::line::{WATCH_FOR, listen};
use super::slices::{MOST_PODS, Slice, merge};
use super::{Cluster, Problem, Service};

/// By this label slices say whose they are.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Changes that come together are taken in together: a pod that moves from one slice to
/// another is gone for a moment.
const TOGETHER: Duration = Duration::from_millis(50);

/// Between two attempts after a failure: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// So many lists in a row that no watch could go on from are a failure.
const TOO_OFTEN: u32 = 3;

/// A watch that stood for so long has ended a row of failures.
const STEADY: Duration = Duration::from_secs(10);

/// As many slices of a Service are kept: with one pod in each, as many as are used.
const MOST_SLICES: usize = MOST_PODS;

/// So often all is listed anew, whatever the watch says: a cluster that was put back to an
/// older state tells its watchers nothing of it.
const LIST_ANEW: Duration = Duration::from_secs(600);

/// After so long without a failure, the next one is the first again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Follows a Service, and tells `changed` when its pods are known or are others.
pub(in crate::upstream) async fn follow(
    service: Arc<Service>,
    cluster: Arc<Cluster>,
    changed: Arc<Notify>,
) {
    let give_up = async {
        sleep(cluster.settings().timeout).await;
        if service.give_up_waiting() {
            changed.notify_one();
        }
        std::future::pending::<()>().await;
    };
    let _followed = Followed::begin(&service);
    let mut follower = Follower::new(&service, &cluster, &changed);
    tokio::select! {
        () = give_up => {}
        () = follower.run() => {}
    }
}

/// While it lives, somebody follows the Service. Who did before may have followed it at
/// another API server.
struct Followed<'s>(&'s Service);

impl<'s> Followed<'s> {
    fn begin(service: &'s Service) -> Self {
        service.unfollowed();
        Self(service)
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.unfollowed();
    }
}

pub(super) struct Follower<'f> {
    service: &'f Arc<Service>,
    cluster: &'f Arc<Cluster>,
    changed: &'f Notify,
    failed: Row,
    /// Lists that a watch could not go on from.
    outdated: Row,
}

/// How often something has happened in a row, and when last.
#[derive(Debug, Clone, Copy, Default)]
struct Row(Option<(u32, Instant)>);

impl Row {
    fn count(&mut self) -> u32 {
        let recent = self.0.filter(|(_, last)| last.elapsed() < FORGET_AFTER);
        let count = recent.map_or(0, |(count, _)| count).saturating_add(1);
        self.0 = Some((count, Instant::now()));
        count
    }

    /// Doubles with each time; none without. A tenth earlier or later, so that many
    /// balancers do not ask at once when the API server is back.
    fn pause(self) -> Duration {
        let (first, longest) = PAUSES;
        let Some((count, _)) = self.0 else { return Duration::ZERO };
        let doubled = first * (1 << (count - 1).min(6));
        doubled.min(longest).mul_f64(0.9 + fastrand::f64() * 0.2)
    }
}

impl<'f> Follower<'f> {
    pub(super) fn new(
        service: &'f Arc<Service>,
        cluster: &'f Arc<Cluster>,
        changed: &'f Notify,
    ) -> Self {
        Self { service, cluster, changed, failed: Row::default(), outdated: Row::default() }
    }

    async fn run(&mut self) {
        let client = listen(Arc::clone(self.cluster), Arc::clone(self.service));
        let of = self.service.of();
        let slices: Api<EndpointSlice> = Api::namespaced(client, &of.namespace);
        let config = watcher::Config::default()
            .labels(&format!("{SERVICE_NAME}={}", of.name))
            .timeout(WATCH_FOR.as_secs() as u32);
        loop {
            match self.take_in(watcher(slices.clone(), config.clone())).await {
                End::Failed => sleep(self.failed.pause()).await,
                End::Due => {}
                End::Outdated => {
                    // At once, unless that does not help.
                    let pause = self.outdated.pause();
                    if self.outdated.count() >= TOO_OFTEN {
                        self.fail(Problem::Refused(
                            "every watch is too far behind (410)".to_owned(),
                        ));
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    /// Takes in what a watcher says, until another has to begin.
    pub(super) async fn take_in(
        &mut self,
        events: impl Stream<Item = watcher::Result<Event<EndpointSlice>>>,
    ) -> End {
        let patience = self.cluster.settings().timeout;
        let mut events = pin!(events);
        let mut slices = Slices::default();
        // Until when the list has to be whole, while there is one.
        let mut list_due = Some(Instant::now() + patience);
        // When what has changed is to be taken in.
        let mut due: Option<Instant> = None;
        let mut list_anew = pin!(sleep(LIST_ANEW.mul_f64(0.9 + fastrand::f64() * 0.2)));
        loop {
            let next = async {
                match list_due {
                    Some(deadline) => timeout_at(deadline, events.next()).await,
                    None => Ok(events.next().await),
                }
            };
            let event = tokio::select! {
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.publish(&slices);
                    continue;
                }
                () = &mut list_anew, if list_due.is_none() && due.is_none() => return End::Due,
                event = next => event,
            };
            let event = match event {
                Ok(Some(event)) => event,
                // A watcher never ends.
                Ok(None) => return End::Outdated,
                Err(_) => {
                    self.fail(Problem::too_slow("no whole list", patience));
                    return End::Failed;
                }
            };
            match event {
                Ok(Event::Init) => {
                    slices.listing.clear();
                    list_due = Some(Instant::now() + patience);
                }
                Ok(Event::InitApply(slice)) => self.keep(&mut slices.listing, &slice),
                Ok(Event::InitDone) => {
                    slices.present = std::mem::take(&mut slices.listing);
                    (list_due, due) = (None, None);
                    self.service.listed();
                    self.publish(&slices);
                }
                Ok(Event::Apply(slice)) => {
                    self.keep(&mut slices.present, &slice);
                    due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                Ok(Event::Delete(slice)) => {
                    slices.present.remove(&name_of(&slice));
                    due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                Err(error) => match Problem::of_watcher(&error) {
                    // The watcher would list anew by itself where this is said in the
                    // stream, but not where it is the answer.
                    None => {
                        self.service.unfollowed();
                        return End::Outdated;
                    }
                    Some(problem) => {
                        if due.take().is_some() {
                            self.publish(&slices);
                        }
                        // What was sent and not understood is lost to the watcher, which
                        // goes on behind it; a connection that broke has lost nothing.
                        let is_lost = !matches!(problem, Problem::Unreachable(_));
                        self.fail(problem);
                        if is_lost {
                            return End::Failed;
                        }
                        sleep(self.failed.pause()).await;
                        // The pause was ours.
                        list_due = list_due.map(|_| Instant::now() + patience);
                    }
                },
            }
        }
    }

    fn keep(&self, slices: &mut BTreeMap<String, Slice>, slice: &EndpointSlice) {
        let name = name_of(slice);
        if slices.len() < MOST_SLICES || slices.contains_key(&name) {
            slices.insert(name, Slice::of(slice, &self.service.of().port));
        }
    }

    fn publish(&self, slices: &Slices) {
        let merged = merge(slices.present.values(), self.cluster.settings().zone.as_deref());
        if self.service.take_in(merged) {
            self.changed.notify_one();
        }
    }

    fn fail(&mut self, problem: Problem) {
        if self.service.failed(problem).is_some_and(|followed| followed >= STEADY) {
            self.failed = Row::default();
        }
        self.failed.count();
    }
}

/// Why another watcher has to begin, with a list of all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Something went wrong after which it cannot be gone on.
    Failed,
    /// Changes have been missed.
    Outdated,
    /// It is time.
    Due,
}

/// The slices of a Service by their names.
#[derive(Debug, Default)]
struct Slices {
    present: BTreeMap<String, Slice>,
    /// A list that is not whole yet.
    listing: BTreeMap<String, Slice>,
}

fn name_of(slice: &EndpointSlice) -> String {
    slice.metadata.name.clone().unwrap_or_default()
}
