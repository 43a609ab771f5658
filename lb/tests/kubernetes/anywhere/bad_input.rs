//! What operators get wrong: `lb` starts, serves the rest, says what is wrong, and
//! recovers when it is mended.

use futures_util::future::join_all;
use tokio::process::Command;

use crate::api::Verb;
use crate::pods::Pod;
use crate::scene::{
    ACCOUNT, SERVICE, Scene, ask, ask_host, endpoints_become, of_pod, problem_becomes, told,
    watch_becomes,
};
use crate::slices::{State, slice};
use crate::support::Lb;

/// Starts `lb`, which serves the rest and says what is wrong: in the log and in the
/// detail of /readyz with all of these words, and in the metrics.
async fn starts_with_a_problem(scene: &Scene, yaml: &str, problem: &str, words: &[&str]) -> Lb {
    let lb = Lb::start(&yaml.replace("timeout: 10s", "timeout: 2s")).await;
    says(scene, &lb, problem, words).await;
    lb
}

async fn says(scene: &Scene, lb: &Lb, problem: &str, words: &[&str]) {
    assert_eq!(ask_host(lb, "web.test").await, (200, "web".to_owned()));
    problem_becomes(lb, Some(problem)).await;
    let detail = told(lb).await;
    assert_eq!(detail.len(), 1, "{detail:?}");
    let warnings: Vec<_> = lb
        .log()
        .lines()
        .filter(|line| line.contains("WARN") && line.contains(&scene.cluster.namespace))
        .map(str::to_owned)
        .collect();
    let said = warnings.last().unwrap_or_else(|| panic!("no warning in\n{}", lb.log()));
    let namespace = &*scene.cluster.namespace;
    for word in words.iter().copied().chain([namespace, "api"]) {
        assert!(detail[0].contains(word), "no {word:?} in {detail:?}");
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    let labels = [&*format!("namespace=\"{namespace}\""), "upstream=\"api\""];
    assert_eq!(lb.metric("lb_kubernetes_problem", &labels).await, 1.0);
}

/// All is well, as soon as it is mended.
async fn recovers(lb: &Lb, pod: &Pod) {
    problem_becomes(lb, None).await;
    watch_becomes(lb, true).await;
    endpoints_become(lb, 1).await;
    assert_eq!(ask(lb).await, (200, pod.name()));
    assert_eq!(told(lb).await, [""; 0]);
    assert!(lb.log().contains("INFO"), "{}", lb.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_exist() {
    let scene = Scene::new().await;
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "no_service", &["EndpointSlice"]).await;
    assert_eq!(ask(&lb).await.0, 503);
    watch_becomes(&lb, true).await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    recovers(&lb, &pods[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_the_service_does_not_have() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    let other = |name: &str| {
        let ports = [(name, scene.port), ("metrics", 9)];
        slice("api-1", SERVICE, &ports, vec![of_pod(&pods[0], State::Ready)])
    };
    scene.cluster.apply(other("web")).await;
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "no_port", &["port", "web"]).await;
    assert_eq!(ask(&lb).await.0, 503);
    scene.cluster.apply(other("http")).await;
    recovers(&lb, &pods[0]).await;
    // The same by number.
    let by_number = scene.yaml("").replace("port: http", "port: 7");
    let lb = starts_with_a_problem(&scene, &by_number, "no_port", &["port"]).await;
    assert_eq!(ask(&lb).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_in_which_it_may_not_list() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    for verbs in [&[][..], &[Verb::Watch]] {
        scene.cluster.allow(ACCOUNT, verbs).await;
        let words = ["list", "endpointslices", "cannot list resource", ACCOUNT];
        let lb = starts_with_a_problem(&scene, &scene.yaml(""), "forbidden", &words).await;
        assert_eq!(ask(&lb).await.0, 503);
        assert!(lb.metric("lb_kubernetes_failures_total", &["reason=\"forbidden\""]).await > 0.0);
        scene.cluster.allow(ACCOUNT, &[Verb::List, Verb::Watch]).await;
        recovers(&lb, &pods[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_in_which_it_may_only_list() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=2).await;
    scene.publish_ready(&pods[..1]).await;
    scene.cluster.allow(ACCOUNT, &[Verb::List]).await;
    let words = ["watch", "endpointslices", "cannot watch resource", ACCOUNT];
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "forbidden", &words).await;
    // What it could list is served, and may be outdated.
    assert_eq!(ask(&lb).await, (200, pods[0].name()));
    assert_eq!(lb.metric("lb_kubernetes_watch_up", &[]).await, 0.0);
    assert!(lb.metric("lb_kubernetes_stale_since_timestamp_seconds", &[]).await > 0.0);
    scene.publish_ready(&pods[1..]).await;
    scene.cluster.allow(ACCOUNT, &[Verb::List, Verb::Watch]).await;
    watch_becomes(&lb, true).await;
    crate::scene::metrics_come_to_say(&lb, &pods[1].address.to_string()).await;
    recovers(&lb, &pods[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    scene.cluster.expire(ACCOUNT).await;
    let words = ["401", "expired"];
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "unauthorized", &words).await;
    assert_eq!(ask(&lb).await.0, 503);
    // Renewed in the file, as a credential helper or an operator does.
    scene.write_kubeconfig(&scene.cluster.renew(ACCOUNT).await);
    recovers(&lb, &pods[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_is_not_there_or_cannot_be_read() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let path = scene.kubeconfig();
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let shown = path.display().to_string();
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "config", &[&shown]).await;
    assert_eq!(ask(&lb).await.0, 503);
    std::fs::write(&path, &good).unwrap();
    recovers(&lb, &pods[0]).await;
    // There, and not to be read, whoever tries.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let lb = starts_with_a_problem(&scene, &scene.yaml(""), "config", &[&shown]).await;
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &good).unwrap();
    recovers(&lb, &pods[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_is_none() {
    join_all(["clusters: [", "", "{}", "\u{0}"].map(async |bad| {
        let scene = Scene::new().await;
        let pods = scene.pods(1..=1).await;
        scene.publish_ready(&pods).await;
        let path = scene.kubeconfig();
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, bad).unwrap();
        let lb = starts_with_a_problem(&scene, &scene.yaml(""), "config", &[]).await;
        std::fs::write(&path, &good).unwrap();
        recovers(&lb, &pods[0]).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_the_kubeconfig_does_not_have() {
    let scene = Scene::new().await;
    let yaml = scene.yaml("").replace("timeout: 10s", "timeout: 10s, context: other");
    let lb = starts_with_a_problem(&scene, &yaml, "config", &["other"]).await;
    assert_eq!(ask(&lb).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kubeconfig_at_all_and_the_ones_that_kubectl_would_find() {
    let scene = Scene::new().await;
    let pods = scene.pods(1..=1).await;
    scene.publish_ready(&pods).await;
    let yaml = scene.yaml("").replace(
        &format!("kubeconfig: \"{}\", timeout: 10s", scene.kubeconfig().display()),
        "timeout: 2s",
    );
    assert!(!yaml.contains("kubeconfig"), "{yaml}");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb"));
        command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBECONFIG");
        command.env("HOME", scene.path("home"));
        command
    };
    let lb = Lb::start_through(command(), &yaml).await;
    says(&scene, &lb, "config", &[]).await;
    // Where it would be in a home.
    let home = scene.path("home").join(".kube");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::copy(scene.kubeconfig(), home.join("config")).unwrap();
    recovers(&lb, &pods[0]).await;
    std::fs::remove_dir_all(home).unwrap();
    let mut with_variable = command();
    let listed = [scene.path("missing"), scene.kubeconfig().to_owned()];
    with_variable.env("KUBECONFIG", std::env::join_paths(listed).unwrap());
    recovers(&Lb::start_through(with_variable, &yaml).await, &pods[0]).await;
}
