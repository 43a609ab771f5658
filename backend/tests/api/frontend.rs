//! The role that serves the web page.

use std::fs;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Backend, Site, eventually, problem};

const READINESS: &str = "/api/v1/scaling/health/readiness";

/// A frontend that could make neither a database nor a key.
fn start(site: &Site, environment: &[(&str, &str)]) -> Backend {
    let impossible = [
        ("BACKEND_DATABASE", "/nonexistent/backend.db"),
        ("BACKEND_SIGNING_KEY_FILE", "/nonexistent/backend.key"),
    ];
    let environment: Vec<_> = impossible.iter().chain(environment).copied().collect();
    site.launch_with(&["--role", "frontend"], &environment).wait_until_listening()
}

#[tokio::test]
async fn the_page_and_its_files_have_their_types() {
    let site = Site::new();
    let frontend = start(&site, &[]);
    for (path, content_type, beginning) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/app.css", "text/css; charset=utf-8", "/*"),
        ("/app.js", "text/javascript; charset=utf-8", "//"),
        ("/js/api.js", "text/javascript; charset=utf-8", "//"),
        ("/favicon.svg", "image/svg+xml", "<svg"),
    ] {
        let response = frontend.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        assert_eq!(headers["x-served-by"], *frontend.name, "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
        let body = response.text().await.unwrap();
        assert!(body.starts_with(beginning), "{path}: {body}");
    }
}

/// Whatever the page and the scripts name of our own: a file that is there but
/// not in the table is a 404 in the browser only.
#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let site = Site::new();
    let frontend = start(&site, &[]);
    let mut seen = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = seen.get(next).cloned() {
        next += 1;
        let response = frontend.get(&path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        for named in names(&path, &response.text().await.unwrap()) {
            if !seen.contains(&named) {
                seen.push(named);
            }
        }
    }
    assert!(seen.contains(&"/js/api.js".to_owned()), "the scripts' imports were found: {seen:?}");
    let files = ["web", "web/js"].iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let files = files.filter(|file| file.as_ref().unwrap().file_type().unwrap().is_file());
    assert_eq!(seen.len(), files.count(), "no file is left over: {seen:?}");
}

/// The paths in quotes that end like a file of ours, resolved against `base`.
fn names(base: &str, text: &str) -> Vec<String> {
    let directory = &base[..=base.rfind('/').unwrap()];
    let is_file = |name: &&str| {
        [".js", ".css", ".svg"].iter().any(|ending| name.ends_with(ending))
            && !name.contains(char::is_whitespace)
    };
    text.split(['"', '\''])
        .filter(is_file)
        .map(|name| match name.strip_prefix("./") {
            Some(relative) => format!("{directory}{relative}"),
            None => name.to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_to_refuse() {
    let site = Site::new();
    let frontend = start(&site, &[]);
    for path in ["/", "/app.js", "/nowhere", "/health", READINESS] {
        let response = frontend.get(path).await;
        let headers = response.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        let directives: Vec<_> = policy.split("; ").collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(directives.contains(&directive), "{path}: {directive} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn a_copy_that_is_still_good_is_not_sent_again() {
    let site = Site::new();
    let frontends = [start(&site, &[]), start(&site, &[])];
    for path in ["/", "/app.css", "/app.js"] {
        let response = frontends[0].get(path).await;
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        // Whichever instance is asked: they have the same file.
        for frontend in &frontends {
            let request = frontend.request("GET", path).header("if-none-match", &tag);
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(response.headers()["etag"], *tag);
            assert_eq!(response.headers()["cache-control"], "no-cache");
            assert!(response.headers().contains_key("content-security-policy"));
            assert!(response.bytes().await.unwrap().is_empty());
        }
        let request = frontends[0].request("GET", path).header("if-none-match", "\"other\"");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let site = Site::new();
    let frontend = start(&site, &[]);
    let get = frontend.get("/").await;
    let head = frontend.request("HEAD", "/").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    for name in ["content-type", "content-length", "etag", "content-security-policy"] {
        assert_eq!(head.headers()[name], get.headers()[name], "{name}");
    }
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn whatever_else_is_a_problem() {
    let site = Site::new();
    let frontend = start(&site, &[]);
    // The API is not here, and neither is any other file.
    for path in ["/index.html", "/api/v1/users", "/ws", "/..%2fCargo.toml", "/js/", "/js"] {
        problem(frontend.get(path).await, 404).await;
    }
    let response = frontend.request("POST", "/").body("x").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    problem(response, 405).await;
}

#[tokio::test]
async fn probes_and_metrics_are_where_those_of_the_api_are() {
    let site = Site::new();
    let frontend = start(&site, &[("BACKEND_DELAY", "1h")]);
    let answer = async |path: &str| {
        let response = frontend.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json::<Value>().await.unwrap()
    };
    assert_eq!(answer("/health").await, json!({"status": "healthy"}));
    assert_eq!(answer("/api/v1/scaling/health/liveness").await["status"], "alive");
    assert_eq!(answer(READINESS).await, json!({"overall": true}));
    assert_eq!(answer("/api/v1/scaling/health/startup").await, json!({"ready": true}));

    let text = frontend.metrics().await;
    for line in [
        format!(r#"fastnext_instance_info{{instance="{}"}} 1"#, frontend.name),
        r#"fastnext_http_requests_total{route="/health",status="2xx"} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    // It has neither, and would only seem to have lost them.
    assert!(!text.contains("fastnext_db_") && !text.contains("fastnext_cache_"), "{text}");
}

#[tokio::test]
async fn it_leaves_no_files_behind() {
    let site = Site::new();
    let database = site.path("backend.db");
    let key = site.path("backend.key");
    let frontend = site
        .launch_with(
            &["--role", "frontend"],
            &[
                ("BACKEND_DATABASE", database.to_str().unwrap()),
                ("BACKEND_SIGNING_KEY_FILE", key.to_str().unwrap()),
            ],
        )
        .wait_until_listening();
    assert_eq!(frontend.get("/").await.status(), StatusCode::OK);
    assert!(!database.exists() && !key.exists());
}

#[tokio::test]
async fn a_stopping_frontend_is_not_ready_and_ends_well() {
    let site = Site::new();
    // Cut short by the second signal, once it has been seen.
    let mut frontend = start(&site, &[("BACKEND_SHUTDOWN_DELAY", "1h")]);
    assert_eq!(frontend.get(READINESS).await.status(), StatusCode::OK);

    frontend.signal(Signal::SIGTERM);
    eventually("readiness turns", async || {
        let response = frontend.get(READINESS).await;
        (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    assert_eq!(frontend.get("/").await.status(), StatusCode::OK, "still serving");

    frontend.signal(Signal::SIGTERM);
    assert_eq!(frontend.wait_for_exit().await.code(), Some(0));
}
