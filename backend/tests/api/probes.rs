//! Probes and metrics.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Site, eventually};

#[tokio::test]
async fn a_started_process_is_healthy_alive_and_ready() {
    let site = Site::new();
    let backend = site.start();
    let answer = async |path: &str| {
        let response = backend.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json::<Value>().await.unwrap()
    };

    assert_eq!(answer("/health").await, json!({"status": "healthy"}));
    let liveness = answer("/api/v1/scaling/health/liveness").await;
    assert_eq!(liveness["status"], "alive");
    assert!(liveness["timestamp"].as_f64().unwrap() > 1.7e9);
    assert_eq!(
        answer("/api/v1/scaling/health/readiness").await,
        json!({"status": "ready", "database": true, "redis": true, "overall": true, "reasons": []})
    );
    assert_eq!(
        answer("/api/v1/scaling/health/startup").await,
        json!({"database_migrated": true, "cache_initialized": true, "ready": true})
    );
}

#[tokio::test]
async fn metrics_are_named_and_their_labels_bounded() {
    let site = Site::new();
    let backend = site.start();
    backend.create_user("ann@example.com").await;
    backend.get("/api/v1/users/1").await;
    backend.get("/api/v1/users/2").await;
    backend.get("/no/such/route").await;
    backend.request("DELETE", "/health").send().await.unwrap();

    let response = backend.get("/api/v1/scaling/metrics/prometheus").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    let text = response.text().await.unwrap();
    for line in [
        r#"fastnext_http_requests_total{route="/api/v1/users",status="2xx"} 1"#,
        r#"fastnext_http_requests_total{route="/api/v1/users/{id}",status="2xx"} 1"#,
        r#"fastnext_http_requests_total{route="/api/v1/users/{id}",status="4xx"} 1"#,
        r#"fastnext_http_requests_total{route="/health",status="4xx"} 1"#,
        r#"fastnext_http_requests_total{route="unmatched",status="4xx"} 1"#,
        r#"fastnext_http_request_duration_seconds_count{route="/api/v1/users/{id}"} 2"#,
        "fastnext_redis_hit_ratio 0",
        "fastnext_websockets 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    // A client can see the end of a response before the server is done with it.
    eventually("only the request that asks is in flight", async || {
        (backend.metric("fastnext_http_requests_in_flight").await == 1.0).then_some(())
    })
    .await;
    eventually("the connections are given back", async || {
        (backend.metric("fastnext_db_pool_checked_out").await == 0.0).then_some(())
    })
    .await;
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    assert!(backend.metric("fastnext_db_pool_size").await >= 2.0);
    assert!(text.contains("\nfastnext_ready 1\n") && text.contains("\nfastnext_degraded 0\n"));
    assert!(!text.contains("/no/such/route"));
}

#[tokio::test]
async fn a_delay_spares_probes() {
    let site = Site::new();
    let backend = site.start_with(&[("BACKEND_DELAY", "1h")]);
    for path in ["/health", "/api/v1/scaling/health/readiness"] {
        assert_eq!(backend.get(path).await.status(), StatusCode::OK);
    }
    backend.metrics().await;
}

#[tokio::test]
async fn a_delay_holds_other_responses_back() {
    let site = Site::new();
    let backend = site.start_with(&[("BACKEND_DELAY", "300ms")]);
    for path in ["/api/v1/users", "/nowhere"] {
        let start = std::time::Instant::now();
        backend.get(path).await;
        assert!(start.elapsed().as_millis() >= 300, "{path}");
    }
}
