//! What the tests need of a cluster: the API server in this process, or a real one.
//!
//! The real one is taken when the environment names it: `K8S_TEST_KUBECONFIG` is the
//! kubeconfig of somebody who may do everything, `K8S_TEST_APISERVER` an executable that
//! takes `stop` or `start` and returns when that is done. All of 10.244.0.0/16 has to be
//! addresses of this machine then: the real one takes no loopback addresses for pods.

mod real;
mod stub;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::api::{ApiServer, Verb};
use crate::kubeconfig::Access;
use real::Real;
use stub::Stub;

/// Many tests may use the real API server, or one that stops it.
static TURN: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// How many tests can have pods at addresses of their own; those beyond are for the
/// one that has very many.
const MOST_TESTS: u8 = 200;

/// A number that no other test has.
fn next_number() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < MOST_TESTS, "there are more tests than networks for their pods");
    number
}

/// An API server with a namespace for this test alone.
pub struct Cluster {
    pub namespace: String,
    number: u8,
    kind: Kind,
    // Given back after everything else.
    _turn: Turn,
}

enum Kind {
    Stub(Box<Stub>),
    Real(Box<Real>),
}

#[expect(dead_code, reason = "held, not looked at")]
enum Turn {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
    /// The API server is the test's own.
    Own,
}

impl Cluster {
    /// One that the test shares with others.
    pub async fn shared() -> Self {
        if real::is_wanted() {
            Self::real(Turn::Shared(Arc::clone(&TURN).read_owned().await)).await
        } else {
            Self::stub_with_tls().await
        }
    }

    /// One that the test may stop.
    pub async fn alone() -> Self {
        if real::is_wanted() {
            Self::real(Turn::Alone(Arc::clone(&TURN).write_owned().await)).await
        } else {
            Self::stub_with_tls().await
        }
    }

    /// The API server in this process, which fails as it is told to; over plain HTTP.
    pub async fn stub() -> Self {
        Self::stub_of(Stub::start().await)
    }

    /// The same over HTTPS.
    pub async fn stub_with_tls() -> Self {
        Self::stub_of(Stub::start_with_tls().await)
    }

    fn stub_of(stub: Stub) -> Self {
        let number = next_number();
        let kind = Kind::Stub(Box::new(stub));
        Self { namespace: format!("test-{number}"), number, kind, _turn: Turn::Own }
    }

    async fn real(turn: Turn) -> Self {
        let number = next_number();
        let namespace = format!("test-{}-{number}", std::process::id());
        let kind = Kind::Real(Box::new(Real::connect(&namespace).await));
        Self { namespace, number, kind, _turn: turn }
    }

    /// The API server in this process.
    pub fn api(&self) -> &ApiServer {
        match &self.kind {
            Kind::Stub(stub) => &stub.api,
            Kind::Real(_) => panic!("a test of what only the stub does"),
        }
    }

    /// The address of a pod of this test, from 1.
    pub fn pod_address(&self, pod: u8) -> IpAddr {
        self.address(self.number, pod)
    }

    /// The address of one of very many pods, for the one test that has so many.
    pub fn far_address(&self, pod: u16) -> IpAddr {
        let [high, low] = pod.to_be_bytes();
        self.address(MOST_TESTS + high, low)
    }

    fn address(&self, third: u8, fourth: u8) -> IpAddr {
        match self.kind {
            Kind::Stub(_) => Ipv4Addr::new(127, 10, third, fourth).into(),
            Kind::Real(_) => Ipv4Addr::new(10, 244, third, fourth).into(),
        }
    }

    /// Creates or replaces a slice of the namespace.
    pub async fn apply(&self, mut slice: EndpointSlice) {
        slice.metadata.namespace = Some(self.namespace.clone());
        match &self.kind {
            Kind::Stub(stub) => stub.api.apply(slice),
            Kind::Real(real) => real.apply(slice).await,
        }
    }

    /// Deletes a slice of the namespace.
    pub async fn delete(&self, name: &str) {
        match &self.kind {
            Kind::Stub(stub) => stub.api.delete(&self.namespace, name),
            Kind::Real(real) => real.delete(name).await,
        }
    }

    /// A service account that may do this with EndpointSlices of the namespace, and
    /// nothing else.
    pub async fn user(&self, name: &str, verbs: &[Verb]) -> Access {
        match &self.kind {
            Kind::Stub(stub) => stub.user(&self.namespace, name, verbs),
            Kind::Real(real) => real.user(name, verbs).await,
        }
    }

    /// From now on, a service account may do this.
    pub async fn allow(&self, name: &str, verbs: &[Verb]) {
        match &self.kind {
            Kind::Stub(stub) => stub.allow(&self.namespace, name, verbs),
            Kind::Real(real) => real.allow(name, verbs).await,
        }
    }

    /// What a service account had to show is worth nothing any more.
    pub async fn expire(&self, name: &str) {
        match &self.kind {
            Kind::Stub(stub) => stub.expire(name),
            Kind::Real(real) => real.expire(name).await,
        }
    }

    /// Something new to show, after it has expired.
    pub async fn renew(&self, name: &str) -> Access {
        match &self.kind {
            Kind::Stub(stub) => stub.renew(&self.namespace, name),
            Kind::Real(real) => real.renew(name).await,
        }
    }

    /// How long the API server is to be away where that is tried: a minute with a real one;
    /// this process has nothing that would be different after a minute.
    pub fn outage(&self) -> Duration {
        match self.kind {
            Kind::Stub(_) => Duration::from_secs(3),
            Kind::Real(_) => Duration::from_secs(60),
        }
    }

    /// Stops the API server; returns when it is down.
    pub async fn stop(&self) {
        match &self.kind {
            Kind::Stub(stub) => stub.api.stop(),
            Kind::Real(real) => real.stop(),
        }
    }

    /// Starts it again; returns when it is ready.
    pub async fn start(&self) {
        match &self.kind {
            Kind::Stub(stub) => stub.api.start_again().await,
            Kind::Real(real) => real.start(),
        }
    }
}
