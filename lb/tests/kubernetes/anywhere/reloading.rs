//! Reloads, which change who is asked and what for.

use std::collections::BTreeSet;

use crate::kubeconfig;
use crate::pods::Pod;
use crate::scene::{ACCOUNT, Scene, ask, endpoints_become, of_pod, problem_becomes, watch_becomes};
use crate::slices::{State, slice};
use crate::support::Lb;

async fn requests(lb: &Lb, pod: &Pod) -> f64 {
    let label = format!("endpoint=\"{}\"", pod.address);
    lb.metric("lb_endpoint_requests_total", &[&label]).await
}

async fn answers(lb: &Lb, pods: &[&Pod]) {
    let mut names = BTreeSet::new();
    for _ in 0..4 * pods.len() {
        let (status, name) = ask(lb).await;
        assert_eq!(status, 200, "{name}");
        names.insert(name);
    }
    let wanted: BTreeSet<_> = pods.iter().map(|pod| pod.name()).collect();
    assert_eq!(names, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_come_and_go_and_who_stays_keeps_its_counters() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=3).await;
    let [fixed, pod, other] = [&pods[0], &pods[1], &pods[2]];
    scene.publish(vec![of_pod(pod, State::Ready)]).await;
    let ready = |pod: &Pod| vec![of_pod(pod, State::Ready)];
    scene.cluster.apply(slice("other-1", "other", &[("http", scene.port)], ready(other))).await;
    let fixed_only = format!("endpoints: [{{ address: \"{}\" }}]", fixed.address);
    let lb = Lb::start(&scene.yaml_of(&fixed_only)).await;
    answers(&lb, &[fixed]).await;
    assert!(!lb.metrics().await.contains("lb_kubernetes_watch_up{"), "nobody is asked");

    let from = |service: &str| format!("endpoints_from: {{ {} }}", scene.source(service, "http"));
    lb.reload(&scene.yaml_of(&format!("{fixed_only}, {}", from("api")))).await;
    endpoints_become(&lb, 2).await;
    answers(&lb, &[fixed, pod]).await;
    let before = requests(&lb, fixed).await + requests(&lb, pod).await;
    assert_eq!(before, 12.0, "4, and 8 more");

    // Something else changes: nobody is asked anew, and nothing is missing meanwhile.
    let same = scene.yaml_of(&format!("{fixed_only}, {}, slow_start: 1s", from("api")));
    lb.reload(&same).await;
    assert_eq!(lb.metric("lb_upstream_endpoints", &["upstream=\"api\""]).await, 2.0);
    assert_eq!(lb.metric("lb_kubernetes_watch_up", &[]).await, 1.0);
    assert_eq!(requests(&lb, fixed).await + requests(&lb, pod).await, before);

    // Only the Service, and then another one too.
    lb.reload(&scene.yaml("")).await;
    endpoints_become(&lb, 1).await;
    let counted = requests(&lb, pod).await;
    answers(&lb, &[pod]).await;
    assert_eq!(requests(&lb, pod).await, counted + 4.0);
    let both = format!(
        "endpoints_from: [{{ {} }}, {{ {} }}]",
        scene.source("api", "http"),
        scene.source("other", "http")
    );
    lb.reload(&scene.yaml_of(&both)).await;
    endpoints_become(&lb, 2).await;
    answers(&lb, &[pod, other]).await;
    let counted = requests(&lb, other).await;
    lb.reload(&scene.yaml_of(&from("other"))).await;
    endpoints_become(&lb, 1).await;
    assert_eq!(requests(&lb, other).await, counted);
    answers(&lb, &[other]).await;
    assert!(!lb.metrics().await.contains("service=\"api\""), "nobody asks for it any more");
    scene.cluster.delete("api-1").await;
    lb.reload(&scene.yaml_of(&fixed_only)).await;
    endpoints_become(&lb, 1).await;
    answers(&lb, &[fixed]).await;
    assert!(!lb.metrics().await.contains("lb_kubernetes_watch_up{"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kubeconfig_is_taken_up() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let lb = scene.start().await;
    watch_becomes(&lb, true).await;
    answers(&lb, &[&pods[0]]).await;
    // One that leads nowhere: what is known of the Service stays.
    let other = scene.path("other");
    std::fs::write(&other, "{}").unwrap();
    let old = scene.kubeconfig().display().to_string();
    let with = |path: &std::path::Path| scene.yaml("").replace(&old, &path.display().to_string());
    lb.reload(&with(&other)).await;
    problem_becomes(&lb, Some("config")).await;
    answers(&lb, &[&pods[0]]).await;
    // And one of another user, in a context that is not the current one.
    let renewed = scene.cluster.user("other", &[crate::api::Verb::List, crate::api::Verb::Watch]);
    let renewed = renewed.await;
    let nobody = kubeconfig::Access { token: "nobody".to_owned(), ..renewed.clone() };
    let third = scene.path("third");
    let contexts = [("current", &nobody), ("mine", &renewed)];
    kubeconfig::write(&third, &kubeconfig::of_contexts(&contexts));
    lb.reload(&with(&third)).await;
    problem_becomes(&lb, Some("unauthorized")).await;
    lb.reload(&with(&third).replace("timeout: 10s", "timeout: 10s, context: mine")).await;
    problem_becomes(&lb, None).await;
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 2).await;
    answers(&lb, &[&pods[0], &pods[1]]).await;
    // The first account is asked for nothing any more.
    scene.cluster.expire(ACCOUNT).await;
    scene.publish_ready(&pods[1..]).await;
    endpoints_become(&lb, 1).await;
    problem_becomes(&lb, None).await;
}
