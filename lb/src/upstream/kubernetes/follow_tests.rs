//! What a follower makes of what a watcher says. Nobody is asked; the clock is paused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{Error, Event, Result};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::follow::{End, Follower};
use super::{Cluster, ClusterSettings, Service, ServiceRef};
use crate::values::ServicePort;

const PATIENCE: Duration = Duration::from_secs(10);

struct Scene {
    service: Arc<Service>,
    cluster: Arc<Cluster>,
    changed: Notify,
}

impl Scene {
    fn new() -> Self {
        let settings =
            ClusterSettings { kubeconfig: None, context: None, zone: None, timeout: PATIENCE };
        let of = ServiceRef {
            namespace: "a".into(),
            name: "b".into(),
            port: ServicePort::Name("http".parse().unwrap()),
        };
        Self {
            service: Arc::new(Service::new("api".into(), of)),
            cluster: Arc::new(Cluster::new(settings)),
            changed: Notify::new(),
        }
    }

    /// Says all of this, each so many milliseconds after the one before, and nothing more.
    async fn takes_in(&self, said: Vec<(u64, Result<Event<EndpointSlice>>)>) -> End {
        let events = stream::iter(said).then(|(after, event)| async move {
            sleep(Duration::from_millis(after)).await;
            event
        });
        let mut follower = Follower::new(&self.service, &self.cluster, &self.changed);
        follower.take_in(events.chain(stream::pending())).await
    }

    fn pods(&self) -> Vec<String> {
        self.service.pods().iter().map(|pod| pod.address.ip().to_string()).collect()
    }
}

fn slice(name: &str, address: &str) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": { "name": name }, "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 80 }], "endpoints": [{ "addresses": [address] }],
    }))
    .unwrap()
}

fn list(address: &str) -> Vec<(u64, Result<Event<EndpointSlice>>)> {
    let events = [Event::Init, Event::InitApply(slice("one", address)), Event::InitDone];
    events.into_iter().map(|event| (0, Ok(event))).collect()
}

fn not_understood() -> Error {
    let error = serde_json::from_str::<u8>("x").unwrap_err();
    Error::WatchFailed(kube::Error::SerdeError(error))
}

#[tokio::test(start_paused = true)]
async fn all_is_listed_anew_every_ten_minutes() {
    let scene = Scene::new();
    let begun = Instant::now();
    assert_eq!(scene.takes_in(list("10.0.0.1")).await, End::Due);
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    assert!((9.0..=11.0).contains(&minutes), "{minutes}");
    assert_eq!(scene.pods(), ["10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_has_its_time() {
    let scene = Scene::new();
    let mut said = list("10.0.0.1");
    said[1].0 = 9_000;
    said[2].0 = 2_000;
    let begun = Instant::now();
    assert_eq!(scene.takes_in(said).await, End::Failed);
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(!scene.service.is_listed(), "a part of a list is none");
    assert_eq!(scene.service.status().problem.unwrap().reason(), "unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_changes_slices_does_not_leave() {
    let scene = Scene::new();
    let mut said = list("10.0.0.1");
    said.push((1_000, Ok(Event::Delete(slice("one", "10.0.0.1")))));
    said.push((30, Ok(Event::Apply(slice("two", "10.0.0.1")))));
    said.push((1_000, Err(not_understood())));
    let watch = async {
        for _ in 0..2_000 {
            sleep(Duration::from_millis(1)).await;
            assert_eq!(scene.pods(), ["10.0.0.1"]);
        }
    };
    let (end, ()) = tokio::join!(scene.takes_in(said), watch);
    assert_eq!(end, End::Failed);
}

/// The watcher would go on behind it, and never know what it was.
#[tokio::test(start_paused = true)]
async fn after_what_is_not_understood_all_is_listed_anew() {
    let scene = Scene::new();
    let mut said = list("10.0.0.1");
    said.push((1_000, Ok(Event::Apply(slice("two", "10.0.0.2")))));
    said.push((1, Err(not_understood())));
    assert_eq!(scene.takes_in(said).await, End::Failed);
    assert_eq!(scene.pods(), ["10.0.0.1", "10.0.0.2"], "what was understood is taken in");
    assert_eq!(scene.service.status().problem.unwrap().reason(), "refused");
}
