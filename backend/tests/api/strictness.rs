//! Requests that somebody got wrong, on purpose or not.

use serde_json::{Value, json};

use crate::support::{Site, fields, problem};

const USERS: &str = "/api/v1/users";
const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn json_has_one_reading_or_none() {
    let site = Site::new();
    let backend = site.start();
    let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let rest = r#""name": "Ann", "password": "correct horse""#;
    for (body, status, wrong) in [
        (format!(r#"{{"email": "a@b.io", "email": "c@d.io", {rest}}}"#), 422, &["email"][..]),
        (format!(r#"{{"email": "a@b.io", {rest}, "nam\u0065": "Bob"}}"#), 422, &["name"]),
        (format!(r#"{{"email": ["a@b.io"], {rest}}}"#), 422, &["email"]),
        (format!(r#"{{"email": {{"$ne": ""}}, {rest}}}"#), 422, &["email"]),
        (format!(r#"{{"email": 1e3, {rest}}}"#), 422, &["email"]),
        (format!(r#"{{"email": "a\u0000@b.io", {rest}}}"#), 422, &["email"]),
        (format!(r#"{{"Email": "a@b.io", {rest}}}"#), 422, &["Email", "email"]),
        (deep, 422, &["email", "name", "password"]),
        ("[]".to_owned(), 422, &["body"]),
        ("null".to_owned(), 422, &["body"]),
        (format!(r#"{{"email": 1e999, {rest}}}"#), 400, &[]),
        (format!(r#"{{"email": "a\ud800@b.io", {rest}}}"#), 400, &[]),
        (format!(r#"{{"email": "\udc00\ud800", {rest}}}"#), 400, &[]),
        (format!("{{\"email\": \"a\0@b.io\", {rest}}}"), 400, &[]),
        (format!("{{\"email\": \"a\n@b.io\", {rest}}}"), 400, &[]),
        (format!(r#"{{"email": NaN, {rest}}}"#), 400, &[]),
        (format!(r#"{{"email": "a@b.io", {rest}}}{{}}"#), 400, &[]),
        (format!(r#"{{"email": "a@b.io", {rest},}}"#), 400, &[]),
        (format!("\u{feff}{{{rest}}}"), 400, &[]),
        (String::new(), 400, &[]),
    ] {
        let request = backend.request("POST", USERS).header("content-type", "application/json");
        let refusal = problem(request.body(body.clone()).send().await.unwrap(), status).await;
        if status == 422 {
            let mut told = fields(&refusal);
            told.sort_unstable();
            assert_eq!(told, wrong, "{body:.100}");
        }
    }
    let page: Value = backend.get(USERS).await.json().await.unwrap();
    assert_eq!(page["items"], json!([]));
}

#[tokio::test]
async fn a_body_says_what_it_is_and_is_not_too_long() {
    let site = Site::new();
    let backend = site.start();
    let body = r#"{"email": "a@b.io", "password": "correct horse"}"#;
    for path in [USERS, LOGIN] {
        for content_type in
            ["", "text/plain", "application/x-www-form-urlencoded", "json", "\u{e9}"]
        {
            let request = backend.request("POST", path).header("content-type", content_type);
            problem(request.body(body).send().await.unwrap(), 415).await;
        }
        problem(backend.request("POST", path).body(body).send().await.unwrap(), 415).await;
        let long = format!(r#"{{"email": "{}"}}"#, "x".repeat(64 * 1024));
        let request = backend.request("POST", path).header("content-type", "application/json");
        problem(request.body(long).send().await.unwrap(), 413).await;
    }
}

#[tokio::test]
async fn no_text_is_more_than_a_text() {
    let site = Site::new();
    let backend = site.start();
    let names = [
        "Robert'); DROP TABLE users;--",
        "\" OR \"\"=\"",
        "{{7*7}} ${7*7} %s %n",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "名前 \u{1f600} e\u{301} \u{202e}abc",
        "\\u0000 \\x00 \\",
    ];
    for (index, name) in names.iter().enumerate() {
        let email = format!("'or''='{index}@example.com");
        let user = json!({"email": email, "name": name, "password": "\0\u{7f}' OR 1=1"});
        let response = backend.post(USERS, user.clone()).await;
        assert_eq!(response.status(), 201, "{name}");
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let found: Value = backend.get(&location).await.json().await.unwrap();
        assert_eq!((&found["name"], &found["email"]), (&user["name"], &user["email"]));
        assert!(backend.login(&email, "\0\u{7f}' OR 1=1").await.is_some());
        assert!(backend.login(&email, "' OR 1=1").await.is_none());
    }
    for email in ["' OR 1=1 --", "a@b.io\0", "%", "*", "'or''='0@example.com' --"] {
        assert!(backend.login(email, "\0\u{7f}' OR 1=1").await.is_none(), "{email}");
    }
    let page: Value = backend.get(USERS).await.json().await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), names.len());
}

#[tokio::test]
async fn parameters_are_numbers_within_bounds() {
    let site = Site::new();
    let backend = site.start();
    for (query, wrong) in [
        ("limit=", "limit"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1.0", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1%00", "limit"),
        ("limit=%EF%BC%91", "limit"),
        ("after=", "after"),
        ("after=0", "after"),
        ("after=-1", "after"),
        ("after=9223372036854775808", "after"),
        ("after=1'--", "after"),
    ] {
        let refusal = problem(backend.get(&format!("{USERS}?{query}")).await, 422).await;
        assert_eq!(fields(&refusal), [wrong], "{query}");
    }
    let page = backend.get(&format!("{USERS}?limit=100&after=9223372036854775807")).await;
    assert_eq!(page.json::<Value>().await.unwrap(), json!({"items": [], "next": null}));
    problem(backend.get(&format!("{USERS}?after=1&after=2")).await, 400).await;
}

#[tokio::test]
async fn a_position_that_makes_no_sense_is_refused_only_from_the_header() {
    let site = Site::new();
    let backend = site.start();
    for path in [USERS.to_owned(), format!("{USERS}/1")] {
        let request = backend.request("GET", &path).header("x-database-position", "0/0/0");
        problem(request.send().await.unwrap(), 400).await;
    }
    let request = backend.request("GET", USERS).header("cookie", "database_position=of another");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_allowed_is_listed() {
    let site = Site::new();
    let backend = site.start();
    for (path, methods) in [
        (USERS, "GET,HEAD,POST"),
        ("/api/v1/users/", "GET,HEAD,POST"),
        ("/api/v1/users/1", "DELETE,GET,HEAD,PATCH"),
        (LOGIN, "POST"),
        ("/api/v1/auth/logout", "POST"),
        ("/api/v1/auth/session", "GET,HEAD"),
        ("/api/v1/openapi.json", "GET,HEAD"),
        ("/api/v1/scaling/health/deep", "GET,HEAD"),
        ("/api/v1/scaling/replication/status", "GET,HEAD"),
        ("/health", "GET,HEAD"),
    ] {
        for method in ["PUT", "OPTIONS", "TRACE", "BREW"] {
            let response = backend.request(method, path).send().await.unwrap();
            let allow = response.headers()["allow"].to_str().unwrap().to_owned();
            problem(response, 405).await;
            let mut allowed: Vec<_> = allow.split(',').map(str::trim).collect();
            allowed.sort_unstable();
            assert_eq!(allowed.join(","), methods, "{method} {path}");
        }
    }
}
