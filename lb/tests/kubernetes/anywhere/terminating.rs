//! Pods that terminate, and what is left then.

use std::time::Instant;

use crate::pods::Pod;
use crate::scene::{PATIENCE, Scene, ask, endpoints_become, of_pod, problem_becomes, told};
use crate::scene::{SLICE, ask_host};
use crate::slices::State;
use crate::stays::{Download, Tunnel};
use crate::support::Lb;

/// Ten requests in a row, all answered by this one, as soon as it is so.
async fn only(lb: &Lb, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while in_a_row < 10 {
        let (status, name) = ask(lb).await;
        in_a_row = if (status, &*name) == (200, wanted) { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{status} {name}, never {wanted}\n{}", lb.log());
    }
}

/// Nobody is left, as soon as it is so.
async fn nobody(lb: &Lb) {
    let deadline = Instant::now() + PATIENCE;
    while ask(lb).await.0 != 503 {
        assert!(Instant::now() < deadline, "somebody still answers");
    }
    lb.access_line(|line| line["cause"] == "no_healthy_endpoint").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_serve_only_when_nothing_else_is_left() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=3).await;
    let [ready, serving, ending] = [&pods[0], &pods[1], &pods[2]];
    let publish = async |states: [State; 3]| {
        let each = pods.iter().zip(states).map(|(pod, state)| of_pod(pod, state));
        scene.publish(each.collect()).await;
    };
    publish([State::Ready, State::Serving, State::Ending]).await;
    let lb = scene.start().await;
    only(&lb, &ready.name()).await;
    for (state, count) in [("ready", 1.0), ("terminating", 1.0), ("not_ready", 1.0)] {
        let label = format!("state=\"{state}\"");
        assert_eq!(lb.metric("lb_kubernetes_endpoints", &[&label]).await, count, "{state}");
    }
    assert_eq!(serving.requests(), 0);
    publish([State::NotReady, State::Serving, State::Ending]).await;
    only(&lb, &serving.name()).await;
    publish([State::Ready, State::Serving, State::Ending]).await;
    only(&lb, &ready.name()).await;
    publish([State::Serving, State::Ending, State::Ending]).await;
    only(&lb, &ready.name()).await;
    publish([State::Ending, State::Ending, State::Ending]).await;
    nobody(&lb).await;
    assert_eq!(told(&lb).await, [""; 0], "a Service without pods is nothing wrong");
    scene.publish(Vec::new()).await;
    endpoints_become(&lb, 0).await;
    nobody(&lb).await;
    assert_eq!(ask_host(&lb, "web.test").await, (200, "web".to_owned()));
    scene.cluster.delete(SLICE).await;
    problem_becomes(&lb, Some("no_service")).await;
    nobody(&lb).await;
    publish([State::Unsaid, State::Ending, State::Ending]).await;
    only(&lb, &ready.name()).await;
    problem_becomes(&lb, None).await;
    assert_eq!(ending.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_come_before_them() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    let backup = &pods[1];
    let yaml = format!(
        "endpoints: [{{ address: \"{}\", backup: true }}], endpoints_from: {{ {} }}",
        backup.address,
        scene.source("api", "http"),
    );
    scene.publish(vec![of_pod(&pods[0], State::Ready)]).await;
    let lb = Lb::start(&scene.yaml_of(&yaml)).await;
    only(&lb, &pods[0].name()).await;
    assert_eq!(backup.requests(), 0);
    scene.publish(vec![of_pod(&pods[0], State::Serving)]).await;
    only(&lb, &backup.name()).await;
    backup.begin_to_end();
    // It refuses connections, and is ejected: nothing else is left now.
    only(&lb, &pods[0].name()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_they_have_goes_on_until_the_drain_timeout_after_they_have_gone() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    let names: Vec<_> = pods.iter().map(Pod::name).collect();
    let goes = &names[1..];
    scene.publish_ready(&pods).await;
    let yaml = scene.yaml("").replace("drain_timeout: 1h", "drain_timeout: 2s");
    let lb = Lb::start(&yaml).await;
    let mut tunnel = Tunnel::open_to(&lb, goes).await;
    let download = Download::open_to(&lb, goes).await;
    let mut other = Tunnel::open_to(&lb, &names[..1]).await;
    let states = [State::Ready, State::Serving];
    let terminating = pods.iter().zip(states).map(|(pod, state)| of_pod(pod, state));
    scene.publish(terminating.collect()).await;
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"terminating\""], 1.0).await;
    // Terminating is not gone: only from then on the time runs.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    tunnel.echoes("still").await;
    scene.publish_ready(&pods[..1]).await;
    endpoints_become(&lb, 1).await;
    let gone = Instant::now();
    tunnel.echoes("a little longer").await;
    tunnel.ends_early().await;
    // It has gone from the slices before we knew.
    assert!(gone.elapsed().as_millis() >= 1500, "{:?}", gone.elapsed());
    download.ends_early().await;
    for target in ["/tunnel", "/download"] {
        let is_cut =
            |line: &serde_json::Value| line["target"] == target && line["cause"] == "drain_timeout";
        lb.access_line(is_cut).await;
    }
    other.echoes("not me").await;
}
