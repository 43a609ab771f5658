//! Who has the upstreams of the live snapshot kept: endpoints checked, names and
//! Services followed, books kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::dns::Resolver;
use super::keeper::{self, Orders, Task};
use super::kubernetes::Cluster;
use super::{ClusterSettings, DnsSettings, Upstream};

/// The keepers of one snapshot's upstreams; dropping it stops them.
#[derive(Debug, Default)]
pub struct Checker {
    upstreams: HashMap<Arc<str>, Kept>,
    resolver: Option<Arc<Resolver>>,
    cluster: Option<Arc<Cluster>>,
}

#[derive(Debug)]
struct Kept {
    orders: watch::Sender<Orders>,
    _keeper: Task,
}

impl Checker {
    /// Starts checking. Must be called inside a runtime, which should not be
    /// one that carries requests.
    pub fn start(upstreams: &[Arc<Upstream>]) -> Self {
        let mut checker = Self::default();
        checker.update(upstreams);
        checker
    }

    /// Goes on with the upstreams of another snapshot, inside the same runtime.
    ///
    /// An endpoint that both have is checked on as before; one that is new is checked
    /// at once; those that are gone are not checked any more. To be called before
    /// the snapshot takes requests: where none of the new endpoints is known to be
    /// healthy, those of the old snapshot that are stay among the new one's until
    /// one is.
    pub fn update(&mut self, upstreams: &[Arc<Upstream>]) {
        let names: HashSet<&Arc<str>> = upstreams.iter().map(|upstream| &upstream.name).collect();
        self.upstreams.retain(|name, _| names.contains(name));
        for upstream in upstreams {
            let upstream = Arc::clone(upstream);
            let resolver = self.resolver(&upstream.dns);
            let cluster = self.cluster(&upstream.kubernetes);
            let orders = Orders { upstream, resolver, cluster };
            match self.upstreams.get(&orders.upstream.name) {
                Some(kept) => {
                    take_over(&kept.orders.borrow().upstream, &orders.upstream);
                    kept.orders.send_replace(orders);
                }
                None => {
                    let name = Arc::clone(&orders.upstream.name);
                    let (orders, receiver) = watch::channel(orders);
                    let keeper = Task::spawn(keeper::keep(receiver));
                    self.upstreams.insert(name, Kept { orders, _keeper: keeper });
                }
            }
        }
    }

    /// The same as before, unless it is to be another.
    fn resolver(&mut self, settings: &DnsSettings) -> Arc<Resolver> {
        match &self.resolver {
            Some(resolver) if resolver.settings() == settings => Arc::clone(resolver),
            _ => {
                let resolver = Arc::new(Resolver::new(settings.clone()));
                self.resolver = Some(Arc::clone(&resolver));
                resolver
            }
        }
    }

    /// Likewise.
    fn cluster(&mut self, settings: &ClusterSettings) -> Arc<Cluster> {
        match &self.cluster {
            Some(cluster) if cluster.settings() == settings => Arc::clone(cluster),
            _ => {
                let cluster = Arc::new(Cluster::new(settings.clone()));
                self.cluster = Some(Arc::clone(&cluster));
                cluster
            }
        }
    }
}

fn take_over(old: &Arc<Upstream>, new: &Arc<Upstream>) {
    if Arc::ptr_eq(old, new) {
        return;
    }
    let before = old.members();
    if old.check.is_none() && new.check.is_some() {
        // They took requests unchecked; that there are checks now is no reason to
        // stop before the first.
        for endpoint in &before.endpoints {
            endpoint.state.health.assume_healthy();
        }
    }
    new.take_over(&before.endpoints);
    if old.connects_as(new) {
        // Who waits for a place was decided by the old snapshot: it is to find the new
        // endpoints too.
        old.members.store(new.members.load_full());
        new.shared.queue.look_again();
    }
}
