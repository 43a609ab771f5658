//! Users who change or remove themselves, and admins who do that for them.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Backend, Site, fields, problem};

const SESSION: &str = "/api/v1/auth/session";
const PASSWORD: &str = "correct horse";

/// A user who is signed in.
struct Member {
    path: String,
    token: String,
}

impl Member {
    async fn join(backend: &Backend, email: &str) -> Self {
        let id = backend.create_user(email).await["id"].clone();
        let token = backend.login(email, PASSWORD).await.unwrap();
        Self { path: format!("/api/v1/users/{id}"), token }
    }

    async fn join_as_admin(site: &Site, backend: &Backend, email: &str) -> Self {
        let member = Self::join(backend, email).await;
        site.execute("UPDATE users SET role = 'admin' WHERE email = ?", email).await;
        member
    }

    async fn send(&self, backend: &Backend, method: &str, path: &str) -> Response {
        backend.request(method, path).bearer_auth(&self.token).send().await.unwrap()
    }

    async fn patch(&self, backend: &Backend, path: &str, changes: Value) -> Response {
        let request = backend.request("PATCH", path).bearer_auth(&self.token);
        request.json(&changes).send().await.unwrap()
    }

    async fn is_signed_in(&self, backend: &Backend) -> bool {
        let response = self.send(backend, "GET", SESSION).await;
        if response.status() == StatusCode::OK {
            return true;
        }
        assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
        problem(response, 401).await;
        false
    }
}

#[tokio::test]
async fn a_session_says_who_and_until_when() {
    let site = Site::new();
    let backend = site.start_with(&[("BACKEND_TOKEN_TTL", "1h")]);
    let ann = Member::join(&backend, "ann@example.com").await;
    let response = ann.send(&backend, "GET", SESSION).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let session: Value = response.json().await.unwrap();
    assert_eq!(session["user"], backend.get(&ann.path).await.json::<Value>().await.unwrap());
    let expires_at = session["expires_at"].as_str().unwrap();
    assert!(expires_at.ends_with('Z') && expires_at.len() == 20, "{expires_at}");
    let expires_at = humantime::parse_rfc3339(expires_at).unwrap();
    let left = expires_at.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
    assert!((3000..=3600).contains(&left), "{left}");
}

#[tokio::test]
async fn a_logout_holds_at_all_instances_and_for_one_token_only() {
    let site = Site::new();
    let one = site.start();
    let other = site.start();
    let ann = Member::join(&one, "ann@example.com").await;
    let elsewhere = Member {
        token: other.login("ann@example.com", PASSWORD).await.unwrap(),
        path: ann.path.clone(),
    };
    assert!(ann.is_signed_in(&other).await);

    let response = ann.send(&one, "POST", "/api/v1/auth/logout").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.text().await.unwrap(), "");
    for backend in [&one, &other] {
        assert!(!ann.is_signed_in(backend).await);
        assert!(elsewhere.is_signed_in(backend).await);
    }
    problem(ann.send(&one, "POST", "/api/v1/auth/logout").await, 401).await;
}

