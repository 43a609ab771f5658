//! The keeper of an upstream: one task that brings the endpoints after what the
//! sources say, has them checked and names and Services followed, and keeps the books.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::check::keep_checking;
use super::dns::{self, Resolver};
use super::kubernetes::{self, Cluster, ServiceRef};
use super::{EndpointState, Upstream};

/// What a keeper goes by. A reload gives others.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// The upstream as the live snapshot has it.
    pub(super) upstream: Arc<Upstream>,
    /// Who looks names up.
    pub(super) resolver: Arc<Resolver>,
    /// Whom Services are asked of.
    pub(super) cluster: Arc<Cluster>,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps an upstream until nobody gives orders any more.
pub(super) async fn keep(mut orders: watch::Receiver<Orders>) {
    let mut books = interval(Duration::from_secs(1));
    books.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keeper = Keeper {
        orders: orders.clone(),
        changed: Arc::default(),
        resolver: None,
        names: HashMap::new(),
        cluster: None,
        services: HashMap::new(),
        checks: HashMap::new(),
    };
    loop {
        let now = orders.borrow_and_update().clone();
        keeper.obey(&now);
        tokio::select! {
            () = keeper.changed.notified() => {}
            () = keep_books(&now.upstream, &mut books) => {}
            ordered = orders.changed() => if ordered.is_err() { return },
        }
    }
}

/// Never ends by itself.
async fn keep_books(upstream: &Upstream, ticks: &mut Interval) {
    loop {
        ticks.tick().await;
        upstream.shared.budget.tick(upstream.requests());
        upstream.keep_books(Instant::now());
        // An ejection may have ended, which nobody says.
        upstream.shared.queue.look_again();
    }
}

struct Keeper {
    orders: watch::Receiver<Orders>,
    /// Told when a name has other addresses, a Service other pods, or an endpoint
    /// another health.
    changed: Arc<Notify>,
    resolver: Option<Arc<Resolver>>,
    /// Who follows a name.
    names: HashMap<Arc<str>, Task>,
    cluster: Option<Arc<Cluster>>,
    /// Who follows a Service.
    services: HashMap<ServiceRef, Task>,
    /// Who checks an endpoint, by its id.
    checks: HashMap<u64, Task>,
}

impl Keeper {
    /// Brings everything after the orders, the names, the Services and the health as
    /// they are now. What is as it should be is left alone.
    fn obey(&mut self, orders: &Orders) {
        let upstream = &orders.upstream;
        self.follow_names(orders);
        self.follow_services(orders);
        let before = upstream.members();
        upstream.arrange(&before.endpoints);
        let members = upstream.members();
        self.check(upstream, members.endpoints.iter().map(|endpoint| &endpoint.state));

        let first_round = &upstream.shared.first_round;
        if !first_round.is_over()
            && upstream.names().iter().all(|name| name.is_asked())
            && upstream.services().all(|service| service.is_asked())
            && (upstream.check.is_none()
                || members.endpoints.iter().all(|endpoint| endpoint.state.health.is_checked()))
        {
            first_round.finish();
        }
    }

    fn follow_names(&mut self, Orders { upstream, resolver, .. }: &Orders) {
        if self.resolver.as_ref().is_none_or(|known| !Arc::ptr_eq(known, resolver)) {
            // Others may know other addresses: ask them now.
            self.names.clear();
            self.resolver = Some(Arc::clone(resolver));
        }
        let names = upstream.names();
        self.names.retain(|followed, _| names.iter().any(|name| name.name() == followed));
        for name in names {
            self.names.entry(Arc::clone(name.name())).or_insert_with(|| {
                let resolver = Arc::clone(resolver);
                let look_up = move |name: Arc<str>| {
                    let resolver = Arc::clone(&resolver);
                    async move { resolver.look_up(&name).await }
                };
                Task::spawn(dns::follow(name, look_up, Arc::clone(&self.changed)))
            });
        }
    }

    fn follow_services(&mut self, Orders { upstream, cluster, .. }: &Orders) {
        if self.cluster.as_ref().is_none_or(|known| !Arc::ptr_eq(known, cluster)) {
            // Another one may have other pods: list them now.
            self.services.clear();
            self.cluster = Some(Arc::clone(cluster));
        }
        self.services.retain(|followed, _| upstream.services().any(|s| s.of() == followed));
        for service in upstream.services() {
            self.services.entry(service.of().clone()).or_insert_with(|| {
                let (service, cluster) = (Arc::clone(service), Arc::clone(cluster));
                Task::spawn(kubernetes::follow(service, cluster, Arc::clone(&self.changed)))
            });
        }
    }

    fn check<'e>(
        &mut self,
        upstream: &Upstream,
        endpoints: impl Iterator<Item = &'e Arc<EndpointState>> + Clone,
    ) {
        if upstream.check.is_none() {
            self.checks.clear();
            return;
        }
        let ids: HashSet<u64> = endpoints.clone().map(|endpoint| endpoint.id()).collect();
        self.checks.retain(|id, _| ids.contains(id));
        for endpoint in endpoints {
            self.checks.entry(endpoint.id()).or_insert_with(|| {
                let (state, changed) = (Arc::clone(endpoint), Arc::clone(&self.changed));
                Task::spawn(keep_checking(self.orders.clone(), state, changed))
            });
        }
    }
}
