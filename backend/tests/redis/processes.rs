//! Processes of the service with a cluster: from outside, over HTTP and WebSockets.

use std::time::{Duration, Instant};

use fleet::redis::RedisCluster;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::service::{Backend, PATIENCE, Site};
use crate::support::{cluster, eventually};

fn nodes(cluster: &RedisCluster) -> String {
    let addresses: Vec<String> =
        cluster.addresses().iter().map(|address| address.to_string()).collect();
    addresses.join(",")
}

async fn readiness(backend: &Backend) -> Value {
    let response = backend.get("/api/v1/scaling/health/readiness").await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_shared_by_three_processes_and_each_serves_without_redis() {
    let mut cluster = cluster();
    let (nodes, password) = (nodes(&cluster), cluster.password_file());
    let site = Site::new();
    let environment =
        [("REDIS_NODES", nodes.as_str()), ("REDIS_PASSWORD_FILE", password.to_str().unwrap())];
    let backends = [(); 3].map(|()| site.start_with(&environment));
    for backend in &backends {
        eventually("redis is up", async || {
            let is_up = backend.metric("fastnext_redis_up").await == 1.0
                && backend.metric("fastnext_room_bus_up").await == 1.0;
            is_up.then_some(())
        })
        .await;
        assert_eq!(readiness(backend).await["status"], "ready");
    }

    for round in 0..10 {
        let path = format!("/ws?room=room-{round}");
        let mut sockets = Vec::new();
        for backend in &backends {
            let url = backend.websocket_url(&path);
            sockets.push(tokio_tungstenite::connect_async(url).await.unwrap().0);
        }
        // As soon as the last handshake is done.
        for (sender, message) in
            [(2, Message::text("one")), (0, Message::binary(vec![1, 2])), (1, Message::text("two"))]
        {
            sockets[sender].send(message.clone()).await.unwrap();
            for socket in &mut sockets {
                let received = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
                assert_eq!(received.unwrap().unwrap(), message);
            }
        }
    }

    cluster.stop_all().unwrap();
    for backend in &backends {
        eventually("it is noticed", async || {
            (readiness(backend).await["status"] == "degraded").then_some(())
        })
        .await;
        assert_eq!(readiness(backend).await["redis"], false);
        let user = backend.create_user(&format!("{}@example.com", backend.name)).await;
        let found = backend.get(&format!("/api/v1/users/{}", user["id"])).await;
        assert_eq!(found.status(), 200);
    }
    waiting_for_redis_costs_next_to_nothing(&backends[0]).await;
}

/// Neither in time of the processor nor in lines of the log, while requests come.
async fn waiting_for_redis_costs_next_to_nothing(backend: &Backend) {
    const WINDOW: Duration = Duration::from_secs(3);
    let cpu = async || backend.metric("process_cpu_seconds_total").await;
    let (cpu_before, log_before) = (cpu().await, backend.log().lines().count());
    let start = Instant::now();
    while start.elapsed() < WINDOW {
        assert_eq!(readiness(backend).await["status"], "degraded");
        tokio::time::sleep(WINDOW / 10).await;
    }
    // The process collector counts whole seconds only: two of them are a core that spins.
    let used = cpu().await - cpu_before;
    assert!(used < 2.0, "{used} s");
    let log = backend.log();
    let written = log.lines().count() - log_before;
    assert!(written < 60, "{written} lines: {}", log.lines().last().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_logged_and_is_not_in_the_log() {
    const WRONG: &str = "not-the-password-of-this-cluster";
    let cluster = cluster();
    let nodes = nodes(&cluster);
    let site = Site::new();
    let backend = site.start_with(&[
        ("REDIS_NODES", nodes.as_str()),
        ("REDIS_PASSWORD", WRONG),
        ("RUST_LOG", "trace,redis=trace"),
    ]);
    let start = Instant::now();
    eventually("it is said", async || {
        let log = backend.log();
        // On a busy machine there may be another reason before it, said once too.
        let mut lines = log.lines().filter(|line| line.contains("cannot connect to redis"));
        lines
            .any(|line| line.to_lowercase().contains("auth") || line.contains("WRONGPASS"))
            .then_some(())
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(10));
    let user = backend.create_user("ann@example.com").await;
    assert_eq!(backend.get(&format!("/api/v1/users/{}", user["id"])).await.status(), 200);
    assert_eq!(backend.metric("fastnext_redis_up").await, 0.0);
    assert_eq!(readiness(&backend).await["status"], "degraded");
    let log = backend.log();
    assert!(!log.contains(WRONG) && !log.contains("panicked"), "{log}");
}