#[tokio::test]
async fn users_change_what_they_name_and_nothing_else() {
    let site = Site::new();
    let backend = site.start();
    let ann = Member::join(&backend, "ann@example.com").await;
    let mut expected: Value = backend.get(&ann.path).await.json().await.unwrap();

    for changes in [
        json!({}),
        json!({"name": "Ann Smith"}),
        json!({"email": "Ann@Example.org"}),
        json!({"email": "ann@example.org", "name": "Robert'); DROP TABLE users;--"}),
        json!({"email": "o'--ann@example.org", "name": "%_\\\u{2028}\"${x}"}),
    ] {
        for (field, value) in changes.as_object().unwrap() {
            expected[field] = value.clone();
        }
        let response = ann.patch(&backend, &ann.path, changes.clone()).await;
        assert_eq!(response.status(), StatusCode::OK, "{changes}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.json::<Value>().await.unwrap(), expected);
        let found: Value = backend.get(&ann.path).await.json().await.unwrap();
        assert_eq!(found, expected);
    }
    assert!(ann.is_signed_in(&backend).await, "the password is the same");
    assert!(backend.login("o'--ANN@example.org", PASSWORD).await.is_some());
    assert!(backend.login("ann@example.com", PASSWORD).await.is_none());
}

#[tokio::test]
async fn changes_that_are_wrong_change_nothing() {
    let site = Site::new();
    let backend = site.start();
    let ann = Member::join(&backend, "ann@example.com").await;
    backend.create_user("bob@example.com").await;
    let before: Value = backend.get(&ann.path).await.json().await.unwrap();

    for (changes, wrong) in [
        (json!({"email": null}), &["email"][..]),
        (json!({"name": null, "role": null, "password": null}), &["name", "role", "password"]),
        (json!({"name": "Anna", "email": "nobody"}), &["email"]),
        (json!({"name": "a\u{0}b", "email": "a\u{0}@example.com"}), &["email", "name"]),
        (json!({"name": 1, "role": "root", "password": "short"}), &["name", "role", "password"]),
        (json!({"name": "Anna", "id": 7, "pasword": "x"}), &["id", "pasword"]),
        (json!([{"name": "Anna"}]), &["body"]),
    ] {
        let refusal = problem(ann.patch(&backend, &ann.path, changes.clone()).await, 422).await;
        let mut told = fields(&refusal);
        told.sort_unstable();
        let mut wrong = wrong.to_vec();
        wrong.sort_unstable();
        assert_eq!(told, wrong, "{changes}");
    }
    let changes = json!({"name": "Anna", "email": "BOB@example.com"});
    let refusal = problem(ann.patch(&backend, &ann.path, changes).await, 409).await;
    assert_eq!(fields(&refusal), ["email"]);
    assert_eq!(backend.get(&ann.path).await.json::<Value>().await.unwrap(), before);
}

#[tokio::test]
async fn a_new_password_takes_the_current_one_and_ends_all_sessions() {
    let site = Site::new();
    let one = site.start();
    let other = site.start();
    let ann = Member::join(&one, "ann@example.com").await;

    for (current, message) in
        [(None, "is required to change the password"), (Some("wrong password"), "is wrong")]
    {
        let mut changes = json!({"password": "battery staple", "name": "Anna"});
        if let Some(current) = current {
            changes["current_password"] = json!(current);
        }
        let refusal = problem(ann.patch(&one, &ann.path, changes).await, 422).await;
        let error = json!({"field": "current_password", "message": message});
        assert_eq!(refusal["errors"], json!([error]));
    }
    assert!(ann.is_signed_in(&other).await);
    let user: Value = one.get(&ann.path).await.json().await.unwrap();
    assert_eq!(user["name"], "Ann", "nothing of it was done");

    let changes = json!({"password": "battery staple", "current_password": PASSWORD});
    let response = ann.patch(&one, &ann.path, changes).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.text().await.unwrap().contains("password"));
    for backend in [&one, &other] {
        assert!(!ann.is_signed_in(backend).await);
        assert!(backend.login("ann@example.com", PASSWORD).await.is_none());
        assert!(backend.login("ann@example.com", "battery staple").await.is_some());
    }
    assert!(!one.log().contains("battery"));
}

#[tokio::test]
async fn others_are_out_of_bounds_whether_they_exist_or_not() {
    let site = Site::new();
    let backend = site.start();
    let ann = Member::join(&backend, "ann@example.com").await;
    let bob = Member::join(&backend, "bob@example.com").await;

    let mut refusals = Vec::new();
    for path in [&*bob.path, "/api/v1/users/999", "/api/v1/users/9223372036854775807"] {
        let changes = json!({"name": "Not Bob"});
        refusals.push(problem(ann.patch(&backend, path, changes).await, 403).await);
        let response = ann.send(&backend, "DELETE", path).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"insufficient_scope\"");
        refusals.push(problem(response, 403).await);
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");

    // Before anybody looks at the body.
    let request = backend.request("PATCH", &bob.path).body("no JSON");
    problem(request.bearer_auth(&ann.token).send().await.unwrap(), 403).await;
    let request = backend.request("PATCH", &bob.path).body("no JSON");
    problem(request.send().await.unwrap(), 401).await;

    for id in ["9223372036854775808", "0", "01", "-1", "ann"] {
        let path = format!("/api/v1/users/{id}");
        problem(ann.send(&backend, "DELETE", &path).await, 404).await;
    }
    let found: Value = backend.get(&bob.path).await.json().await.unwrap();
    assert_eq!(found["name"], "Ann");
}

#[tokio::test]
async fn a_removed_user_is_gone_everywhere() {
    let site = Site::new();
    let one = site.start();
    let other = site.start();
    let ann = Member::join(&one, "ann@example.com").await;
    let response = ann.send(&one, "DELETE", &ann.path).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for backend in [&one, &other] {
        problem(backend.get(&ann.path).await, 404).await;
        assert!(!ann.is_signed_in(backend).await);
        assert!(backend.login("ann@example.com", PASSWORD).await.is_none());
    }
    problem(ann.send(&one, "DELETE", &ann.path).await, 401).await;

    // The address is free again, and whoever has it now is somebody else.
    let heir = Member::join(&other, "ann@example.com").await;
    assert_ne!(heir.path, ann.path);
    assert!(!ann.is_signed_in(&other).await);
}

