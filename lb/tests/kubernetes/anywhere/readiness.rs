//! Ready when the first list has come, or has been waited for long enough.

use std::time::Instant;

use crate::kubeconfig::Access;
use crate::pods::Pod;
use crate::scene::{Scene, ask, ask_host, endpoints_become, problem_becomes, told};
use crate::support::Lb;

/// An access to a port where nobody listens.
fn to_nobody(scene: &Scene) -> Access {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    Access { server, ..scene.access.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_it_is_ready_after_the_timeout() {
    let scene = Scene::new().await;
    scene.write_kubeconfig(&to_nobody(&scene));
    let yaml = scene.yaml("").replace("timeout: 10s", "timeout: 5s");
    let begun = Instant::now();
    let lb = Lb::launch(&yaml).await;
    let (status, body) = lb.readiness().await;
    // `api` is what is waited for, and what is wrong is told already.
    assert_eq!(status, 503, "{body:#}");
    assert_eq!(body["reasons"].as_array().unwrap().len(), 1, "{body:#}");
    assert!(body["reasons"][0].as_str().unwrap().contains("\"api\""), "{body:#}");
    // Others are not waited for; who wants this one waits.
    assert_eq!(ask_host(&lb, "web.test").await, (200, "web".to_owned()));
    assert_eq!(ask(&lb).await.0, 503);
    let waited = begun.elapsed().as_secs_f64();
    assert!((4.9..30.0).contains(&waited), "{waited} s");
    lb.ready().await;
    problem_becomes(&lb, Some("unreachable")).await;
    let problems = told(&lb).await;
    assert!(problems.len() == 1 && problems[0].contains("upstream \"api\""), "{problems:?}");
    assert_eq!(lb.metric("lb_kubernetes_watch_up", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_before_the_first_list_are_served_after_it() {
    let scene = Scene::alone().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods).await;
    scene.cluster.stop().await;
    let yaml = scene.yaml("").replace("timeout: 10s", "timeout: 1m");
    let lb = Lb::launch(&yaml).await;
    lb.metric_becomes("lb_kubernetes_watch_up", &[], 0.0).await;
    assert_eq!(lb.readiness().await.0, 503);
    let waiting = async { ask(&lb).await };
    let starting = async {
        // It has been tried in vain before it is there.
        problem_becomes(&lb, Some("unreachable")).await;
        assert_eq!(lb.readiness().await.0, 503);
        scene.cluster.start().await;
    };
    let (answer, ()) = tokio::join!(waiting, starting);
    assert_eq!(answer.0, 200, "{answer:?}");
    assert!(pods.iter().map(Pod::name).any(|name| name == answer.1), "{answer:?}");
    lb.ready().await;
    endpoints_become(&lb, 2).await;
    problem_becomes(&lb, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_at_once_when_there_is_a_list() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let yaml = scene.yaml("").replace("timeout: 10s", "timeout: 1m");
    let begun = Instant::now();
    let lb = Lb::start(&yaml).await;
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
    assert!(begun.elapsed().as_secs() < 30, "it waited for the timeout");
    // So it is with a Service that has nobody, or that does not exist.
    let yaml = yaml.replace("service: api", "service: nobody");
    let lb = Lb::start(&yaml).await;
    assert_eq!(ask(&lb).await.0, 503);
    assert!(begun.elapsed().as_secs() < 55, "it waited for the timeout");
}
