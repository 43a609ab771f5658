//! Starting and stopping.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{Backend, Site, Starting, command, eventually};

const READINESS: &str = "/api/v1/scaling/health/readiness";

#[tokio::test]
async fn processes_that_start_together_on_a_fresh_database_all_succeed() {
    // Whether they collide is a matter of luck: ten times.
    for _ in 0..10 {
        let site = Site::new();
        let starting: Vec<_> = (0..3).map(|_| site.launch(&[])).collect();
        for starting in starting {
            let backend = starting.wait_until_listening();
            let response = backend.get("/api/v1/scaling/health/startup").await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn processes_that_start_together_share_their_users_and_tokens() {
    let site = Site::new();
    let starting: Vec<_> = (0..3).map(|_| site.launch(&[])).collect();
    let backends: Vec<_> = starting.into_iter().map(Starting::wait_until_listening).collect();

    for (number, backend) in backends.iter().enumerate() {
        let email = format!("user{number}@example.com");
        let user = backend.create_user(&email).await;
        for other in &backends {
            let response = other.get(&format!("/api/v1/users/{}", user["id"])).await;
            assert_eq!(response.json::<Value>().await.unwrap(), user);
            let credentials = json!({"email": email, "password": "correct horse"});
            let response = other.post("/api/v1/auth/login", credentials).await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
    for file in ["backend.key", "backend.db", "backend.db-wal"] {
        let mode = fs::metadata(site.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn processes_that_write_together_lose_nothing() {
    let site = Site::new();
    let backends = [site.start(), site.start(), site.start()];
    let creations = (0..30).map(|number| {
        let backend = &backends[number % backends.len()];
        async move { backend.create_user(&format!("user{number}@example.com")).await }
    });
    futures_util::future::join_all(creations).await;
    let page: Value = backends[0].get("/api/v1/users?limit=100").await.json().await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 30);
}

/// A request that takes `delay_ms`, and is under way.
async fn slow_request(backend: &Backend, delay_ms: u32) -> tokio::task::JoinHandle<StatusCode> {
    let request = backend.request("GET", &format!("/api/v1/diagnostics/echo?delay_ms={delay_ms}"));
    let response = tokio::spawn(async { request.send().await.unwrap().status() });
    // The other one is the request for the metrics. Several times, because the
    // one before it may be counted for a moment after its answer.
    let mut sightings = 0;
    eventually("the request is in flight", async || {
        let in_flight = backend.metric("fastnext_http_requests_in_flight").await;
        sightings = if in_flight >= 2.0 { sightings + 1 } else { 0 };
        (sightings == 3).then_some(())
    })
    .await;
    response
}

async fn is_refused(backend: &Backend) -> Option<()> {
    TcpStream::connect(backend.address).await.err().map(drop)
}

#[tokio::test]
async fn a_stopping_process_is_not_ready_but_finishes_what_it_has() {
    let site = Site::new();
    // Cut short by the second signal, once it has been seen.
    let mut backend = site.start_with(&[("BACKEND_SHUTDOWN_DELAY", "1h")]);
    let slow = slow_request(&backend, 2000).await;
    assert_eq!(backend.get(READINESS).await.status(), StatusCode::OK);

    backend.signal(Signal::SIGTERM);
    let readiness = eventually("readiness turns", async || {
        let response = backend.get(READINESS).await;
        (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(response)
    })
    .await;
    assert_eq!(
        readiness.json::<Value>().await.unwrap(),
        json!({
            "status": "unavailable",
            "database": true,
            "redis": true,
            "overall": false,
            "reasons": ["stopping"]
        })
    );
    assert_eq!(backend.get("/health").await.status(), StatusCode::OK, "still accepting");

    backend.signal(Signal::SIGTERM);
    eventually("connections are refused", async || is_refused(&backend).await).await;
    assert_eq!(slow.await.unwrap(), StatusCode::OK);
    assert_eq!(backend.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn every_stop_signal_drains() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let site = Site::new();
        let mut backend = site.start();
        let slow = slow_request(&backend, 500).await;
        backend.signal(signal);
        assert_eq!(slow.await.unwrap(), StatusCode::OK);
        assert_eq!(backend.wait_for_exit().await.code(), Some(0));
        assert!(!site.path("backend.db-wal").exists(), "the log is folded into the database");
    }
}

#[tokio::test]
async fn the_drain_timeout_bounds_a_stop() {
    let site = Site::new();
    let mut backend = site.start_with(&[("BACKEND_DRAIN_TIMEOUT", "100ms")]);
    let slow = slow_request(&backend, 60_000).await;
    backend.signal(Signal::SIGTERM);
    assert_eq!(backend.wait_for_exit().await.code(), Some(0));
    assert!(slow.await.is_err(), "the request was cut off");
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        command().args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn wrong_settings_are_all_reported_and_exit_with_1() {
    let (code, _, stderr) = run(
        &["--listen", "127.0.0.1:0"],
        &[("BACKEND_TOKEN_TTL", "soon"), ("BACKEND_DATABASE", "/nonexistent/backend.db")],
    );
    assert_eq!(code, Some(1));
    assert!(stderr.contains("backend: BACKEND_TOKEN_TTL: "), "{stderr}");
    assert!(stderr.contains("backend: BACKEND_DATABASE: "), "{stderr}");
}

#[test]
fn a_short_signing_key_exits_with_1() {
    let site = Site::new();
    let key = site.path("short.key");
    fs::write(&key, "short").unwrap();
    let database = site.path("backend.db");
    let (code, _, stderr) = run(
        &["--listen", "127.0.0.1:0"],
        &[
            ("BACKEND_SIGNING_KEY_FILE", key.to_str().unwrap()),
            ("BACKEND_DATABASE", database.to_str().unwrap()),
        ],
    );
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("holds 5 bytes"), "{stderr}");
}

#[test]
fn wrong_arguments_exit_with_2() {
    for arguments in [&[][..], &["--listen", "nowhere"], &["--listen=127.0.0.1:0", "--role=x"]] {
        assert_eq!(run(arguments, &[]).0, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_address_in_use_exits_with_70() {
    let site = Site::new();
    let backend = site.start();
    let address = backend.address.to_string();
    let (code, _, stderr) = run(&["--listen", &address], &[]);
    assert_eq!(code, Some(70));
    assert!(stderr.contains(&format!("backend: cannot listen on {address}: ")), "{stderr}");
}

#[test]
fn help_lists_every_setting() {
    let (code, stdout, _) = run(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for setting in [
        "BACKEND_INSTANCE",
        "BACKEND_DATABASE",
        "BACKEND_SIGNING_KEY_FILE",
        "BACKEND_TOKEN_TTL",
        "BACKEND_SHUTDOWN_DELAY",
        "BACKEND_DRAIN_TIMEOUT",
        "BACKEND_DELAY",
        "RUST_LOG",
    ] {
        assert!(stdout.contains(setting), "{setting} in\n{stdout}");
    }
}
