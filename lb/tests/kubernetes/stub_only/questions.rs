//! What `lb` asks, and that it asks nothing else.

use std::time::Instant;

use crate::api::{Fault, Verb};
use crate::pods::Pod;
use crate::scene::{Scene, ask, ask_host, endpoints_become, watch_becomes};
use crate::support::{Lb, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn one_list_and_one_watch_of_each_service_and_nothing_else() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let both = format!(
        "endpoints_from: [{{ {} }}, {{ {} }}]",
        scene.source("api", "http"),
        scene.source("other", "http")
    );
    let lb = Lb::start(&scene.yaml_of(&both)).await;
    lb.metric_becomes("lb_kubernetes_watch_up", &[], 2.0).await;
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 2).await;
    // Reloads that do not change the Services are no reason to ask.
    for number in 1..=3 {
        lb.reload(&scene.yaml_of(&format!("{both}, slow_start: {number}s"))).await;
    }
    let api = scene.cluster.api();
    assert_eq!((api.count(Verb::List), api.count(Verb::Watch)), (2, 2), "{:?}", api.asked());
    assert_eq!(api.watches(), 2);
    assert!(api.asked().iter().all(|asked| asked.namespace == scene.cluster.namespace));
    assert_eq!(api.asked_otherwise(), [""; 0]);
    // Whom nobody needs is asked for no longer.
    lb.reload(&scene.yaml("")).await;
    eventually("one watch to end", || (api.watches() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_list_is_waited_for_as_long_as_it_may_take() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let api = scene.cluster.api();
    api.fail(Verb::List, Fault::Hang);
    let yaml = scene.yaml("");
    let begun = Instant::now();
    let lb = Lb::launch(&yaml.replace("timeout: 10s", "timeout: 5s")).await;
    assert_eq!(lb.readiness().await.0, 503);
    assert_eq!(ask_host(&lb, "web.test").await, (200, "web".to_owned()));
    assert_eq!(ask(&lb).await.0, 503, "nobody is known when the time is over");
    assert!(begun.elapsed().as_secs_f64() > 4.9, "it has not waited");
    lb.ready().await;
    drop(lb);

    let lists = api.count(Verb::List);
    let lb = Lb::launch(&yaml.replace("timeout: 10s", "timeout: 1m")).await;
    eventually("a list", || (api.count(Verb::List) > lists).then_some(())).await;
    let waiting = async { ask(&lb).await };
    let mending = async {
        assert_eq!(lb.readiness().await.0, 503);
        // The one that hangs is cut; the next is answered.
        api.mend(Verb::List);
        api.stop();
        api.start_again().await;
    };
    let (answer, ()) = tokio::join!(waiting, mending);
    assert_eq!(answer, (200, pods[0].name()));
    lb.ready().await;
    watch_becomes(&lb, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pods_are_checked_before_it_is_ready() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=2).await;
    pods[1].set_healthy(false);
    scene.publish_ready(&pods).await;
    let check = "health_check: { path: /check, interval: 1h, failing_interval: 1h }";
    let lb = Lb::start(&scene.yaml(check)).await;
    assert_eq!(pods.iter().map(Pod::checks).collect::<Vec<_>>(), [1, 1]);
    for _ in 0..10 {
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
    }
}
