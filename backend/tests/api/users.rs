//! Users.

use futures_util::stream;
use reqwest::{Body, StatusCode};
use serde_json::{Value, json};

use crate::support::{Site, fields, problem};

const USERS: &str = "/api/v1/users";

fn ann() -> Value {
    json!({"email": "Ann@Example.com", "name": "Ann", "password": "correct horse"})
}

#[tokio::test]
async fn a_created_user_is_found_where_the_location_says() {
    let site = Site::new();
    let backend = site.start();
    let response = backend.post(USERS, ann()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let created: Value = response.json().await.unwrap();

    let mut keys: Vec<_> = created.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["created_at", "email", "id", "name", "role"], "no password, no hash");
    assert_eq!(created["email"], "Ann@Example.com");
    assert_eq!(location, format!("{USERS}/{}", created["id"]));

    let response = backend.get(&location).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.json::<Value>().await.unwrap(), created);
}

#[tokio::test]
async fn what_one_instance_creates_another_reads_at_once() {
    let site = Site::new();
    let one = site.start();
    let other = site.start();
    for number in 0..10 {
        let path = format!("{USERS}/{}", number + 1);
        assert_eq!(other.get(&path).await.status(), StatusCode::NOT_FOUND);
        let created = one.create_user(&format!("user{number}@example.com")).await;
        let response = other.get(&path).await;
        assert_eq!(response.headers()["x-served-by"], other.name.as_str());
        assert_eq!(response.json::<Value>().await.unwrap(), created);
    }
}

#[tokio::test]
async fn an_address_in_use_is_refused_whatever_its_case() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;
    let refusal = problem(backend.post(USERS, ann()).await, 409).await;
    assert_eq!(fields(&refusal), ["email"]);
}

#[tokio::test]
async fn an_invalid_user_is_told_every_field() {
    let site = Site::new();
    let backend = site.start();

    let user = json!({"email": "nobody", "name": "", "password": "short"});
    let refusal = problem(backend.post(USERS, user).await, 422).await;
    assert_eq!(fields(&refusal), ["email", "name", "password"]);

    let refusal = problem(backend.post(USERS, json!({})).await, 422).await;
    assert_eq!(fields(&refusal), ["email", "name", "password"]);

    let mut user = ann();
    user["password"] = json!(12_345_678);
    let refusal = problem(backend.post(USERS, user).await, 422).await;
    assert_eq!(fields(&refusal), ["password"]);
    assert!(!refusal.to_string().contains("12345678"));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let site = Site::new();
    let backend = site.start();
    let post = |content_type: &str, body: &str| {
        backend
            .request("POST", USERS)
            .header("content-type", content_type)
            .body(body.to_owned())
            .send()
    };
    problem(post("application/json", "{\"email\":").await.unwrap(), 400).await;
    problem(post("text/plain", &ann().to_string()).await.unwrap(), 415).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let site = Site::new();
    let backend = site.start();
    let mut user = ann();
    user["name"] = json!("x".repeat(64 * 1024));
    problem(backend.post(USERS, user.clone()).await, 413).await;

    // Without its length in the head.
    let chunks = [Ok::<_, std::io::Error>(user.to_string())];
    let request = backend
        .request("POST", USERS)
        .header("content-type", "application/json")
        .body(Body::wrap_stream(stream::iter(chunks)));
    problem(request.send().await.unwrap(), 413).await;
}

#[tokio::test]
async fn what_cannot_be_an_id_is_not_found() {
    let site = Site::new();
    let backend = site.start();
    for id in ["1", "0", "01", "-1", "ann", "%ff", "99999999999999999999"] {
        problem(backend.get(&format!("{USERS}/{id}")).await, 404).await;
    }
}

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference() {
    let site = Site::new();
    let backend = site.start();
    let response = backend.post(&format!("{USERS}/"), ann()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let page: Value = backend.get(USERS).await.json().await.unwrap();
    assert_eq!(backend.get(&format!("{USERS}/")).await.json::<Value>().await.unwrap(), page);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_follow_one_another_to_the_last() {
    let site = Site::new();
    let backend = site.start();
    let empty: Value = backend.get(USERS).await.json().await.unwrap();
    assert_eq!(empty, json!({"items": [], "next": null}));

    for number in 1..=5 {
        backend.create_user(&format!("user{number}@example.com")).await;
    }

    let mut path = format!("{USERS}?limit=2");
    let mut pages = Vec::new();
    loop {
        let page: Value = backend.get(&path).await.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        pages.push(items.iter().map(|user| user["id"].as_i64().unwrap()).collect::<Vec<_>>());
        if page["next"].is_null() {
            break;
        }
        path = format!("{USERS}?limit=2&after={}", page["next"]);
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);

    // A full page that is the last says so.
    let page: Value = backend.get(&format!("{USERS}?limit=5")).await.json().await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 5);
    assert!(page["next"].is_null());

    let refusal = backend.get(&format!("{USERS}?limit=0&after=x")).await;
    assert_eq!(fields(&problem(refusal, 422).await), ["limit", "after"]);
    problem(backend.get(&format!("{USERS}?limit=1&limit=2")).await, 400).await;
}

#[tokio::test]
async fn a_broken_database_is_logged_once_and_told_to_nobody() {
    let site = Site::new();
    let backend = site.start();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(site.path("backend.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("DROP TABLE users").execute(&pool).await.unwrap();

    let request = backend.request("GET", USERS).header("x-request-id", "find-me-in-the-log");
    let refusal = problem(request.send().await.unwrap(), 500).await;
    assert!(!refusal.to_string().contains("table"), "{refusal}");
    let log = backend.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("find-me-in-the-log")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("no such table: users"), "{log}");

    let response = backend.get("/api/v1/scaling/health/readiness").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let readiness: Value = response.json().await.unwrap();
    assert_eq!(readiness["status"], "unavailable");
    assert_eq!(readiness["database"], false);
    assert_eq!(readiness["reasons"], json!(["primary: failed"]));
}
