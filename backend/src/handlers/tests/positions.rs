//! Reads see what the client has written, wherever it was written.

use http::{Method, StatusCode};
use serde_json::json;

use super::bearer;
use crate::domain::Role;
use crate::store::Position;
use crate::testing::{Answer, Api, FakeStore};

fn reached(answer: &Answer) -> Position {
    let text = answer.headers["x-database-position"].to_str().unwrap();
    let cookie = format!("database_position={text}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60");
    assert_eq!(answer.headers["set-cookie"], cookie.as_str());
    Position::parse(text).unwrap()
}

#[tokio::test]
async fn every_write_tells_what_it_has_reached() {
    let store = FakeStore::new();
    let ann = store.put("ann@example.com", Role::User);
    let api = Api::new(store).await;
    let token = bearer(&api, &ann);
    let token = &[("authorization", &*token)];

    let user = json!({"email": "bob@example.com", "name": "Bob", "password": "correct horse"});
    let mut last = Position::START;
    for (method, path, fields, body, status) in [
        (Method::POST, "/api/v1/users", &[][..], Some(user), StatusCode::CREATED),
        (Method::PATCH, "/api/v1/users/1", token, Some(json!({"name": "Anna"})), StatusCode::OK),
        (Method::POST, "/api/v1/auth/logout", token, None, StatusCode::NO_CONTENT),
    ] {
        let answer = api.send(method.as_str(), path, fields, body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(reached(&answer) > last);
        last = reached(&answer);
    }
    let token = bearer(&api, &ann);
    let answer = api.send("DELETE", "/api/v1/users/1", &[("authorization", &token)], None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(reached(&answer) > last);
}

#[tokio::test]
async fn what_writes_nothing_tells_nothing() {
    let store = FakeStore::new();
    let ann = store.put("ann@example.com", Role::User);
    let api = Api::new(store).await;
    let token = bearer(&api, &ann);
    let token = &[("authorization", &*token)];
    for (method, path, body) in [
        ("GET", "/api/v1/users", None),
        ("GET", "/api/v1/users/1", None),
        ("PATCH", "/api/v1/users/1", Some(json!({}))),
        ("PATCH", "/api/v1/users/1", Some(json!({"name": ""}))),
        ("PATCH", "/api/v1/users/2", Some(json!({"name": "Bob"}))),
        ("GET", "/api/v1/auth/session", None),
    ] {
        let answer = api.send(method, path, token, body).await;
        assert!(!answer.headers.contains_key("x-database-position"), "{method} {path}");
        assert!(!answer.headers.contains_key("set-cookie"), "{method} {path}");
    }
}

#[tokio::test]
async fn reads_ask_for_what_the_client_has_seen() {
    let store = FakeStore::new();
    let ann = store.put("ann@example.com", Role::User);
    let api = Api::new(store.clone()).await;
    let token = bearer(&api, &ann);
    let seen = &[("x-database-position", "0/A"), ("cookie", "database_position=0/B")][..];
    for (fields, expected) in [(seen, 0xA), (&seen[1..], 0xB), (&[], 0)] {
        let mut fields = fields.to_vec();
        fields.push(("authorization", &*token));
        for (method, path, body) in [
            ("GET", "/api/v1/users", None),
            ("GET", "/api/v1/users/1", None),
            ("PATCH", "/api/v1/users/1", Some(json!({}))),
        ] {
            let answer = api.send(method, path, &fields, body).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(store.asked().last(), Some(&Position::from_bytes(expected)), "{path}");
        }
    }

    for path in ["/api/v1/users", "/api/v1/users/1"] {
        let answer = api.send("GET", path, &[("x-database-position", "newest")], None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("X-Database-Position"), "{detail}");
    }
}
