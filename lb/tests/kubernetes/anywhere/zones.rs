//! Hints for zones.

use std::collections::BTreeSet;
use std::time::Instant;

use k8s_openapi::api::discovery::v1::Endpoint;

use crate::pods::Pod;
use crate::scene::{PATIENCE, Scene, ask, of_pod};
use crate::slices::{State, hinted};
use crate::support::Lb;

/// Waits until just these answer: twenty requests in a row, and each is asked.
async fn these(lb: &Lb, pods: &[&Pod]) {
    let wanted: BTreeSet<_> = pods.iter().map(|pod| pod.name()).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut names = BTreeSet::new();
        for _ in 0..20 {
            let (status, name) = ask(lb).await;
            assert_eq!(status, 200, "{name}");
            names.insert(name);
        }
        if names == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{names:?}, never {wanted:?}");
    }
}

fn here(pod: &Pod) -> Endpoint {
    hinted(of_pod(pod, State::Ready), &["eu-1a"])
}

fn there(pod: &Pod) -> Endpoint {
    hinted(of_pod(pod, State::Ready), &["eu-1b"])
}

fn in_zone(scene: &Scene, zone: &str) -> String {
    let zoned = scene.yaml("").replace("timeout: 10s", &format!("timeout: 10s, zone: {zone}"));
    assert!(zoned.contains("zone: "), "{zoned}");
    zoned
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_for_other_zones_serve_when_those_for_this_one_cannot() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=4).await;
    let [a, b, c, d] = [&pods[0], &pods[1], &pods[2], &pods[3]];
    let for_both = hinted(of_pod(d, State::Ready), &["eu-1b", "eu-1a"]);
    scene.publish(vec![here(a), there(b), there(c), for_both]).await;
    let lb = Lb::start(&in_zone(&scene, "eu-1a")).await;
    these(&lb, &[a, d]).await;
    assert_eq!((b.requests(), c.requests()), (0, 0));
    // Those for here refuse connections, and are ejected.
    for pod in [a, d] {
        pod.begin_to_end();
    }
    these(&lb, &[b, c]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_count_only_when_all_have_some_and_one_is_for_this_zone() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=3).await;
    let [a, b, c] = [&pods[0], &pods[1], &pods[2]];
    scene.publish(vec![here(a), there(b), of_pod(c, State::Ready)]).await;
    let lb = Lb::start(&in_zone(&scene, "eu-1a")).await;
    these(&lb, &[a, b, c]).await;
    scene.publish(vec![here(a), there(b), there(c)]).await;
    these(&lb, &[a]).await;
    // Nobody asks the one that is not ready for whom it is meant.
    scene.publish(vec![here(a), there(b), of_pod(c, State::NotReady)]).await;
    these(&lb, &[a]).await;
    scene.publish(vec![there(a), there(b), there(c)]).await;
    these(&lb, &[a, b, c]).await;
    scene.publish(vec![here(a), there(b), there(c)]).await;
    these(&lb, &[a]).await;
    // Without a zone, and in one that nobody is meant for.
    for zone in ["\"\"", "eu-1c"] {
        lb.reload(&in_zone(&scene, zone)).await;
        these(&lb, &[a, b, c]).await;
        lb.reload(&in_zone(&scene, "eu-1b")).await;
        these(&lb, &[b, c]).await;
    }
}
