//! Logs and metrics.

use std::time::Duration;

use crate::routing::simple;
use crate::support::{Client, Lb, Origin, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_access_line_tells_the_story_of_an_exchange() {
    let origin = Origin::named("hello").await;
    let lb = Lb::start(&simple(&origin)).await;
    let request =
        Client::plain().0.post(lb.url("/a?b=\"c\"")).header("user-agent", "test\"er").body("12345");
    request.send().await.unwrap().text().await.unwrap();
    let line = lb.access_line(|line| line["method"] == "POST").await;
    for (field, expected) in [
        ("client", "127.0.0.1"),
        ("listener", "http"),
        ("target", "/a?b=%22c%22"),
        ("protocol", "HTTP/1.1"),
        ("virtual_host", "*"),
        ("route", "/"),
        ("upstream", "api"),
        ("user_agent", "test\"er"),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    assert_eq!(line["endpoint"], origin.address.to_string());
    for (field, expected) in
        [("status", 200), ("bytes_sent", 5), ("bytes_received", 5), ("attempts", 1)]
    {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    for field in ["duration_ms", "upstream_connect_ms", "upstream_first_byte_ms"] {
        assert!(line[field].as_f64().unwrap() >= 0.0, "{field} of {line}");
    }
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert!(line.get("cause").is_none() && line.get("error").is_none(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_be_left_out_of_the_log() {
    let origin = Origin::named("x").await;
    let yaml = simple(&origin).replace(
        "routes: [",
        "routes: [{ match: { path_prefix: /health }, upstream: api, access_log: false }, ",
    );
    let lb = Lb::start(&yaml).await;
    let client = Client::plain();
    client.get(&lb.url("/health")).await.unwrap();
    client.get(&lb.url("/other")).await.unwrap();
    lb.access_line(|line| line["target"] == "/other").await;
    assert!(lb.access_lines().iter().all(|line| !line.contains("/health")));
    assert_eq!(lb.metric("lb_requests_total", &["route=\"/health\""]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_is_opened_again_on_usr1() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&format!(
        "access_log: {{ path: access.log, format: combined }}\n{}",
        simple(&origin)
    ))
    .await;
    let client = Client::plain();
    let read = |name: &str| std::fs::read_to_string(lb.path(name)).unwrap_or_default();
    client.get(&lb.url("/first")).await.unwrap();
    eventually("the first line", || read("access.log").contains("GET /first").then_some(())).await;
    std::fs::rename(lb.path("access.log"), lb.path("access.log.1")).unwrap();
    lb.signal("USR1");
    lb.logged("access log opened again").await;
    client.get(&lb.url("/second")).await.unwrap();
    eventually("the second line", || read("access.log").contains("GET /second").then_some(()))
        .await;
    assert!(!read("access.log.1").contains("/second"));
    let line = read("access.log");
    assert!(
        line.starts_with("127.0.0.1 - - [")
            && line.contains("] \"GET /second HTTP/1.1\" 200 1 \"-\" \"-\""),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_slows_no_request_and_drops_are_counted() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&format!("access_log: {{ path: /dev/full }}\n{}", simple(&origin))).await;
    let client = Client::plain();
    for _ in 0..50 {
        assert_eq!(client.get(&lb.url("/")).await.unwrap().status(), 200);
    }
    lb.metric_becomes("lb_access_log_dropped_total", &[], 50.0).await;
    lb.logged("the access log cannot be written").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_blocks_nothing() {
    let origin = Origin::named("x").await;
    let fifo = tempfile::TempDir::new().unwrap();
    let path = fifo.path().join("log");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Held open so that lb can open it; never read.
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let lb =
        Lb::start(&format!("access_log: {{ path: \"{}\" }}\n{}", path.display(), simple(&origin)))
            .await;
    let client = Client::plain();
    let long = "x".repeat(4000);
    for _ in 0..3000 {
        assert_eq!(client.get(&lb.url(&format!("/{long}"))).await.unwrap().status(), 200);
    }
    // 3000 lines of 4 KiB are more than the pipe and the queue hold together.
    assert!(lb.metric("lb_access_log_dropped_total", &[]).await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_that_are_promised_are_there() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    Client::plain().get(&lb.url("/")).await.unwrap();
    let text = lb.metrics().await;
    for name in [
        "lb_requests_total{cause=\"\",route=\"/\",status_class=\"2xx\",virtual_host=\"*\"} 1",
        "lb_request_duration_seconds_bucket",
        "lb_upstream_connect_duration_seconds_count{upstream=\"api\"} 1",
        "lb_upstream_first_byte_duration_seconds_count{upstream=\"api\"} 1",
        "lb_endpoint_in_flight{",
        "lb_endpoint_healthy{",
        "lb_endpoint_ejected{",
        "lb_upstream_available_endpoints{upstream=\"api\"} 1",
        "lb_endpoint_connections{",
        "lb_connections_total{listener=\"http\"}",
        "lb_connections_open{listener=\"http\"}",
        "lb_access_log_dropped_total 0",
        "lb_build_info{version=",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(text.contains(name), "no {name} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_server_says_that_it_lives() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    let client = Client::plain();
    let status = |path: &str| format!("http://{}{path}", lb.status);
    assert_eq!(client.text(&status("/healthz")).await, "alive\n");
    assert!(client.text(&status("/readyz")).await.contains("\"ready\":true"));
    assert_eq!(client.get(&status("/nothing")).await.unwrap().status(), 404);
    assert_eq!(client.0.post(status("/readyz")).send().await.unwrap().status(), 405);
    tokio::time::timeout(Duration::from_secs(5), client.text(&status("/metrics"))).await.unwrap();
}
