//! A thousand pods.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::pods::Pod;
use crate::scene::{SERVICE, Scene, endpoints_become};
use crate::slices::{State, endpoint, slice};
use crate::support::{Lb, RawConnection};

const PODS: u16 = 1000;
/// As many as the controller puts into one.
const PODS_OF_A_SLICE: u16 = 100;
const ATTEMPTS: usize = 5;
const REQUESTS: usize = 400;

async fn all_come(scene: &Scene, port: u16, pods: u16) {
    for first in (0..pods).step_by(PODS_OF_A_SLICE.into()) {
        let numbers = first..(first + PODS_OF_A_SLICE).min(pods);
        let addresses = numbers.map(|pod| scene.cluster.far_address(pod).to_string());
        let endpoints = addresses.map(|address| endpoint(&[&address], State::Ready)).collect();
        let name = format!("api-{first}");
        scene.cluster.apply(slice(&name, SERVICE, &[("http", port)], endpoints)).await;
    }
}

async fn all_go(scene: &Scene) {
    for first in (0..PODS).step_by(PODS_OF_A_SLICE.into()) {
        scene.cluster.delete(&format!("api-{first}")).await;
    }
}

/// How long a request takes.
async fn time(lb: &Lb, connection: &mut RawConnection, host: &str) -> Duration {
    let begun = Instant::now();
    connection.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let answer = connection.read_until(">").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}\n{}", lb.log());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The best of a few attempts, so that what else runs on the machine is not what is
/// measured: it can make one slow, and would have to hit all.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_known_within_a_second_and_gone_as_soon() {
    let scene = Scene::new().await;
    let lb = scene.start().await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..ATTEMPTS {
        all_come(&scene, 8080, PODS).await;
        let written = Instant::now();
        endpoints_become(&lb, PODS.into()).await;
        best[0] = best[0].min(written.elapsed());
        all_go(&scene).await;
        let written = Instant::now();
        endpoints_become(&lb, 0).await;
        best[1] = best[1].min(written.elapsed());
        if best.iter().all(|best| *best < Duration::from_secs(1)) {
            println!("{PODS} pods come and go within {best:?} of the last write");
            return;
        }
    }
    panic!("{best:?} after the last write, at best");
}

/// Requests to few and to many take turns, so that whatever else slows them down does so
/// for both, and the medians are compared. What a request needs beside picking is in both,
/// too; how picking itself grows is what the benchmarks say. No connection is kept: with many, hardly any
/// would be used again, and that is not what is measured.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_among_them_takes_as_long_as_among_three() {
    let scene = Scene::new().await;
    // One server for all of them: this one listens at every address.
    let everywhere = Pod::start(SocketAddr::from(([0, 0, 0, 0], 0))).await;
    let port = everywhere.address.port();
    let few: Vec<_> = (0..3).map(|pod| scene.cluster.far_address(pod).to_string()).collect();
    let few = few.iter().map(|address| endpoint(&[address], State::Ready)).collect();
    scene.cluster.apply(slice("few-1", "few", &[("http", port)], few)).await;
    all_come(&scene, port, PODS).await;
    let keep_none = "keepalive: { max_idle: 0 }";
    let yaml = scene.yaml(keep_none);
    let few =
        format!("few: {{ endpoints_from: {{ {} }}, {keep_none} }}", scene.source("few", "http"));
    let yaml = yaml
        .replace("  web: {", &format!("  {few}\n  web: {{"))
        .replace("[\"web.test\"]", "[\"few.test\"]")
        .replace("upstream: web", "upstream: few");
    let lb = Lb::start(&yaml).await;
    endpoints_become(&lb, PODS.into()).await;
    lb.metric_becomes("lb_upstream_endpoints", &["upstream=\"few\""], 3.0).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        few.push(time(&lb, &mut connection, "few.test").await);
        many.push(time(&lb, &mut connection, "many.test").await);
    }
    let (few, many) = (median(few), median(many));
    println!("median of {REQUESTS}: {few:?} among 3, {many:?} among {PODS}");
    assert!(many < few * 3, "{few:?} among 3, {many:?} among {PODS}");
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}
