//! Starting and stopping processes of the service.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The files that instances share: a database and a signing key.
pub(crate) struct Site {
    directory: TempDir,
    instances: AtomicUsize,
}

/// A process of the service; killed when dropped.
pub(crate) struct Backend {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    log: PathBuf,
    client: reqwest::Client,
}

/// A process of which it is not known yet whether it will serve.
pub(crate) struct Starting {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), instances: AtomicUsize::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Does behind the service's back what its API does not.
    pub(crate) async fn execute(&self, statement: &'static str, parameter: &str) {
        let options = SqliteConnectOptions::new().filename(self.path("backend.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(statement).bind(parameter).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) fn start(&self) -> Backend {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Backend {
        self.launch(environment).wait_until_listening()
    }

    pub(crate) fn launch(&self, environment: &[(&str, &str)]) -> Starting {
        self.launch_with(&[], environment)
    }

    pub(crate) fn launch_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Starting {
        let name = format!("instance-{}", self.instances.fetch_add(1, Ordering::Relaxed));
        let log = self.path(&format!("{name}.log"));
        let child = command()
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("BACKEND_INSTANCE", &name)
            .env("BACKEND_DATABASE", self.path("backend.db"))
            .env("BACKEND_SIGNING_KEY_FILE", self.path("backend.key"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Starting { child, name, log }
    }
}

impl Starting {
    pub(crate) fn wait_until_listening(mut self) -> Backend {
        let mut line = String::new();
        let stdout = self.child.stdout.take().unwrap();
        // Ends at the line, or when the process does.
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("did not start: {line:?}\n{}", read(&self.log));
        };
        Backend {
            address: address.parse().unwrap(),
            name: self.name,
            child: Some(self.child),
            log: self.log,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }
}

impl Backend {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn websocket_url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path)).timeout(PATIENCE)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request("POST", path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn create_user(&self, email: &str) -> Value {
        let user = json!({"email": email, "name": "Ann", "password": "correct horse"});
        let response = self.post("/api/v1/users", user).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json().await.unwrap()
    }

    /// A token, if these are the credentials of a user.
    pub(crate) async fn login(&self, email: &str, password: &str) -> Option<String> {
        let credentials = json!({"email": email, "password": password});
        let response = self.post("/api/v1/auth/login", credentials).await;
        if response.status() == StatusCode::UNAUTHORIZED {
            return None;
        }
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = response.json().await.unwrap();
        Some(body["access_token"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/api/v1/scaling/metrics/prometheus").await.text().await.unwrap()
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        signal::kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    pub(crate) async fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        eventually("the process ends", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.name, self.log());
        }
    }
}

/// The binary, without any setting that the environment of the tests has.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
    command.env_clear();
    command
}

/// Asks again and again until the answer is `Some`.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asserts that `response` is a problem document, and returns it.
pub(crate) async fn problem(response: Response, status: u16) -> Value {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("x-served-by"));
    assert!(response.headers().contains_key("x-request-id"));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

/// The fields that a problem document complains about.
pub(crate) fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
