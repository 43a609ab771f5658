//! Who `lb` is, and may do, changes while it runs.

use crate::api::{Order, Verb};
use crate::kubeconfig::{self, Access};
use crate::scene::{ACCOUNT, Scene, ask, endpoints_become, problem_becomes, told, watch_becomes};
use crate::support::Lb;

async fn start(scene: &Scene) -> Lb {
    Lb::start(&scene.yaml("").replace("timeout: 10s", "timeout: 2s")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_expires_and_is_renewed_in_the_file() {
    let scene = Scene::on_stub_with_tls().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let lb = start(&scene).await;
    watch_becomes(&lb, true).await;
    for _ in 0..2 {
        scene.cluster.expire(ACCOUNT).await;
        scene.cluster.api().order(Order::End);
        problem_becomes(&lb, Some("unauthorized")).await;
        watch_becomes(&lb, false).await;
        assert!(told(&lb).await[0].contains("401"));
        // What is known stays.
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
        scene.write_kubeconfig(&scene.cluster.renew(ACCOUNT).await);
        watch_becomes(&lb, true).await;
        problem_becomes(&lb, None).await;
    }
    scene.publish_ready(&pods).await;
    endpoints_become(&lb, 2).await;
    assert!(!lb.log().contains("token-"), "tokens are secrets");
    let (_, detail) = lb.readiness().await;
    assert!(!detail.to_string().contains("token-"), "tokens are secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_may_is_taken_from_it_and_given_back() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    let lb = start(&scene).await;
    watch_becomes(&lb, true).await;
    scene.cluster.allow(ACCOUNT, &[]).await;
    scene.cluster.api().order(Order::End);
    problem_becomes(&lb, Some("forbidden")).await;
    let detail = told(&lb).await;
    assert!(detail[0].contains("cannot watch resource"), "{detail:?}");
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
    scene.publish_ready(&pods).await;
    scene.cluster.allow(ACCOUNT, &[Verb::List, Verb::Watch]).await;
    endpoints_become(&lb, 2).await;
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
}

/// The kubeconfig leads to somebody else first: its author has to correct the file, and
/// nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_leads_elsewhere_is_corrected() {
    let scene = Scene::on_stub_with_tls().await;
    let stranger = Scene::on_stub_with_tls().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrong = [
        Access { server: format!("https://{nobody}"), ..scene.access.clone() },
        Access { authority: stranger.access.authority.clone(), ..scene.access.clone() },
        Access { server: stranger.access.server.clone(), ..scene.access.clone() },
        Access { server: scene.access.server.replace("https", "http"), ..scene.access.clone() },
    ];
    for access in wrong {
        scene.write_kubeconfig(&access);
        let lb = start(&scene).await;
        assert_eq!(ask(&lb).await.0, 503);
        assert_eq!(told(&lb).await.len(), 1);
        scene.write_kubeconfig(&scene.access);
        problem_becomes(&lb, None).await;
        endpoints_become(&lb, 1).await;
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_file_of_its_own() {
    let scene = Scene::on_stub().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let mut config = kubeconfig::of(&scene.access);
    std::fs::write(scene.path("token"), &scene.access.token).unwrap();
    config["users"][0]["user"] = serde_json::json!({ "tokenFile": "token" });
    kubeconfig::write(&scene.kubeconfig(), &config);
    let lb = start(&scene).await;
    watch_becomes(&lb, true).await;
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
    // Renewed in its place, before anybody would read it again.
    scene.cluster.expire(ACCOUNT).await;
    let renewed = scene.cluster.renew(ACCOUNT).await;
    std::fs::write(scene.path("token"), renewed.token).unwrap();
    scene.cluster.api().order(Order::End);
    scene.publish(Vec::new()).await;
    endpoints_become(&lb, 0).await;
    watch_becomes(&lb, true).await;
    problem_becomes(&lb, None).await;
}
