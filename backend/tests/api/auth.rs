//! Logging in.

use std::time::Duration;

use backend::tokens::{SigningKey, Tokens};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Site, fields, problem};

const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn a_login_gives_a_token_that_names_the_user() {
    let site = Site::new();
    let one = site.start_with(&[("BACKEND_TOKEN_TTL", "90s")]);
    let other = site.start_with(&[("BACKEND_TOKEN_TTL", "90s")]);
    let user = one.create_user("ann@example.com").await;

    let credentials = json!({"email": "ANN@example.com", "password": "correct horse"});
    let response = other.post(LOGIN, credentials).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 90);

    // Signed with the key that both processes share.
    let key = SigningKey::load_or_create(&site.path("backend.key")).unwrap();
    let tokens = Tokens::new(&key, Duration::from_secs(1));
    let token = tokens.verify(body["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(token.user.value(), user["id"].as_i64().unwrap());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;

    let mut refusals = Vec::new();
    for (email, password) in [
        ("ann@example.com", "wrong password"),
        ("bob@example.com", "correct horse"),
        ("not an address", "correct horse"),
    ] {
        let response = backend.post(LOGIN, json!({"email": email, "password": password})).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        refusals.push(problem(response, 401).await);
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
}

#[tokio::test]
async fn a_login_without_a_password_is_invalid() {
    let site = Site::new();
    let backend = site.start();
    let refusal = problem(backend.post(LOGIN, json!({"email": "a@b.io"})).await, 422).await;
    assert_eq!(fields(&refusal), ["password"]);
}

#[tokio::test]
async fn more_logins_than_cores_are_all_answered() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;
    let credentials = json!({"email": "ann@example.com", "password": "correct horse"});
    let logins = (0..12).map(|_| backend.post(LOGIN, credentials.clone()));
    for response in futures_util::future::join_all(logins).await {
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn passwords_do_not_reach_the_log() {
    let site = Site::new();
    let backend = site.start_with(&[("RUST_LOG", "trace,h2=off,hyper=off,tungstenite=off")]);
    backend.create_user("ann@example.com").await;
    let credentials = json!({"email": "ann@example.com", "password": "correct horse"});
    backend.post(LOGIN, credentials).await;
    assert!(!backend.log().is_empty());
    assert!(!backend.log().contains("correct horse"));
    assert!(!backend.log().contains("argon2id"));
}
