//! Signals and stopping.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::routing::simple;
use crate::support::{Client, Lb, Origin, RawConnection, eventually, respond};

/// Answers when the test lets it.
async fn gated() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin::start({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                respond(200, "finished")
            }
        }
    })
    .await;
    (origin, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn term_finishes_what_is_open_and_accepts_nothing_new() {
    for signal in ["TERM", "QUIT"] {
        let (origin, gate) = gated().await;
        let mut lb = Lb::start(&simple(&origin)).await;
        let url = lb.url("/");
        let open = tokio::spawn(async move {
            let response = Client::plain().get(&url).await.unwrap();
            assert_eq!(response.headers()["connection"], "close", "it was open before the signal");
            response.text().await.unwrap()
        });
        lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
        let mut idle = RawConnection::open(lb.address("http")).await;
        lb.metric_becomes("lb_connections_open", &["listener=\"http\""], 2.0).await;
        lb.signal(signal);
        lb.logged("draining").await;
        assert_eq!(idle.read_to_end().await, "", "idle connections are closed");
        let address = lb.address("http");
        eventually("the port to be closed", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        })
        .await;
        let ready = Client::plain().get(&format!("http://{}/readyz", lb.status)).await.unwrap();
        assert_eq!(ready.status(), 503);
        gate.add_permits(1);
        assert_eq!(open.await.unwrap(), "finished");
        assert_eq!(lb.exit_code().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_timeout_is_the_longest_it_takes() {
    let (origin, _gate) = gated().await;
    let mut lb =
        Lb::start(&format!("shutdown: {{ drain_timeout: 300ms }}\n{}", simple(&origin))).await;
    let url = lb.url("/");
    let open = tokio::spawn(async move { Client::plain().get(&url).await.is_some() });
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    lb.signal("TERM");
    assert_eq!(lb.exit_code().await, Some(0));
    assert!(!open.await.unwrap());
    assert!(lb.log().contains("the drain timeout is over"));
}

#[tokio::test(flavor = "multi_thread")]
async fn int_stops_at_once() {
    let (origin, _gate) = gated().await;
    let mut lb = Lb::start(&simple(&origin)).await;
    let url = lb.url("/");
    let open = tokio::spawn(async move { Client::plain().get(&url).await.is_some() });
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    lb.signal("INT");
    assert_eq!(lb.exit_code().await, Some(0));
    assert!(!open.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_delay_readiness_is_gone_and_requests_are_served() {
    let origin = Origin::named("served").await;
    let mut lb = Lb::start(&format!("shutdown: {{ delay: 1500ms }}\n{}", simple(&origin))).await;
    lb.signal("TERM");
    lb.logged("stopping").await;
    let ready = Client::plain().get(&format!("http://{}/readyz", lb.status)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let response = Client::unpooled().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.headers()["connection"], "close", "clients are asked to go elsewhere");
    assert_eq!(response.text().await.unwrap(), "served");
    assert_eq!(lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_connections_finish_their_streams() {
    let (origin, gate) = gated().await;
    let yaml = simple(&origin).replace(
        "{ bind: [\"127.0.0.1:0\"] }",
        "{ bind: [\"127.0.0.1:0\"] }, https: { bind: [\"127.0.0.1:0\"], tls: { certificates: [{ cert: api.pem, key: api.key }] } }",
    );
    let mut lb = Lb::start(&yaml).await;
    let (client, url) = (lb.client(), lb.secure_url("api.test", "/"));
    let open: Vec<_> = (0..5)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { client.text(&url).await })
        })
        .collect();
    lb.metric_becomes("lb_endpoint_in_flight", &[], 5.0).await;
    lb.signal("TERM");
    lb.logged("draining").await;
    gate.add_permits(5);
    for stream in open {
        assert_eq!(stream.await.unwrap(), "finished");
    }
    assert_eq!(lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_does_not_steal_half_of_the_connections() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    let config = lb.path("second.yaml");
    let yaml = simple(&origin).replace("127.0.0.1:0", &lb.address("http").to_string());
    std::fs::write(&config, format!("version: 1\nstatus: {{ address: \"127.0.0.1:0\" }}\n{yaml}"))
        .unwrap();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_lb"))
        .args(["run", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(70));
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("listener \"http\" cannot bind") && error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pid_file_is_there_while_it_serves() {
    let origin = Origin::named("x").await;
    let directory = tempfile::TempDir::new().unwrap();
    let config = directory.path().join("lb.yaml");
    let pid_file = directory.path().join("lb.pid");
    std::fs::write(
        &config,
        format!("version: 1\nstatus: {{ address: \"127.0.0.1:0\" }}\n{}", simple(&origin)),
    )
    .unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lb"))
        .args(["run", "--config"])
        .arg(&config)
        .arg("--pid-file")
        .arg(&pid_file)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let written = eventually("the pid file", || {
        std::fs::read_to_string(&pid_file).ok().filter(|t| t.ends_with('\n'))
    });
    assert_eq!(written.await.trim(), child.id().to_string());
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!pid_file.exists());
}
