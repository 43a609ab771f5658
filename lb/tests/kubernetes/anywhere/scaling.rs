//! Pods that come and go under load.

use std::time::Duration;

use crate::load::Load;
use crate::pods::Pod;
use crate::scene::{Scene, endpoints_become, of_pod};
use crate::slices::State;
use crate::stays::{Download, Tunnel};
use crate::support::Lb;

/// How long a pod serves after it has gone from the slices, as its `preStop` sees to.
const GRACE: Duration = Duration::from_secs(1);

/// Pods are checked, as they should be.
const CHECKED: &str = "health_check: { path: /check, interval: 1s }";

fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(Pod::name).collect()
}

async fn nothing_has_failed(lb: &Lb) {
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0, "{}", lb.log());
    assert_eq!(lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_pods_become_twenty_and_three_again_and_no_request_fails() {
    let scene = Scene::new().await;
    let mut pods = scene.pods(1..=3).await;
    scene.publish_ready(&pods).await;
    let lb = Lb::start(&scene.yaml(CHECKED)).await;
    endpoints_become(&lb, 3).await;
    let load = Load::start(&lb);
    load.reaches(&names(&pods)).await;

    pods.extend(scene.pods(4..=20).await);
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 20).await;
    load.reaches(&names(&pods)).await;

    let leaving = pods.split_off(3);
    let mut tunnel = Tunnel::open_to(&lb, &names(&leaving)).await;
    let download = Download::open_to(&lb, &names(&leaving)).await;
    // They get their SIGTERM.
    let states = pods.iter().map(|pod| of_pod(pod, State::Ready));
    let left = leaving.iter().map(|pod| of_pod(pod, State::Serving));
    scene.publish(states.chain(left).collect()).await;
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"terminating\""], 17.0).await;
    load.goes_on(200).await;
    let requests = || leaving.iter().map(Pod::requests).sum::<usize>();
    let before = requests();
    load.goes_on(200).await;
    assert_eq!(requests(), before, "who terminates takes nothing new");
    tunnel.echoes("still here").await;

    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 3).await;
    tokio::time::sleep(GRACE).await;
    leaving.iter().for_each(Pod::begin_to_end);
    load.goes_on(200).await;
    for pod in &leaving {
        let connected = tokio::net::TcpStream::connect(pod.address).await;
        assert!(connected.is_err(), "{} still listens", pod.address);
    }
    tunnel.echoes("until I am done").await;
    leaving.iter().for_each(Pod::finish);
    download.ends_whole().await;
    drop(tunnel);
    for pod in leaving {
        pod.end().await;
    }
    load.goes_on(200).await;
    load.stop().await;
    nothing_has_failed(&lb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pods_are_replaced_one_by_one_and_no_request_fails() {
    const REPLICAS: u8 = 5;
    let scene = Scene::new().await;
    let mut old = scene.pods(1..=REPLICAS).await;
    scene.publish_ready(&old).await;
    let lb = Lb::start(&scene.yaml(CHECKED)).await;
    endpoints_become(&lb, REPLICAS.into()).await;
    let load = Load::start(&lb);
    load.reaches(&names(&old)).await;
    let gone = names(&old);

    let mut new: Vec<Pod> = Vec::new();
    let mut ends = Vec::new();
    let publish = async |old: &[Pod], new: &[Pod], other: Option<(&Pod, State)>| {
        let ready = old.iter().chain(new).map(|pod| of_pod(pod, State::Ready));
        let other = other.map(|(pod, state)| of_pod(pod, state));
        scene.publish(ready.chain(other).collect()).await;
    };
    for number in 1..=REPLICAS {
        // One more than wanted (maxSurge), not ready at first.
        let comes = scene.pod(REPLICAS + number).await;
        publish(&old, &new, Some((&comes, State::NotReady))).await;
        lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"not_ready\""], 1.0).await;
        load.goes_on(20).await;
        assert_eq!(comes.requests(), 0, "it was not ready");
        new.push(comes);
        publish(&old, &new, None).await;
        load.reaches(&names(&new)).await;
        // One of the old ones terminates, serves on, and goes.
        let goes = old.remove(0);
        publish(&old, &new, Some((&goes, State::Serving))).await;
        lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"terminating\""], 1.0).await;
        load.goes_on(20).await;
        publish(&old, &new, None).await;
        // Nobody waits for it.
        ends.push(tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            goes.end().await;
        }));
    }
    for end in ends {
        end.await.unwrap();
    }
    endpoints_become(&lb, REPLICAS.into()).await;
    load.reaches(&names(&new)).await;
    let before = load.answers();
    load.goes_on(200).await;
    let after = load.answers();
    for name in gone {
        assert_eq!(before[&name], after[&name], "{name} has gone");
    }
    load.stop().await;
    nothing_has_failed(&lb).await;
}
