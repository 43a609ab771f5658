//! What three instances have in common.

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::stack::{
    Bearing, DEEP, LOGOUT, PASSWORD, REPLICATION, SESSION, Stack, USERS, get_at, login, sign_up,
};
use crate::support::{PATIENCE, problem};

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_are_one_service() {
    let stack = Stack::start().await;
    let [one, two, three] = &stack.backends[..] else { panic!("three") };

    // What is written at one is read at the others, by header and by cookie.
    let ann = sign_up(one, "ann").await;
    for backend in &stack.backends {
        let response = get_at(backend, &ann.path, &ann.position).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-served-by"], backend.name.as_str());
        let cookie = format!("theme=dark; database_position={}", ann.position);
        let request = backend.request("GET", USERS).header("cookie", cookie);
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().any(|user| user["email"] == ann.email), "{page}");
    }

    // So are changes and deletions, though all have had it in the cache.
    let token = login(one, &ann.email, PASSWORD).await.unwrap();
    for (number, backend) in [two, three, one].into_iter().enumerate() {
        let name = format!("Ann {number}");
        let request = backend.request("PATCH", &ann.path).json(&json!({"name": name}));
        let response = request.bearing(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let position = response.headers()["x-database-position"].to_str().unwrap().to_owned();
        for backend in &stack.backends {
            let user: Value = get_at(backend, &ann.path, &position).await.json().await.unwrap();
            assert_eq!(user["name"], name.as_str(), "at {}", backend.name);
        }
    }

    // One session for all, and one end of it, whatever the cache forgets.
    let second = login(two, &ann.email, PASSWORD).await.unwrap();
    for backend in &stack.backends {
        let response = backend.request("GET", SESSION).bearing(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let session: Value = response.json().await.unwrap();
        assert_eq!(session["user"]["email"], ann.email.as_str());
    }
    let response = two.request("POST", LOGOUT).bearing(&token).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for round in ["as it is", "with an empty cache"] {
        for backend in &stack.backends {
            let ended = backend.request("GET", SESSION).bearing(&token).send().await.unwrap();
            problem(ended, 401).await;
            let other = backend.request("GET", SESSION).bearing(&second).send().await.unwrap();
            assert_eq!(other.status(), StatusCode::OK, "{round}");
        }
        for node in stack.redis.masters().unwrap() {
            stack.redis.ask(node, &["FLUSHALL"]).unwrap();
        }
    }

    // A message goes to the members at every instance, in all rooms but the others.
    let mut sockets = Vec::new();
    for (backend, room) in [(one, "hall"), (two, "hall"), (three, "hall"), (three, "attic")] {
        let url = backend.websocket_url(&format!("/ws?room={room}"));
        sockets.push(tokio_tungstenite::connect_async(url).await.unwrap().0);
    }
    sockets[0].send(Message::text("from one to all")).await.unwrap();
    for socket in &mut sockets[..3] {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        assert_eq!(message.unwrap().unwrap(), Message::text("from one to all"));
    }
    sockets[3].send(Message::binary(vec![0, 255])).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, sockets[3].next()).await.unwrap();
    assert_eq!(
        message.unwrap().unwrap(),
        Message::binary(vec![0, 255]),
        "not what was said in the hall"
    );

    // Gone for everybody; the token of whom it was is worth nothing.
    let response = three.request("DELETE", &ann.path).bearing(&second).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let position = response.headers()["x-database-position"].to_str().unwrap().to_owned();
    for backend in &stack.backends {
        assert_eq!(get_at(backend, &ann.path, &position).await.status(), StatusCode::NOT_FOUND);
        let response = backend.request("GET", SESSION).bearing(&second).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    for backend in &stack.backends {
        assert!(!backend.log().contains(PASSWORD), "passwords are not logged");
        assert!(!backend.log().contains(stack.postgres.password()));
        assert!(!backend.log().contains(stack.redis.password()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_how_the_servers_are() {
    let stack = Stack::start().await;
    let backend = &stack.backends[1];
    let ann = sign_up(backend, "ann").await;
    let token = login(backend, &ann.email, PASSWORD).await.unwrap();
    let admin = stack.admin().await;
    for path in [DEEP, REPLICATION] {
        problem(backend.get(path).await, 401).await;
        problem(backend.request("GET", path).bearing(&token).send().await.unwrap(), 403).await;
    }

    let response = backend.request("GET", DEEP).bearing(&admin).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let health: Value = response.json().await.unwrap();
    assert_eq!(health["status"], "healthy", "{health}");
    let parts = &health["components"];
    for part in ["database", "redis"] {
        assert_eq!(parts[part]["status"], "healthy", "{health}");
        assert!(parts[part]["latency_ms"].as_f64().unwrap() > 0.0, "{health}");
    }
    assert!(parts["database"]["pool_size"].as_u64().unwrap() > 0, "{health}");
    assert!(parts["redis"]["hit_ratio"].is_f64(), "{health}");
    assert_eq!(parts["replication"]["replicas"].as_array().unwrap().len(), 2, "{health}");

    let response = backend.request("GET", REPLICATION).bearing(&admin).send().await.unwrap();
    let status: Value = response.json().await.unwrap();
    assert_eq!(status["primary"]["status"], "healthy", "{status}");
    for (index, replica) in status["replicas"].as_array().unwrap().iter().enumerate() {
        assert_eq!(replica["id"], index + 1);
        assert_eq!(replica["status"], "healthy", "{status}");
        assert!(replica["lag_seconds"].as_f64().unwrap() < 2.0, "{status}");
    }

    let metrics = backend.metrics().await;
    for line in [
        "fastnext_db_up{server=\"primary\"} 1",
        "fastnext_db_up{server=\"replica-2\"} 1",
        "fastnext_db_replica_in_use{server=\"replica-1\"} 1",
        "fastnext_redis_up 1",
        "fastnext_room_bus_up 1",
        "fastnext_ready 1",
        "fastnext_degraded 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }

    // With what the dashboards and the alerts are compared (scripts/test-monitoring.sh).
    backend.get("/health").await;
    let metrics = backend.metrics().await;
    let exposed: Vec<_> = metrics.lines().filter_map(series).collect();
    for line in include_str!("../../../scripts/tests/backend-metrics.txt").lines() {
        if let Some(promised) = series(line) {
            let promised = promised.replace("backend-1", &backend.name);
            assert!(exposed.contains(&promised.as_str()), "{promised} in {metrics}");
        }
    }
}

/// The name and the labels of a line of metrics.
fn series(line: &str) -> Option<&str> {
    if line.starts_with('#') { None } else { Some(line.rsplit_once(' ')?.0) }
}
