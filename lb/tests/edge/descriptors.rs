//! Descriptors run out.

use std::process::Command;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::setup::{
    GET, edge_with, edge_yaml, failures_of_endpoints, is_served, read_response, served_at_last,
};
use crate::support::{Client, Lb, Origin, respond};

const PROCESS: &str =
    "workers: 1\nmax_connections: 10000\ndefaults: { passive_health: { max_fails: 1 } }";

const EXHAUSTED: &[&str] = &["cause=\"descriptors_exhausted\"", "listener=\"http\""];

/// Every request needs a connection to it, and so a descriptor.
async fn unkept() -> Origin {
    Origin::start(|_| async move {
        let mut response = respond(200, "answered");
        response.headers_mut().insert("connection", "close".parse().unwrap());
        response
    })
    .await
}

async fn connect(lb: &Lb) -> TcpStream {
    TcpStream::connect(lb.address("http")).await.unwrap()
}

async fn status_answers(lb: &Lb) {
    let health = Client::unpooled().text(&format!("http://{}/healthz", lb.status)).await;
    assert_eq!(health, "alive\n");
}

/// Connections until the newest is refused, and those that were let in.
async fn crowd(lb: &Lb) -> Vec<TcpStream> {
    let mut inside = Vec::new();
    loop {
        let mut stream = connect(lb).await;
        if !is_served(&mut stream).await {
            return inside;
        }
        inside.push(stream);
        assert!(inside.len() < 1000, "nobody is refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_leave_descriptors_to_the_process_and_its_endpoints() {
    let origin = unkept().await;
    let yaml = edge_yaml(PROCESS, "", origin.address);
    let lb = Lb::launch_with_descriptors(&yaml, 96).await;
    lb.ready().await;
    let mut inside = crowd(&lb).await;
    assert!(inside.len() > 20, "{} are let in", inside.len());
    lb.logged("cannot accept").await;
    // Whoever is inside is served, whoever comes is refused, and the status
    // server answers, however long it goes on.
    for round in 0..20 {
        assert!(!is_served(&mut connect(&lb).await).await, "{round}");
        status_answers(&lb).await;
        let index = round % inside.len();
        assert!(is_served(&mut inside[index]).await, "{round}");
    }
    assert!(lb.metric("lb_connections_closed_total", EXHAUSTED).await >= 21.0);
    assert_eq!(failures_of_endpoints(&lb).await, 0.0);
    // One that leaves lets one in; that is not the end of the shortage.
    inside.pop();
    inside.push(served_at_last(async || connect(&lb).await).await);
    assert!(!is_served(&mut connect(&lb).await).await);
    assert_eq!(lb.log().matches("cannot accept").count(), 1, "{}", lb.log());
    assert_eq!(lb.log().matches("accepting again").count(), 0, "{}", lb.log());

    drop(inside);
    while !lb.log().contains("accepting again") {
        served_at_last(async || connect(&lb).await).await;
    }
    assert_eq!(lb.log().matches("cannot accept").count(), 1, "{}", lb.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_descriptor_at_all_the_newest_are_refused_and_nobody_is_blamed() {
    let origin = unkept().await;
    let lb = edge_with(PROCESS, "", origin.address).await;
    let mut inside = connect(&lb).await;
    assert!(is_served(&mut inside).await);
    // Whatever the reserve was, it is gone.
    let open = std::fs::read_dir(format!("/proc/{}/fd", lb.pid())).unwrap().count();
    let limited = Command::new("prlimit")
        .arg(format!("--pid={}", lb.pid()))
        .arg(format!("--nofile={0}:{0}", open + 4))
        .status()
        .expect("prlimit (util-linux) is installed");
    assert!(limited.success());
    // Silent ones: they need no endpoint.
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(connect(&lb).await);
    }
    lb.logged("cannot accept").await;
    for stream in &mut waiting[20..] {
        assert!(!is_served(stream).await);
    }
    assert!(lb.metric("lb_connections_closed_total", EXHAUSTED).await >= 20.0);

    // A request may find none for its endpoint: who comes first to one that was
    // freed is open. Then it is our fault, and is told so.
    for _ in 0..50 {
        waiting.push(connect(&lb).await);
        inside.write_all(GET.as_bytes()).await.unwrap();
        let answer = read_response(&mut inside).await;
        if !answer.starts_with("HTTP/1.1 200 ") {
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.contains("internal_error"), "{answer}");
            break;
        }
    }
    drop((waiting, inside));
    served_at_last(async || connect(&lb).await).await;
    assert_eq!(failures_of_endpoints(&lb).await, 0.0);
    status_answers(&lb).await;
}
