//! The database servers, one after the other, are not there.

use fleet::postgres::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stack::{
    Bearing, DEEP, PASSWORD, REPLICATION, SESSION, Stack, USERS, becomes, get_at, login, sign_up,
};
use crate::support::{eventually, problem};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_fall_behind_and_die_without_an_error() {
    let mut stack = Stack::start().await;
    let admin = stack.admin().await;
    let ann = sign_up(&stack.backends[0], "ann").await;

    // One stops to replay.
    let one = Server::Replica(1);
    stack.postgres.admin_sql(one, "SELECT pg_wal_replay_pause()").unwrap();
    sign_up(&stack.backends[0], "bob").await;
    let backend = &stack.backends[2];
    let lagging = becomes(backend, "degraded").await;
    assert_eq!(lagging["reasons"], json!(["replica-1: is too far behind the primary"]));
    let response = backend.request("GET", REPLICATION).bearing(&admin).send().await.unwrap();
    let status: Value = response.json().await.unwrap();
    assert_eq!(status["replicas"][0]["status"], "lagging", "{status}");
    assert!(status["replicas"][0]["lag_seconds"].as_f64().unwrap() > 2.0, "{status}");
    assert_eq!(status["replicas"][1]["status"], "healthy", "{status}");
    let metrics = backend.metrics().await;
    assert!(metrics.contains("fastnext_db_replica_in_use{server=\"replica-1\"} 0\n"), "{metrics}");
    // Whoever asks without a position sees both: the one that is behind is not asked.
    for _ in 0..32 {
        let page: Value = backend.get(USERS).await.json().await.unwrap();
        let emails: Vec<_> = page["items"].as_array().unwrap().iter().collect();
        assert!(emails.iter().any(|user| user["email"] == "bob@example.com"), "{page}");
    }
    stack.postgres.admin_sql(one, "SELECT pg_wal_replay_resume()").unwrap();
    stack.all_become("ready").await;

    // Both die.
    for replica in [one, Server::Replica(2)] {
        stack.postgres.kill(replica).unwrap();
        for backend in &stack.backends {
            for _ in 0..8 {
                let response = backend.get(USERS).await;
                assert_eq!(response.status(), StatusCode::OK);
                let response = get_at(backend, &ann.path, &ann.position).await;
                assert_eq!(response.status(), StatusCode::OK);
            }
            becomes(backend, "degraded").await;
        }
    }
    for replica in [one, Server::Replica(2)] {
        stack.postgres.restart(replica).unwrap();
    }
    stack.all_become("ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_primary_everything_but_writing_works() {
    let mut stack = Stack::start().await;
    let admin = stack.admin().await;
    let ann = sign_up(&stack.backends[0], "ann").await;
    let token = login(&stack.backends[0], &ann.email, PASSWORD).await.unwrap();
    stack.postgres.wait_for_replay().unwrap();

    stack.postgres.kill(Server::Primary).unwrap();
    for backend in &stack.backends {
        for _ in 0..8 {
            assert_eq!(backend.get(USERS).await.status(), StatusCode::OK);
            let response = get_at(backend, &ann.path, &ann.position).await;
            assert_eq!(response.status(), StatusCode::OK);
        }
        let response = backend.request("GET", SESSION).bearing(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(login(backend, &ann.email, PASSWORD).await.is_some());

        let carl = json!({"email": "carl@example.com", "name": "Carl", "password": PASSWORD});
        let response = backend.post(USERS, carl).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let refusal = problem(response, 503).await;
        let detail = refusal["detail"].as_str().unwrap();
        assert!(detail.contains("takes no writes"), "{refusal}");
        let request = backend.request("PATCH", &ann.path).json(&json!({"name": "Anna"}));
        problem(request.bearing(&token).send().await.unwrap(), 503).await;

        let readiness = becomes(backend, "degraded").await;
        assert_eq!(readiness["reasons"], json!(["primary: does not answer"]));
        let response = backend.request("GET", DEEP).bearing(&admin).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let health: Value = response.json().await.unwrap();
        assert_eq!(health["status"], "degraded", "{health}");
    }

    // Nobody is left: requests cannot be served, and that is said.
    for replica in [Server::Replica(1), Server::Replica(2)] {
        stack.postgres.kill(replica).unwrap();
    }
    for backend in &stack.backends {
        becomes(backend, "unavailable").await;
        problem(backend.get(USERS).await, 503).await;
        assert_eq!(backend.get("/health").await.status(), StatusCode::OK);
        let liveness = backend.get("/api/v1/scaling/health/liveness").await;
        assert_eq!(liveness.status(), StatusCode::OK);
    }

    for server in [Server::Primary, Server::Replica(1), Server::Replica(2)] {
        stack.postgres.restart(server).unwrap();
    }
    stack.all_become("ready").await;
    eventually("what was refused is taken", async || {
        let carl = json!({"email": "carl@example.com", "name": "Carl", "password": PASSWORD});
        let response = stack.backends[1].post(USERS, carl).await;
        (response.status() == StatusCode::CREATED).then_some(())
    })
    .await;
}
