//! What takes a minute. Tests begin in the order of their names: this one first, and the
//! others beside it. Only the API server in this process can do it.

use std::time::{Duration, Instant};

use crate::api::Order;
use crate::scene::{Scene, ask, end_watches, problem_becomes, watch_becomes};

/// A watch says nothing for as long as nothing changes, and so does one whose
/// connection is dead: for a minute, nobody can tell them apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_falls_silent() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let lb = scene.start().await;
    watch_becomes(&lb, true).await;
    end_watches(&scene, Order::Freeze).await;
    scene.publish_ready(&pods).await;
    let begun = Instant::now();
    while lb.metric("lb_upstream_endpoints", &["upstream=\"api\""]).await < 2.0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "nobody looks after the watch");
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
}
