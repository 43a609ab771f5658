//! Slices that no real API server lets in.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use crate::scene::{SERVICE, Scene, ask, endpoints_become, of_pod, told};
use crate::slices::{State, endpoint, slice};

const NO_ADDRESSES: [&str; 8] =
    ["", "nowhere", "10.0.0.256", "10.0.0.1:80", "0.0.0.0", "224.0.0.1", "::", "fe80::1%eth0"];

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_none_are_left_out_and_it_is_said() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=1).await;
    let bad = NO_ADDRESSES.iter().map(|address| endpoint(&[address], State::Ready));
    let mut endpoints: Vec<_> = bad.collect();
    endpoints.push(Endpoint::default());
    endpoints.push(of_pod(&pods[0], State::Ready));
    scene.publish(endpoints).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 1).await;
    for _ in 0..10 {
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
    }
    let warnings = lb.log().lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(warnings, 1, "{}", lb.log());
    assert_eq!(lb.metric("lb_kubernetes_endpoints", &["state=\"ready\""]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_names_have_no_endpoints() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let names = vec![endpoint(&["api.example.com"], State::Ready)];
    let names = slice("api-fqdn", SERVICE, &[("http", scene.port)], names);
    scene.cluster.apply(EndpointSlice { address_type: "FQDN".to_owned(), ..names }).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 1).await;
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_none() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=1).await;
    let numbers = [None, Some(0), Some(-1), Some(65_536), Some(i32::MAX)];
    for (number, port) in numbers.into_iter().enumerate() {
        let name = Some("http".to_owned());
        let ports = vec![EndpointPort { name, port, ..EndpointPort::default() }];
        let endpoints = vec![of_pod(&pods[0], State::Ready)];
        let broken = slice(&format!("bad-{number}"), SERVICE, &[], endpoints);
        scene.cluster.apply(EndpointSlice { ports: Some(ports), ..broken }).await;
    }
    let lb = scene.start().await;
    endpoints_become(&lb, 0).await;
    assert_eq!(ask(&lb).await.0, 503);
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 1).await;
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
    assert_eq!(told(&lb).await, [""; 0]);
}
