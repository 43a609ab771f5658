//! An API server in the process of the test. It lists and watches EndpointSlices as the
//! real one does, as far as clients can tell, and fails as it is told to.

mod access;
mod answer;
mod faults;
mod follow;
mod question;
mod records;
mod selector;
mod serve;
mod store;
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use answer::Refusal;
pub use faults::{Fault, Order};
pub use records::Asked;

use access::Access;
use faults::Faults;
use records::Records;
use store::Store;

/// What can be done with EndpointSlices here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    List,
    Watch,
}

impl Verb {
    /// As it stands in rules of RBAC.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// A running API server.
pub struct ApiServer {
    pub address: SocketAddr,
    /// Whom its clients trust, PEM; nobody if it speaks plain HTTP.
    pub authority: Option<String>,
    core: Arc<Core>,
    tls: Option<TlsAcceptor>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// What connections share.
struct Core {
    store: Store,
    access: Access,
    faults: Faults,
    records: Records,
    orders: broadcast::Sender<Order>,
    watches: AtomicUsize,
    ended: AtomicUsize,
    gone_in_status: AtomicBool,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl ApiServer {
    /// One that speaks plain HTTP.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks HTTPS, with a certificate of an authority of its own.
    pub async fn start_with_tls() -> Self {
        Self::start_with(Some(serve::tls())).await
    }

    async fn start_with(tls: Option<(TlsAcceptor, String)>) -> Self {
        let core = Core {
            store: Store::default(),
            access: Access::default(),
            faults: Faults::default(),
            records: Records::default(),
            orders: broadcast::Sender::new(100),
            watches: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            gone_in_status: AtomicBool::new(false),
        };
        let core = Arc::new(core);
        let (tls, authority) = tls.unzip();
        let listener = serve::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve::serve(listener, tls.clone(), Arc::clone(&core)));
        Self { address, authority, core, tls, serving: Mutex::new(Some(serving)) }
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Nobody listens any more, and every connection is closed.
    pub fn stop(&self) {
        if let Some(serving) = self.serving.lock().unwrap().take() {
            serving.abort();
        }
    }

    /// Listens again, at the same address and with the same objects.
    pub async fn start_again(&self) {
        let listener = serve::bind_again(self.address).await;
        let serving = serve::serve(listener, self.tls.clone(), Arc::clone(&self.core));
        let before = self.serving.lock().unwrap().replace(tokio::spawn(serving));
        assert!(before.is_none(), "it was not stopped");
    }

    /// Creates or replaces a slice.
    pub fn apply(&self, slice: EndpointSlice) {
        self.core.store.apply(slice);
    }

    /// Deletes a slice.
    pub fn delete(&self, namespace: &str, name: &str) {
        self.core.store.delete(namespace, name);
    }

    /// Forgets what has changed: whoever is behind has to list again.
    pub fn compact(&self) {
        self.core.store.compact();
    }

    /// From now on, a watch from a version that is forgotten is refused in the status of
    /// the answer, not in its first line.
    pub fn say_gone_in_the_status(&self) {
        self.core.gone_in_status.store(true, Ordering::SeqCst);
    }

    /// Lets a token in; the user may do nothing but this.
    pub fn grant(&self, token: &str, user: &str, namespace: &str, verbs: &[Verb]) {
        self.core.access.grant(token, user, namespace, verbs);
    }

    /// Lets a token in no longer.
    pub fn expire(&self, token: &str) {
        self.core.access.expire(token);
    }

    /// From now on, this happens to every request of a kind.
    pub fn fail(&self, verb: Verb, fault: Fault) {
        self.core.faults.set(verb, Some(fault));
    }

    /// From now on, requests of a kind are answered.
    pub fn mend(&self, verb: Verb) {
        self.core.faults.set(verb, None);
    }

    /// Tells every watch that is open.
    pub fn order(&self, order: Order) {
        // Err: no watch is open.
        let _ = self.core.orders.send(order);
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.core.watches.load(Ordering::SeqCst)
    }

    /// How many watches have ended so far.
    pub fn ended_watches(&self) -> usize {
        self.core.ended.load(Ordering::SeqCst)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.core.records.all()
    }

    /// What else it was asked, all of which it has refused.
    pub fn asked_otherwise(&self) -> Vec<String> {
        self.core.records.others()
    }

    /// How often it was asked for this so far.
    pub fn count(&self, verb: Verb) -> usize {
        self.asked().iter().filter(|asked| asked.verb == verb).count()
    }
}