#[tokio::test]
async fn admins_change_and_remove_others() {
    let site = Site::new();
    let backend = site.start();
    let root = Member::join_as_admin(&site, &backend, "root@example.com").await;
    let ann = Member::join(&backend, "ann@example.com").await;

    let changes = json!({"name": "Anna", "role": "admin", "password": "battery staple"});
    let response = root.patch(&backend, &ann.path, changes).await;
    assert_eq!(response.status(), StatusCode::OK);
    let user: Value = response.json().await.unwrap();
    assert_eq!((&user["name"], &user["role"]), (&json!("Anna"), &json!("admin")));
    assert!(!ann.is_signed_in(&backend).await, "the password is another one");
    assert!(backend.login("ann@example.com", "battery staple").await.is_some());

    for method in ["PATCH", "DELETE"] {
        let request = backend.request(method, "/api/v1/users/999").bearer_auth(&root.token);
        problem(request.json(&json!({"name": "Nobody"})).send().await.unwrap(), 404).await;
    }
    problem(root.patch(&backend, "/api/v1/users/999", json!({})).await, 404).await;

    let response = root.send(&backend, "DELETE", &ann.path).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    problem(root.send(&backend, "DELETE", &ann.path).await, 404).await;
}

#[tokio::test]
async fn a_role_is_changed_by_other_admins_only() {
    let site = Site::new();
    let backend = site.start();
    let root = Member::join_as_admin(&site, &backend, "root@example.com").await;
    let ann = Member::join(&backend, "ann@example.com").await;

    for role in ["admin", "user"] {
        problem(ann.patch(&backend, &ann.path, json!({"role": role})).await, 403).await;
    }
    problem(root.patch(&backend, &root.path, json!({"role": "user"})).await, 403).await;
    let response = root.patch(&backend, &root.path, json!({"role": "admin"})).await;
    assert_eq!(response.status(), StatusCode::OK);
    // Nor is the current password a matter of rank.
    let changes = json!({"password": "battery staple"});
    let refusal = problem(root.patch(&backend, &root.path, changes).await, 422).await;
    assert_eq!(fields(&refusal), ["current_password"]);

    let role =
        async |path: &str| backend.get(path).await.json::<Value>().await.unwrap()["role"].clone();
    assert_eq!(role(&root.path).await, "admin");
    assert_eq!(role(&ann.path).await, "user");
    assert_eq!(root.patch(&backend, &ann.path, json!({"role": "admin"})).await.status(), 200);
    assert_eq!(ann.patch(&backend, &root.path, json!({"role": "user"})).await.status(), 200);
    assert_eq!(role(&root.path).await, "user");
    // A role is not in the token: it counts at once.
    let changes = json!({"name": "Not Ann"});
    problem(root.patch(&backend, &ann.path, changes).await, 403).await;
}

#[tokio::test]
async fn nobody_signs_up_as_an_admin() {
    let site = Site::new();
    let backend = site.start();
    let user = json!({
        "email": "a@b.io", "name": "Ann", "password": PASSWORD, "role": "admin", "id": 7
    });
    let refusal = problem(backend.post("/api/v1/users", user).await, 422).await;
    assert_eq!(fields(&refusal), ["id", "role"]);
}

#[tokio::test]
async fn of_passwords_that_are_set_at_the_same_time_one_is_set() {
    let site = Site::new();
    let backends = [site.start(), site.start()];
    let ann = Member::join(&backends[0], "ann@example.com").await;

    let password = |number: usize| format!("battery staple {number}");
    let changing = (0..6).map(|number| {
        let changes = json!({"password": password(number), "current_password": PASSWORD});
        ann.patch(&backends[number % 2], &ann.path, changes)
    });
    let responses = futures_util::future::join_all(changing).await;
    let mut set = Vec::new();
    for (number, response) in responses.into_iter().enumerate() {
        match response.status() {
            StatusCode::OK => set.push(number),
            // Who comes after that bears a token of before.
            StatusCode::UNAUTHORIZED => {}
            _ => assert_eq!(fields(&problem(response, 422).await), ["current_password"]),
        }
    }
    assert_eq!(set.len(), 1, "{set:?}");
    let email = "ann@example.com";
    assert!(backends[0].login(email, &password(set[0])).await.is_some());
    assert!(backends[1].login(email, PASSWORD).await.is_none());
}
