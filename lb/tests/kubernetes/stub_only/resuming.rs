//! Watches go on where they were, and lists are made anew only when they have to.

use crate::api::{Order, Verb};
use crate::load::Load;
use crate::pods::Pod;
use crate::scene::{Scene, end_watches, endpoints_become, of_pod, problem_becomes, watch_becomes};
use crate::slices::{State, endpoint, slice};
use crate::support::{Lb, eventually};

async fn known(scene: &Scene, pods: &[Pod]) -> Lb {
    scene.publish_ready(pods).await;
    let lb = scene.start().await;
    endpoints_become(&lb, pods.len()).await;
    watch_becomes(&lb, true).await;
    lb
}

/// The pods of the Service are others, and that arrives.
async fn changes(scene: &Scene, lb: &Lb, pods: &[Pod]) {
    scene.publish_ready(pods).await;
    endpoints_become(lb, pods.len()).await;
}

/// Something of the namespace changes that has nothing to do with the Service.
async fn others_change(scene: &Scene, number: u16) {
    scene.cluster.apply(slice("web-1", "web", &[("http", number)], Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_or_break_are_resumed() {
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    let pods = scene.pods(1..=4).await;
    let lb = known(&scene, &pods[..1]).await;
    let load = Load::start(&lb);
    for (number, order) in [Order::End, Order::Cut, Order::End].into_iter().enumerate() {
        let watches = api.count(Verb::Watch);
        end_watches(&scene, order).await;
        // What changes while nobody watches is told afterwards.
        changes(&scene, &lb, &pods[..number + 2]).await;
        assert!(api.count(Verb::Watch) > watches);
    }
    watch_becomes(&lb, true).await;
    assert_eq!(api.count(Verb::List), 1, "{:?}", api.asked());
    load.stop().await;
    // Those that end as they should are no failures.
    let failures = lb.metric("lb_kubernetes_failures_total", &[]).await;
    assert!(failures <= 1.0, "{failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_away_arrives_when_it_is_back() {
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    let pods = scene.pods(1..=4).await;
    let lb = known(&scene, &pods[..2]).await;
    api.stop();
    watch_becomes(&lb, false).await;
    scene.publish_ready(&pods[1..]).await;
    scene.put("api-2", vec![of_pod(&pods[0], State::Serving)]).await;
    endpoints_become(&lb, 2).await;
    api.start_again().await;
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"ready\""], 3.0).await;
    lb.metric_becomes("lb_kubernetes_endpoints", &["state=\"terminating\""], 1.0).await;
    watch_becomes(&lb, true).await;
    assert_eq!(api.count(Verb::List), 1, "{:?}", api.asked());
}

/// Too old to be resumed: all is listed anew, and until then what was known is kept.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_410_nothing_is_missing_for_a_moment() {
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    let pods = scene.pods(1..=3).await;
    scene.put("api-2", vec![of_pod(&pods[2], State::Ready)]).await;
    scene.publish_ready(&pods[..2]).await;
    let lb = scene.start().await;
    endpoints_become(&lb, 3).await;
    watch_becomes(&lb, true).await;
    let load = Load::start(&lb);
    for round in 1..=3 {
        others_change(&scene, round).await;
        api.compact();
        api.order(Order::End);
        let lists = usize::from(round) + 1;
        loop {
            let count = lb.metric("lb_upstream_endpoints", &["upstream=\"api\""]).await;
            assert_eq!(count, 3.0, "in round {round}");
            if api.count(Verb::List) >= lists && api.watches() == 1 {
                break;
            }
        }
    }
    load.goes_on(50).await;
    load.stop().await;
    assert_eq!(lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
    // What has gone while nobody was told goes with the list.
    api.stop();
    watch_becomes(&lb, false).await;
    scene.cluster.delete("api-2").await;
    api.compact();
    api.start_again().await;
    endpoints_become(&lb, 2).await;
}

/// Some say it in the status of the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_410_instead_of_a_watch_is_understood_as_well() {
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    let pods = scene.pods(1..=3).await;
    let lb = known(&scene, &pods[..2]).await;
    api.say_gone_in_the_status();
    others_change(&scene, 1).await;
    api.compact();
    end_watches(&scene, Order::End).await;
    changes(&scene, &lb, &pods).await;
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
    assert_eq!(api.count(Verb::List), 2);
}

/// In a quiet namespace of a busy cluster, only bookmarks keep a watch from being too far
/// behind.
#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_are_asked_for_and_used() {
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    let pods = scene.pods(1..=2).await;
    let lb = known(&scene, &pods[..1]).await;
    others_change(&scene, 1).await;
    let watches = api.count(Verb::Watch);
    api.order(Order::Bookmark);
    end_watches(&scene, Order::End).await;
    api.compact();
    eventually("another watch", || (api.count(Verb::Watch) > watches).then_some(())).await;
    changes(&scene, &lb, &pods).await;
    assert_eq!(api.count(Verb::List), 1, "{:?}", api.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_pages_are_taken_in_as_a_whole() {
    const SLICES: u16 = 1200;
    let scene = Scene::on_stub().await;
    let api = scene.cluster.api();
    // More than anybody wants in one answer.
    for number in 0..SLICES {
        let address = scene.cluster.far_address(number).to_string();
        scene.put(&format!("api-{number}"), vec![endpoint(&[&address], State::Ready)]).await;
    }
    let lb = scene.start().await;
    endpoints_become(&lb, SLICES.into()).await;
    assert!(api.count(Verb::List) > 1, "{:?}", api.asked());
    scene.cluster.delete("api-7").await;
    endpoints_become(&lb, usize::from(SLICES) - 1).await;
}
