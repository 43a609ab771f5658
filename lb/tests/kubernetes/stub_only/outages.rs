//! Ways in which an API server can fail, while pods are known and asked.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::api::{ApiServer, Fault, Order, Refusal, Verb};
use crate::load::Load;
use crate::pods::Pod;
use crate::scene::{Scene, ask, endpoints_become, is_told, problem_becomes, told, watch_becomes};
use crate::support::{Lb, eventually};

const BOTH: [Verb; 2] = [Verb::List, Verb::Watch];

/// Three pods that are known, under load.
struct Known {
    scene: Scene,
    pods: Vec<Pod>,
    lb: Lb,
    load: Load,
}

impl Known {
    async fn new() -> Self {
        let scene = Scene::on_stub().await;
        let pods = scene.pods(1..=4).await;
        scene.publish_ready(&pods[..3]).await;
        let lb = Lb::start(&scene.yaml("").replace("timeout: 10s", "timeout: 1s")).await;
        endpoints_become(&lb, 3).await;
        watch_becomes(&lb, true).await;
        let load = Load::start(&lb);
        load.goes_on(50).await;
        Self { scene, pods, lb, load }
    }

    fn api(&self) -> &ApiServer {
        self.scene.cluster.api()
    }

    fn fail(&self, fault: &Fault) {
        for verb in BOTH {
            self.api().fail(verb, fault.clone());
        }
    }

    fn mend(&self) {
        for verb in BOTH {
            self.api().mend(verb);
        }
    }

    /// What was known is served all along.
    async fn is_not_felt(&self) {
        self.load.goes_on(100).await;
        let names: Vec<_> = self.pods[..3].iter().map(Pod::name).collect();
        self.load.reaches(&names).await;
        endpoints_become(&self.lb, 3).await;
    }

