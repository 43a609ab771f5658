//! Nobody learns from a login who is a user.

use http::StatusCode;
use serde_json::json;

use crate::testing::{Api, FakeStore};

const LOGIN: &str = "/api/v1/auth/login";

/// Instead of the time, which depends on the machine: the work that takes it.
#[tokio::test]
async fn every_wrong_login_costs_one_hash_and_gets_one_answer() {
    let api = Api::new(FakeStore::new()).await;
    let ann = json!({"email": "ann@example.com", "name": "Ann", "password": "correct horse"});
    assert_eq!(api.send("POST", "/api/v1/users", &[], Some(ann)).await.status, StatusCode::CREATED);

    let long = "x".repeat(60_000);
    let mut answers = Vec::new();
    for (email, password) in [
        ("ann@example.com", "wrong password"),
        ("ann@example.com", ""),
        ("ann@example.com", &*long),
        ("ann@example.com", "correct horse\0"),
        ("bob@example.com", "correct horse"),
        ("bob@example.com", &*long),
        ("", "correct horse"),
        ("no address", "correct horse"),
        ("ann@example.com\0", "correct horse"),
        ("ann@example.com'--", "correct horse"),
        (&*long, "correct horse"),
    ] {
        let before = api.services.passwords.done();
        let login = json!({"email": email, "password": password});
        let answer = api.send("POST", LOGIN, &[], Some(login)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{email}");
        assert_eq!(api.services.passwords.done() - before, 1, "{email}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answers.push(answer.body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

    let before = api.services.passwords.done();
    let login = json!({"email": "ann@example.com", "password": "correct horse"});
    assert_eq!(api.send("POST", LOGIN, &[], Some(login)).await.status, StatusCode::OK);
    assert_eq!(api.services.passwords.done() - before, 1);
}

#[tokio::test]
async fn a_database_that_is_down_is_down_for_all_addresses() {
    let store = FakeStore::new();
    store.put("ann@example.com", crate::domain::Role::User);
    let api = Api::new(store.clone()).await;
    store.break_down();
    let mut answers = Vec::new();
    for email in ["ann@example.com", "bob@example.com"] {
        let login = json!({"email": email, "password": "correct horse"});
        let answer = api.send("POST", LOGIN, &[], Some(login)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].to_string().contains("internal"), "{answers:?}");
    assert_eq!(api.services.passwords.done(), 0);
}
