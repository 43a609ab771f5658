//! A new process in the place of one that serves.

use crate::family::{Family, gone};
use crate::pods::Pod;
use crate::scene::{Scene, ask, watch_becomes};

/// The old one knows the pods, and the new one could not find them out: it would serve
/// nobody.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_over_without_a_list() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods).await;
    let yaml = scene
        .yaml("")
        .replace("timeout: 10s", "timeout: 200ms")
        .replace("drain_timeout: 1h", "drain_timeout: 20s, handover_timeout: 2s");
    let family = Family::start(&yaml).await;
    watch_becomes(&family.lb, true).await;

    scene.cluster.api().stop();
    let old = family.ask();
    family.lb.logged("not handed over").await;
    assert_eq!(family.pid(), Some(old));
    let names: Vec<_> = pods.iter().map(Pod::name).collect();
    for _ in 0..10 {
        let (status, name) = ask(&family.lb).await;
        assert!(status == 200 && names.contains(&name), "{status} {name}");
    }

    scene.cluster.api().start_again().await;
    watch_becomes(&family.lb, true).await;
    assert_eq!(family.ask(), old);
    gone(old).await;
    assert_ne!(family.pid(), Some(old));
    assert_eq!(ask(&family.lb).await.0, 200);
}
