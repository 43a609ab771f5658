//! Nodes of the Redis Cluster are killed and halted.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::stack::{
    Bearing, LOGOUT, PASSWORD, READINESS, SESSION, Signup, Stack, USERS, get_at, login, sign_up,
};

/// Every kind of request, at every instance; none of which may fail.
async fn serves(stack: &Stack, users: &[Signup], token: &str) {
    for backend in &stack.backends {
        for user in users {
            let response = get_at(backend, &user.path, &user.position).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", user.path);
        }
        let response = backend.request("GET", SESSION).bearing(token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(backend.get(USERS).await.status(), StatusCode::OK);
        assert_eq!(backend.get(READINESS).await.status(), StatusCode::OK);
    }
}

/// Enough users that every master has some of their keys.
async fn some_users(stack: &Stack, prefix: &str) -> Vec<Signup> {
    let mut users = Vec::new();
    for number in 0..12 {
        let backend = &stack.backends[number % 3];
        users.push(sign_up(backend, &format!("{prefix}{number}")).await);
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_dies_and_nobody_notices() {
    let mut stack = Stack::start().await;
    let users = some_users(&stack, "first").await;
    let token = login(&stack.backends[0], &users[0].email, PASSWORD).await.unwrap();
    serves(&stack, &users, &token).await;

    let dead = stack.redis.masters().unwrap()[0];
    let heirs = stack.redis.replicas_of(dead).unwrap();
    stack.redis.kill(dead).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until the replica has been promoted, and after.
    loop {
        serves(&stack, &users, &token).await;
        let masters = stack.redis.masters().unwrap();
        if heirs.iter().any(|heir| masters.contains(heir)) {
            break;
        }
        assert!(Instant::now() < deadline, "no replica was promoted");
    }
    stack.all_become("ready").await;
    let users = some_users(&stack, "second").await;
    serves(&stack, &users, &token).await;

    stack.redis.restart(dead).unwrap();
    stack.redis.wait_until_whole().unwrap();
    serves(&stack, &users, &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_though_redis_hangs() {
    let stack = Stack::start().await;
    let users = some_users(&stack, "user").await;
    let token = login(&stack.backends[0], &users[0].email, PASSWORD).await.unwrap();

    // A halted node alone is given up and replaced; all six are not.
    for node in 1..=6 {
        stack.redis.pause(node).unwrap();
    }
    for path in ["liveness", "readiness", "startup"] {
        for backend in &stack.backends {
            // What Kubernetes waits for, in the guide's manifests.
            let probe = backend
                .request("GET", &format!("/api/v1/scaling/health/{path}"))
                .timeout(Duration::from_secs(3));
            assert_eq!(probe.send().await.expect(path).status(), StatusCode::OK);
        }
    }
    stack.all_become("degraded").await;
    serves(&stack, &users, &token).await;
    let response = stack.backends[1].request("POST", LOGOUT).bearing(&token).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);

    for node in 1..=6 {
        stack.redis.resume(node).unwrap();
    }
    stack.all_become("ready").await;
    // What could not be told to the cache is true all the same; within the time that a
    // session is kept there.
    crate::support::eventually("the session has ended everywhere", async || {
        for backend in &stack.backends {
            let response = backend.request("GET", SESSION).bearing(&token).send().await.unwrap();
            if response.status() != StatusCode::UNAUTHORIZED {
                return None;
            }
        }
        Some(())
    })
    .await;
}
