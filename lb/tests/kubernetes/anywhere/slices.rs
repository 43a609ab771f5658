//! What slices of a Service can look like.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::pods::Pod;
use crate::scene::{
    SERVICE, Scene, ask, endpoints_become, metrics_come_to_say, of_pod, problem_becomes, told,
    watch_becomes,
};
use crate::slices::{State, endpoint, slice};
use crate::support::Lb;

/// Whoever answers so many requests.
async fn answer(lb: &Lb, requests: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..requests {
        let (status, name) = ask(lb).await;
        assert_eq!(status, 200, "{name}");
        names.insert(name);
    }
    names
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(Pod::name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_slices_are_one_service_and_others_are_not_it() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=5).await;
    for (number, pod) in pods[..4].iter().enumerate() {
        scene.put(&format!("api-{number}"), vec![of_pod(pod, State::Ready)]).await;
    }
    let other =
        slice("web-1", "web", &[("http", scene.port)], vec![of_pod(&pods[4], State::Ready)]);
    scene.cluster.apply(other).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 4).await;
    assert_eq!(answer(&lb, 16).await, names(&pods[..4]));
    // One goes, one grows, one comes, one is another Service's from now on.
    scene.cluster.delete("api-0").await;
    scene.put("api-4", vec![of_pod(&pods[4], State::Ready)]).await;
    endpoints_become(&lb, 4).await;
    let adopted =
        slice("api-3", "web", &[("http", scene.port)], vec![of_pod(&pods[3], State::Ready)]);
    scene.cluster.apply(adopted).await;
    endpoints_become(&lb, 3).await;
    let expected = [&pods[1], &pods[2], &pods[4]].map(Pod::name);
    assert_eq!(answer(&lb, 12).await, BTreeSet::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_two_slices_is_one_endpoint_in_its_best_condition() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    let (moves, stays) = (&pods[0], &pods[1]);
    scene.put("api-a", vec![of_pod(moves, State::NotReady)]).await;
    scene.put("api-b", vec![of_pod(moves, State::Ready), of_pod(stays, State::Ready)]).await;
    scene.put("api-c", vec![of_pod(moves, State::Serving)]).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 2).await;
    assert_eq!(answer(&lb, 10).await, names(&pods));
    assert!(moves.requests().abs_diff(stays.requests()) <= 4, "it has one share");
    let counts = async |state: &str| {
        lb.metric("lb_kubernetes_endpoints", &[&format!("state=\"{state}\"")]).await
    };
    assert_eq!((counts("ready").await, counts("terminating").await), (2.0, 0.0));
    // Now it is only where it terminates.
    scene.put("api-b", vec![of_pod(stays, State::Ready)]).await;
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"terminating\""], 1.0).await;
    scene.cluster.delete("api-c").await;
    endpoints_become(&lb, 1).await;
    assert_eq!(answer(&lb, 6).await, names(&pods[1..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_go_by_name_or_by_number() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    let ports = [("metrics", 9), ("http", scene.port)];
    let both = |pod: &Pod| vec![of_pod(pod, State::Ready)];
    scene.cluster.apply(slice("api-1", SERVICE, &ports, both(&pods[0]))).await;
    // While its number changes there are slices with the old one and with the new.
    let other = Pod::start((pods[1].address.ip(), 0).into()).await;
    let ports = [("metrics", 9), ("http", other.address.port())];
    scene.cluster.apply(slice("api-2", SERVICE, &ports, both(&other))).await;

    let lb = scene.start().await;
    endpoints_become(&lb, 2).await;
    answer(&lb, 8).await;
    assert!(other.requests() > 0, "each slice has its own number");
    assert_eq!(pods[1].requests(), 0);

    let by_number = |number: u16| {
        let source = scene.source(SERVICE, &number.to_string());
        scene.yaml_of(&format!("endpoints_from: {{ {source} }}"))
    };
    let lb = Lb::start(&by_number(scene.port)).await;
    endpoints_become(&lb, 1).await;
    assert_eq!(answer(&lb, 4).await, names(&pods[..1]));
    // Another port of the same pods.
    lb.reload(&by_number(scene.port).replace(&format!("port: {}", scene.port), "port: metrics"))
        .await;
    endpoints_become(&lb, 2).await;
    let metrics = lb.metrics().await;
    assert!(metrics.contains(&format!("endpoint=\"{}:9\"", pods[0].address.ip())), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_without_pods_says_nothing_and_pods_without_ports_are_told() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    let none = EndpointSlice { ports: None, ..slice("api-0", SERVICE, &[], Vec::new()) };
    scene.cluster.apply(none).await;
    let lb = scene.start().await;
    watch_becomes(&lb, true).await;
    assert_eq!(told(&lb).await, [""; 0]);
    let portless = slice("api-1", SERVICE, &[], vec![of_pod(&pods[0], State::Ready)]);
    scene.cluster.apply(portless).await;
    problem_becomes(&lb, Some("no_port")).await;
    endpoints_become(&lb, 0).await;
    assert_eq!(ask(&lb).await.0, 503);
    scene.put("api-2", vec![of_pod(&pods[0], State::Ready)]).await;
    endpoints_become(&lb, 1).await;
    assert_eq!(answer(&lb, 2).await, names(&pods));
    problem_becomes(&lb, None).await;
}

fn of_uid(endpoint: Endpoint, uid: &str) -> Endpoint {
    let target_ref = ObjectReference {
        kind: Some("Pod".to_owned()),
        name: Some(uid.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    Endpoint { target_ref: Some(target_ref), ..endpoint }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_two_addresses_is_one_endpoint() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    let uids = ["11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"];
    let fourth = pods.iter().zip(uids).map(|(pod, uid)| of_uid(of_pod(pod, State::Ready), uid));
    let sixth = ["fd00:10:244::1", "fd00:10:244::2"].iter().zip(uids);
    let sixth = sixth.map(|(address, uid)| of_uid(endpoint(&[address], State::Ready), uid));
    scene.put("api-v4", fourth.collect()).await;
    let sixth = slice("api-v6", SERVICE, &[("http", scene.port)], sixth.collect());
    scene.cluster.apply(EndpointSlice { address_type: "IPv6".to_owned(), ..sixth }).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 2).await;
    assert_eq!(answer(&lb, 8).await, names(&pods));
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
    // The one with only the other family is an endpoint as well.
    scene.put("api-v4", vec![of_uid(of_pod(&pods[0], State::Ready), uids[0])]).await;
    let label = format!("endpoint=\"[fd00:10:244::2]:{}\"", scene.port);
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"ready\""], 2.0).await;
    metrics_come_to_say(&lb, &label).await;
    endpoints_become(&lb, 2).await;
}
