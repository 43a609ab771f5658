//! Three instances and what they depend on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fleet::postgres::{Postgres, Server};
use fleet::redis::RedisCluster;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Backend, Site, eventually};

pub(crate) const READINESS: &str = "/api/v1/scaling/health/readiness";
pub(crate) const USERS: &str = "/api/v1/users";
pub(crate) const LOGIN: &str = "/api/v1/auth/login";
pub(crate) const LOGOUT: &str = "/api/v1/auth/logout";
pub(crate) const SESSION: &str = "/api/v1/auth/session";
pub(crate) const DEEP: &str = "/api/v1/scaling/health/deep";
pub(crate) const REPLICATION: &str = "/api/v1/scaling/replication/status";

/// After so long the nodes of the cluster give one of them up.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

const ADMIN: &str = "admin@example.com";
const ADMIN_PASSWORD: &str = "an administrator's password";

/// All of it. Fields are dropped in order: the instances first.
pub(crate) struct Stack {
    pub(crate) backends: Vec<Backend>,
    pub(crate) postgres: Postgres,
    pub(crate) redis: RedisCluster,
    _site: Site,
}

impl Stack {
    /// Starts everything, and waits until all instances are ready without anything
    /// missing.
    pub(crate) async fn start() -> Self {
        // Both at once: they take seconds, mostly of waiting.
        let redis = tokio::task::spawn_blocking(|| RedisCluster::for_test(NODE_TIMEOUT).unwrap());
        let postgres = tokio::task::spawn_blocking(|| {
            let mut postgres = Postgres::for_test(2).unwrap();
            postgres.wait_for_replicas().unwrap();
            postgres
        });
        let (redis, postgres) = (redis.await.unwrap(), postgres.await.unwrap());

        let site = Site::new();
        let admin_password_file = site.path("admin-password");
        fs::write(&admin_password_file, format!("{ADMIN_PASSWORD}\n")).unwrap();
        fs::set_permissions(&admin_password_file, fs::Permissions::from_mode(0o600)).unwrap();
        let address = |server| postgres.address(server).unwrap().to_string();
        let joined = |addresses: Vec<String>| addresses.join(",");
        let environment = [
            ("POSTGRES_SERVER", address(Server::Primary)),
            ("POSTGRES_READ_REPLICAS", joined(postgres.replicas().map(address).collect())),
            ("POSTGRES_PASSWORD_FILE", postgres.password_file().display().to_string()),
            ("MAX_REPLICA_LAG", "2s".to_owned()),
            ("REDIS_NODES", joined(redis.addresses().iter().map(ToString::to_string).collect())),
            ("REDIS_PASSWORD_FILE", redis.password_file().display().to_string()),
            ("BACKEND_ADMIN_EMAIL", ADMIN.to_owned()),
            ("BACKEND_ADMIN_PASSWORD_FILE", admin_password_file.display().to_string()),
        ];
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let starting: Vec<_> = (0..3).map(|_| site.launch(&environment)).collect();
        let backends = starting.into_iter().map(|one| one.wait_until_listening()).collect();

        let stack = Self { backends, postgres, redis, _site: site };
        stack.all_become("ready").await;
        stack
    }

    /// Waits until every instance says that it is `status`.
    pub(crate) async fn all_become(&self, status: &str) {
        for backend in &self.backends {
            becomes(backend, status).await;
        }
    }

    /// A token of the administrator.
    pub(crate) async fn admin(&self) -> String {
        let backend = &self.backends[0];
        // Made in the background when the instances start.
        eventually("the administrator is there", async || {
            login(backend, ADMIN, ADMIN_PASSWORD).await
        })
        .await
    }
}

/// The readiness of an instance, once it is `status`.
pub(crate) async fn becomes(backend: &Backend, status: &str) -> Value {
    let mut last = Value::Null;
    let what = format!("{} is {status}", backend.name);
    eventually(&what, async || {
        let response = backend.get(READINESS).await;
        let code = response.status();
        last = response.json().await.unwrap();
        let is_served = code == StatusCode::OK;
        assert_eq!(is_served, last["overall"] == true, "{last}");
        (last["status"] == status).then(|| last.clone())
    })
    .await
}

/// A token, if the password is right.
pub(crate) async fn login(backend: &Backend, email: &str, password: &str) -> Option<String> {
    let response = backend.post(LOGIN, json!({"email": email, "password": password})).await;
    if response.status() != StatusCode::OK {
        return None;
    }
    let body: Value = response.json().await.unwrap();
    Some(body["access_token"].as_str().unwrap().to_owned())
}

/// A user who has just signed up.
pub(crate) struct Signup {
    pub(crate) path: String,
    pub(crate) email: String,
    /// From which on the user is there.
    pub(crate) position: String,
}

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) async fn sign_up(backend: &Backend, name: &str) -> Signup {
    let email = format!("{name}@example.com");
    let user = json!({"email": email, "name": name, "password": PASSWORD});
    let response = backend.post(USERS, user).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let position = response.headers()["x-database-position"].to_str().unwrap().to_owned();
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    Signup { path, email, position }
}

/// A request that sees what was written.
pub(crate) async fn get_at(backend: &Backend, path: &str, position: &str) -> Response {
    backend.request("GET", path).header("x-database-position", position).send().await.unwrap()
}

pub(crate) trait Bearing {
    fn bearing(self, token: &str) -> Self;
}

impl Bearing for RequestBuilder {
    fn bearing(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }
}