    /// What has changed meanwhile arrives, and all is well.
    async fn recovers(self) {
        self.scene.publish_ready(&self.pods).await;
        endpoints_become(&self.lb, 4).await;
        watch_becomes(&self.lb, true).await;
        problem_becomes(&self.lb, None).await;
        let since = "lb_kubernetes_stale_since_timestamp_seconds";
        assert_eq!(self.lb.metric(since, &[]).await, 0.0);
        let names: Vec<_> = self.pods.iter().map(Pod::name).collect();
        self.load.reaches(&names).await;
        self.load.stop().await;
        assert_eq!(self.lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hangs() {
    let known = Known::new().await;
    known.fail(&Fault::Hang);
    known.api().order(Order::Cut);
    problem_becomes(&known.lb, Some("unreachable")).await;
    watch_becomes(&known.lb, false).await;
    known.is_not_felt().await;
    known.mend();
    known.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_with_something_else() {
    let refusal = |code, reason| Fault::Refuse(Refusal::new(code, reason, "not now"));
    let cases = [
        (Fault::Cut, "unreachable"),
        (refusal(500, "InternalError"), "refused"),
        (refusal(429, "TooManyRequests"), "refused"),
        (refusal(503, "ServiceUnavailable"), "refused"),
        (refusal(404, "NotFound"), "refused"),
    ];
    join_all(cases.map(async |(fault, problem)| {
        let known = Known::new().await;
        known.fail(&fault);
        known.api().order(Order::Cut);
        problem_becomes(&known.lb, Some(problem)).await;
        watch_becomes(&known.lb, false).await;
        if problem == "refused" {
            let detail = told(&known.lb).await;
            assert!(detail[0].contains("not now"), "{detail:?}");
        }
        known.is_not_felt().await;
        known.mend();
        known.recovers().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_has_something_else_in_it() {
    let status = Refusal::new(500, "InternalError", "etcd has no leader").status();
    let error = serde_json::json!({ "type": "ERROR", "object": status });
    let error = format!("{error}\n");
    let lines = ["<html>\n", "{\"type\":\"ADDED\"}\n", "\n\n", "{", &error];
    join_all(lines.map(async |line| {
        let known = Known::new().await;
        known.api().order(Order::Say(line.to_owned()));
        known.is_not_felt().await;
        known.api().order(Order::End);
        known.is_not_felt().await;
        known.recovers().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_no_list_or_never_ends() {
    for (fault, problem) in [(Fault::Garbage, "refused"), (Fault::Stall, "unreachable")] {
        let scene = Scene::on_stub().await;
        let pods = scene.pods(1..=1).await;
        scene.publish_ready(&pods).await;
        scene.cluster.api().fail(Verb::List, fault);
        let lb = Lb::start(&scene.yaml("").replace("timeout: 10s", "timeout: 1s")).await;
        problem_becomes(&lb, Some(problem)).await;
        assert_eq!(ask(&lb).await.0, 503);
        scene.cluster.api().mend(Verb::List);
        problem_becomes(&lb, None).await;
        assert_eq!(ask(&lb).await, (200, pods[0].name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_at_once_are_not_begun_without_a_rest() {
    let known = Known::new().await;
    let api = known.api();
    let (lists, before) = (api.count(Verb::List), api.count(Verb::Watch));
    api.fail(Verb::Watch, Fault::End);
    api.order(Order::End);
    eventually("another watch", || (api.count(Verb::Watch) > before).then_some(())).await;
    let (first, begun) = (api.count(Verb::Watch), Instant::now());
    known.is_not_felt().await;
    eventually("a few watches", || (api.count(Verb::Watch) > first + 2).then_some(())).await;
    let rate = (api.count(Verb::Watch) - first) as f64 / begun.elapsed().as_secs_f64();
    assert!(rate < 5.0, "{rate} watches a second");
    assert_eq!(api.count(Verb::List), lists, "there is no reason to list");
    known.mend();
    known.recovers().await;
}

/// Nothing of it is kept beyond a bound, and what was known serves.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end() {
    for verb in BOTH {
        let known = Known::new().await;
        known.api().fail(verb, Fault::Endless);
        known.api().order(match verb {
            // The next watch goes on, and after what is not understood all is listed.
            Verb::Watch => Order::Cut,
            Verb::List => Order::Say("?\n".to_owned()),
        });
        is_told(&known.lb, "longer than 64 MiB").await;
        problem_becomes(&known.lb, Some("refused")).await;
        known.is_not_felt().await;
        known.mend();
        known.recovers().await;
    }
}

/// The same with whatever else can go wrong at once.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_not_repeated_without_a_rest() {
    let gone = Refusal::new(410, "Expired", "too old resource version");
    let broken = Refusal::new(500, "InternalError", "no");
    let cases = [
        (Verb::List, Fault::Refuse(broken.clone())),
        (Verb::List, Fault::Cut),
        (Verb::List, Fault::Garbage),
        (Verb::List, Fault::Refuse(gone.clone())),
        (Verb::Watch, Fault::Refuse(broken.clone())),
        (Verb::Watch, Fault::Cut),
        (Verb::Watch, Fault::Garbage),
        (Verb::Watch, Fault::Refuse(gone.clone())),
        (Verb::Watch, Fault::Error(broken)),
        (Verb::Watch, Fault::Error(gone)),
    ];
    join_all(cases.map(async |(verb, fault)| {
        let scene = Scene::on_stub().await;
        let pods = scene.pods(1..=1).await;
        scene.publish_ready(&pods).await;
        let api = scene.cluster.api();
        api.fail(verb, fault.clone());
        let begun = Instant::now();
        let lb = Lb::start(&scene.yaml("").replace("timeout: 10s", "timeout: 1s")).await;
        eventually("three attempts", || (api.count(verb) >= 3).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let rate = api.asked().len() as f64 / begun.elapsed().as_secs_f64();
        assert!(rate < 6.0, "{verb:?} {fault:?}: {rate} requests a second");
        let warnings = lb.log().lines().filter(|line| line.contains("WARN")).count();
        assert!(warnings <= 2, "{verb:?} {fault:?}: {}", lb.log());
        let expected = if verb == Verb::List { 503 } else { 200 };
        assert_eq!(ask(&lb).await.0, expected, "{verb:?} {fault:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_once_and_that_it_is_over_too() {
    let known = Known::new().await;
    let service = format!("{}/api", known.scene.cluster.namespace);
    let lines = |level: &str| {
        let log = known.lb.log();
        log.lines().filter(|line| line.contains(level) && line.contains(&service)).count()
    };
    let (warnings, notices) = (lines("WARN"), lines("INFO"));
    known.api().stop();
    watch_becomes(&known.lb, false).await;
    let failures = async || known.lb.metric("lb_kubernetes_failures_total", &[]).await;
    let before = failures().await;
    while failures().await < before + 3.0 {
        known.load.goes_on(20).await;
    }
    assert_eq!(lines("WARN"), warnings + 1, "{}", known.lb.log());
    known.api().start_again().await;
    watch_becomes(&known.lb, true).await;
    problem_becomes(&known.lb, None).await;
    assert_eq!((lines("WARN"), lines("INFO")), (warnings + 1, notices + 1), "{}", known.lb.log());
    known.recovers().await;
}
