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
use super::slices::{Slice, merge};
use super::{Cluster, Problem, Service};

/// By this label slices say whose they are.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Changes that come together are taken in together: a pod that moves from one slice to
/// another is gone for a moment.
const TOGETHER: Duration = Duration::from_millis(50);

/// Between two attempts after a failure: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

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
    let mut follower =
        Follower { service: &service, cluster: &cluster, changed: &changed, failures: 0 };
    tokio::select! {
        () = give_up => {}
        () = follower.run() => {}
    }
}

struct Follower<'f> {
    service: &'f Arc<Service>,
    cluster: &'f Cluster,
    changed: &'f Notify,
    /// In a row.
    failures: u32,
}

impl Follower<'_> {
    async fn run(&mut self) {
        loop {
            match self.cluster.client().await {
                Ok(made) => {
                    let patience = self.cluster.settings().timeout;
                    let client = listen(made.client.clone(), Arc::clone(self.service), patience);
                    let of = self.service.of();
                    let slices: Api<EndpointSlice> = Api::namespaced(client, &of.namespace);
                    let config = watcher::Config::default()
                        .labels(&format!("{SERVICE_NAME}={}", of.name))
                        .timeout(WATCH_FOR.as_secs() as u32);
                    if let Problem::Unauthorized(_) = self.take_in(watcher(slices, config)).await {
                        self.cluster.forget(&made);
                    }
                }
                Err(problem) => drop(self.fail(problem)),
            }
            self.pause().await;
        }
    }

    /// Takes in what a watcher says, until another has to begin; why.
    async fn take_in(
        &mut self,
        events: impl Stream<Item = watcher::Result<Event<EndpointSlice>>>,
    ) -> Problem {
        let patience = self.cluster.settings().timeout;
        let mut events = pin!(events);
        let mut slices = Slices::default();
        // Until when the list has to be whole, while there is one.
        let mut list_due = Some(Instant::now() + patience);
        // When what has changed is to be taken in.
        let mut due: Option<Instant> = None;
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
                event = next => event,
            };
            let event = match event {
                Ok(Some(event)) => event,
                // A watcher never ends.
                Ok(None) => return self.fail(Problem::Unreachable("the watch ended".to_owned())),
                Err(_) => return self.fail(Problem::too_slow("no whole list", patience)),
            };
            match event {
                Ok(Event::Init) => {
                    slices.listing.clear();
                    list_due = Some(Instant::now() + patience);
                }
                Ok(Event::InitApply(slice)) => self.keep(&mut slices.listing, &slice),
                Ok(Event::InitDone) => {
                    slices.present = std::mem::take(&mut slices.listing);
                    (list_due, due, self.failures) = (None, None, 0);
                    self.publish(&slices);
                }
                Ok(Event::Apply(slice)) => {
                    self.keep(&mut slices.present, &slice);
                    self.failures = 0;
                    due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                Ok(Event::Delete(slice)) => {
                    slices.present.remove(&name_of(&slice));
                    due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                Err(error) => match Problem::of_watcher(&error) {
                    None => self.service.missed(),
                    Some(problem @ Problem::Unauthorized(_)) => return self.fail(problem),
                    Some(problem) => {
                        if due.take().is_some() {
                            self.publish(&slices);
                        }
                        self.fail(problem);
                        self.pause().await;
                        // The pause was ours.
                        list_due = list_due.map(|_| Instant::now() + patience);
                    }
                },
            }
        }
    }

    fn keep(&self, slices: &mut BTreeMap<String, Slice>, slice: &EndpointSlice) {
        slices.insert(name_of(slice), Slice::of(slice, &self.service.of().port));
    }

    fn publish(&self, slices: &Slices) {
        let merged = merge(slices.present.values(), self.cluster.settings().zone.as_deref());
        if self.service.take_in(merged) {
            self.changed.notify_one();
        }
    }

    fn fail(&mut self, problem: Problem) -> Problem {
        self.failures = self.failures.saturating_add(1);
        self.service.failed(problem.clone());
        problem
    }

    /// Doubles with each failure in a row. A tenth earlier or later, so that many
    /// balancers do not ask at once when the API server is back.
    async fn pause(&self) {
        let (first, longest) = PAUSES;
        let doubled = first * (1 << self.failures.saturating_sub(1).min(6));
        sleep(doubled.min(longest).mul_f64(0.9 + fastrand::f64() * 0.2)).await;
    }
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
