//! Tokens that are not, or no longer, good.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Backend, Site, eventually, problem};

const SESSION: &str = "/api/v1/auth/session";

/// The status, the challenge and the problem that these `Authorization` fields get.
async fn refusal(backend: &Backend, fields: &[&[u8]]) -> (u16, String, Value) {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append("authorization", reqwest::header::HeaderValue::from_bytes(field).unwrap());
    }
    let response = backend.request("GET", SESSION).headers(headers).send().await.unwrap();
    let status = response.status().as_u16();
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    (status, challenge, problem(response, status).await)
}

async fn is_invalid(backend: &Backend, token: &str) {
    let (status, challenge, problem) =
        refusal(backend, &[format!("Bearer {token}").as_bytes()]).await;
    assert_eq!((status, &*challenge), (401, "Bearer error=\"invalid_token\""), "{token}");
    // Very short ones are part of any text.
    assert!(token.len() < 10 || !problem.to_string().contains(token), "{problem}");
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge() {
    let site = Site::new();
    let backend = site.start();
    for fields in [&[][..], &[&b"Basic YTpi"[..]], &[b"Digest realm=\"x\""]] {
        let (status, challenge, _) = refusal(&backend, fields).await;
        assert_eq!((status, &*challenge), (401, "Bearer"), "{fields:?}");
    }
}

#[tokio::test]
async fn a_field_that_makes_no_sense_is_told_so() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;
    let token = backend.login("ann@example.com", "correct horse").await.unwrap();
    let good = format!("Bearer {token}");
    for fields in [
        &[&b"Bearer"[..]][..],
        &[b"Bearer two words"],
        &[b"Bearer \xe9"],
        &[good.as_bytes(), good.as_bytes()],
        &[good.as_bytes(), b"Basic YTpi"],
        &[format!("{good}, {good}").as_bytes()],
    ] {
        let (status, challenge, problem) = refusal(&backend, fields).await;
        assert_eq!((status, &*challenge), (400, "Bearer error=\"invalid_request\""));
        assert!(!problem.to_string().contains(&token), "{problem}");
    }
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let request = backend.request("GET", SESSION);
        let request = request.header("authorization", format!("{scheme} {token}"));
        assert_eq!(request.send().await.unwrap().status(), 200, "{scheme}");
    }
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;
    let token = backend.login("ann@example.com", "correct horse").await.unwrap();
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("no token: {token}") };

    for cut in [token.len() - 1, token.len() - signature.len(), header.len(), 1] {
        is_invalid(&backend, &token[..cut]).await;
    }
    let flipped = |text: &str| {
        let first = if text.starts_with('A') { 'B' } else { 'A' };
        format!("{first}{}", &text[1..])
    };
    is_invalid(&backend, &format!("{}.{payload}.{signature}", flipped(header))).await;
    is_invalid(&backend, &format!("{header}.{}.{signature}", flipped(payload))).await;
    is_invalid(&backend, &format!("{header}.{payload}.{}", flipped(signature))).await;
    is_invalid(&backend, &format!("{token}.{signature}")).await;
    is_invalid(&backend, &format!("{header}.{payload}.")).await;
    is_invalid(&backend, &format!("{token}=")).await;
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    is_invalid(&backend, &format!("{none}.{payload}.")).await;
    is_invalid(&backend, &format!("{none}.{payload}.{signature}")).await;
    is_invalid(&backend, &"x".repeat(8000)).await;
    is_invalid(&backend, "null").await;
}

#[tokio::test]
async fn the_key_is_not_enough() {
    let site = Site::new();
    let backend = site.start();
    let id = backend.create_user("ann@example.com").await["id"].as_i64().unwrap();
    let key = std::fs::read(site.path("backend.key")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let jti = "0".repeat(32);
    let good = json!({"sub": id.to_string(), "jti": jti, "ver": 0, "iat": now, "exp": now + 60});
    let sign = |algorithm: Algorithm, key: &[u8], claims: &Value| {
        let key = EncodingKey::from_secret(key);
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    };
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(Algorithm::HS256, &key, &claims)
    };

    // So the others are refused for what is wrong with them.
    let token = with("sub", json!(id.to_string()));
    let response = backend.request("GET", SESSION).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.status(), 200);

    is_invalid(&backend, &sign(Algorithm::HS512, &key, &good)).await;
    is_invalid(&backend, &sign(Algorithm::HS384, &key, &good)).await;
    is_invalid(&backend, &sign(Algorithm::HS256, &[7; 32], &good)).await;
    for (name, value) in [
        ("exp", json!(now - 60)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(253_402_300_800_u64)),
        ("exp", json!("tomorrow")),
        ("exp", Value::Null),
        ("sub", json!((id + 1).to_string())),
        ("sub", json!("0")),
        ("sub", json!("1 OR 1=1")),
        ("sub", json!(id)),
        ("jti", json!("x")),
        ("jti", Value::Null),
        ("ver", json!(1)),
        ("ver", json!(-1)),
        ("ver", json!("0")),
    ] {
        is_invalid(&backend, &with(name, value)).await;
    }
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let site = Site::new();
    let backend = site.start_with(&[("BACKEND_TOKEN_TTL", "1s")]);
    backend.create_user("ann@example.com").await;
    let token = backend.login("ann@example.com", "correct horse").await.unwrap();
    let status = async || {
        let request = backend.request("GET", SESSION).bearer_auth(&token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status().await, 200);
    // After the leeway for clocks.
    eventually("the token ends", async || (status().await == 401).then_some(())).await;
}
