//! Endpoints that die and come back.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Client, Lb, Origin, RawOrigin, backend_binary, eventually, respond};

/// A real backend process, killed when dropped.
struct Backend {
    child: Child,
    address: SocketAddr,
}

impl Backend {
    fn start(directory: &TempDir, listen: &str, name: &str) -> Self {
        let output = directory.path().join(format!("{name}.out"));
        let child = Command::new(backend_binary())
            .args(["--listen", listen])
            .env("BACKEND_INSTANCE", name)
            .env("BACKEND_DATABASE", directory.path().join("backend.db"))
            .env("BACKEND_SIGNING_KEY_FILE", directory.path().join("signing.key"))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Owned at once: whatever fails from here on, it is killed.
        let mut backend = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let text = std::fs::read_to_string(&output).unwrap();
            if let Some(address) =
                text.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok())
            {
                backend.address = address;
                return backend;
            }
            assert!(std::time::Instant::now() < deadline, "the backend never listens");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_costs_no_client_a_response() {
    let directory = TempDir::new().unwrap();
    let mut backends: Vec<Backend> = (1..=3)
        .map(|n| Backend::start(&directory, "127.0.0.1:0", &format!("backend-{n}")))
        .collect();
    let victim = backends[1].address;
    let lb = Arc::new(
        Lb::start(&format!(
            r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    endpoints: [{}]
    # Nothing but the fault itself can start a check before the test ends.
    health_check: {{ path: /health, interval: 1h, failing_interval: 100ms, timeout: 1s }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
            backends
                .iter()
                .map(|b| format!("{{ address: \"{}\" }}", b.address))
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .await,
    );

    let stop = Arc::new(AtomicBool::new(false));
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (stop, good, bad, url) = (stop.clone(), good.clone(), bad.clone(), lb.url("/health"));
        load.spawn(async move {
            let client = Client::plain();
            while !stop.load(Ordering::Relaxed) {
                let ok = client.get(&url).await.is_some_and(|response| response.status() == 200);
                if ok { &good } else { &bad }.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let done = |count: usize| {
        let good = good.clone();
        async move {
            let target = good.load(Ordering::Relaxed) + count;
            eventually("more requests", || (good.load(Ordering::Relaxed) >= target).then_some(()))
                .await;
        }
    };
    done(500).await;
    backends[1].kill();
    let label = format!("endpoint=\"{victim}\"");
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 0.0).await;
    lb.logged("endpoint taken out: health checks fail").await;
    done(500).await;

    let before = lb.metric("lb_endpoint_requests_total", &[&label]).await;
    backends[1] = Backend::start(&directory, &victim.to_string(), "backend-2");
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 1.0).await;
    done(500).await;
    assert!(
        lb.metric("lb_endpoint_requests_total", &[&label]).await > before,
        "it takes requests again"
    );

    stop.store(true, Ordering::Relaxed);
    while load.join_next().await.is_some() {}
    assert_eq!(
        bad.load(Ordering::Relaxed),
        0,
        "of {} requests\n{}",
        good.load(Ordering::Relaxed),
        lb.log()
    );
    assert_eq!(lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
}

fn checked(origins: &[SocketAddr], check: &str) -> String {
    let endpoints: Vec<String> =
        origins.iter().map(|address| format!("{{ address: \"{address}\" }}")).collect();
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    endpoints: [{}]
    health_check: {check}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        endpoints.join(", ")
    )
}

/// Healthy or not, as the switch says.
async fn switched(name: &'static str, healthy: &Arc<AtomicBool>) -> Origin {
    let healthy = Arc::clone(healthy);
    Origin::start(move |request| {
        let status = if request.uri().path() == "/check" && !healthy.load(Ordering::Relaxed) {
            503
        } else {
            200
        };
        async move { respond(status, name) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn active_checks_take_out_and_bring_back() {
    let (on, off) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (switched("a", &on).await, switched("b", &off).await);
    let lb = Lb::start(&checked(
        &[a.address, b.address],
        "{ path: /check, interval: 20ms, failing_interval: 20ms, unhealthy_after: 2, healthy_after: 2 }",
    ))
    .await;
    let label = format!("endpoint=\"{}\"", b.address);
    off.store(false, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 0.0).await;
    let line = lb.logged("endpoint taken out: health checks fail").await;
    assert!(line.contains("status 503") && line.contains(&b.address.to_string()), "{line}");
    let before = b.count();
    let client = Client::plain();
    for _ in 0..20 {
        assert_eq!(client.text(&lb.url("/")).await, "a");
    }
    assert_eq!(b.count(), before);
    off.store(true, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[&label], 1.0).await;
    eventually("b to be used again", || {
        (b.count() > before).then_some(()).or_else(|| {
            tokio::spawn({
                let (client, url) = (client.clone(), lb.url("/"));
                async move { client.get(&url).await }
            });
            None
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_healthy_endpoint_is_503_at_once() {
    let off = Arc::new(AtomicBool::new(false));
    let origin = switched("a", &off).await;
    let lb = Lb::start(&checked(&[origin.address], "{ path: /check, interval: 50ms }")).await;
    let response = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("no_healthy_endpoint"));
    assert_eq!(origin.count(), 0, "no traffic before the first success");
    off.store(true, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[], 1.0).await;
    assert_eq!(Client::plain().text(&lb.url("/")).await, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_the_first_round_and_readiness_says_so() {
    // The check is answered only when the test says so.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let origin = Origin::start({
        let gate = Arc::clone(&gate);
        move |request| {
            let gate = Arc::clone(&gate);
            async move {
                if request.uri().path() == "/check" {
                    let _ = gate.acquire().await;
                }
                respond(200, "served")
            }
        }
    })
    .await;
    let lb =
        Lb::launch(&checked(&[origin.address], "{ path: /check, interval: 1s, timeout: 30s }"))
            .await;
    let ready = Client::plain().get(&format!("http://{}/readyz", lb.status)).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("have not been found and checked yet"));
    let waiting = tokio::spawn({
        let url = lb.url("/");
        async move { Client::plain().text(&url).await }
    });
    // It has arrived, and waits.
    eventually("the connection", || {
        let log = std::fs::read_to_string(format!("/proc/{}/net/tcp", lb.pid())).ok()?;
        log.contains(" 01 ").then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    gate.add_permits(100);
    assert_eq!(waiting.await.unwrap(), "served");
    lb.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_can_ask_for_a_status_and_a_body() {
    let origin = Origin::start(|request| async move {
        if request.uri().path() == "/check" { respond(204, "") } else { respond(200, "x") }
    })
    .await;
    let body = Origin::start(|_| async { respond(200, "status: all good") }).await;
    for (address, check, expected) in [
        (origin.address, "{ path: /check, expect_status: 204 }", 200),
        (origin.address, "{ path: /check, expect_status: [\"200-203\", 301] }", 503),
        (body.address, "{ path: /, expect_body: \"all good\" }", 200),
        (body.address, "{ path: /, expect_body: \"all bad\" }", 503),
        (body.address, "{ type: tcp }", 200),
    ] {
        let lb = Lb::start(&checked(&[address], check)).await;
        assert_eq!(Client::plain().get(&lb.url("/x")).await.unwrap().status(), expected, "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_requests_take_an_endpoint_out_until_a_check_succeeds() {
    let good = Origin::named("good").await;
    let broken = Arc::new(AtomicBool::new(true));
    // Accepts and closes without a word, unless mended.
    let bad = RawOrigin::start({
        let broken = Arc::clone(&broken);
        move |mut stream| {
            let broken = Arc::clone(&broken);
            async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if broken.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad").await;
                }
            }
        }
    })
    .await;
    let lb = Lb::start(&format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    balance: round_robin
    endpoints: [{{ address: "{}" }}, {{ address: "{}" }}]
    passive_health: {{ max_fails: 2, fail_timeout: 1h }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        good.address, bad.address
    ))
    .await;
    let label = format!("endpoint=\"{}\"", bad.address);
    for _ in 0..10 {
        assert_eq!(Client::plain().text(&lb.url("/")).await, "good", "retried on the other one");
    }
    assert_eq!(lb.metric("lb_endpoint_ejected", &[&label]).await, 1.0);
    assert_eq!(
        lb.metric("lb_endpoint_failures_total", &[&label]).await,
        2.0,
        "one a request, then it is out"
    );
    lb.logged("endpoint taken out: too many failed requests").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_endpoint_is_never_taken_out() {
    let bad = RawOrigin::start(|stream| async move { drop(stream) }).await;
    let lb = Lb::start(&format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api: {{ endpoints: [{{ address: "{}" }}], passive_health: {{ max_fails: 1, fail_timeout: 1h }}, min_healthy_percent: 0 }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        bad.address
    ))
    .await;
    for _ in 0..5 {
        assert_eq!(Client::plain().get(&lb.url("/")).await.unwrap().status(), 502);
    }
    assert_eq!(lb.metric("lb_endpoint_ejected", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_may_have_names() {
    let origin = Origin::named("named").await;
    let yaml = crate::routing::simple(&origin)
        .replace(&origin.address.to_string(), &format!("localhost:{}", origin.address.port()));
    let lb = Lb::start(&yaml).await;
    assert_eq!(Client::plain().text(&lb.url("/")).await, "named");
}
