//! Endpoints given by name: who they are is DNS's to say, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::protocols::tls_origin;
use crate::support::dns::{DnsServer, NXDOMAIN, SERVFAIL, Says};
use crate::support::{Client, Lb, Origin, eventually, respond};

/// Origins at these addresses, all on one port, that answer with their address.
async fn fleet(addresses: &[&'static str]) -> (u16, Vec<Origin>) {
    fleet_with(addresses, |address| async move { respond(200, address) }).await
}

async fn fleet_with<H, F>(addresses: &[&'static str], answer: H) -> (u16, Vec<Origin>)
where
    H: Fn(&'static str) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = http::Response<crate::support::Body>> + Send + 'static,
{
    // The port may be taken at one of them.
    'again: loop {
        let mut listeners: Vec<TcpListener> = Vec::new();
        for address in addresses {
            let port = listeners.first().map_or(0, |first| first.local_addr().unwrap().port());
            match TcpListener::bind((*address, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => continue 'again,
                Err(error) => panic!("{address}: {error}"),
            }
        }
        let port = listeners[0].local_addr().unwrap().port();
        let origins = listeners.into_iter().zip(addresses).map(|(listener, address)| {
            let (answer, address) = (answer.clone(), *address);
            Origin::on(listener, move |_| answer(address))
        });
        return (port, origins.collect());
    }
}

/// One upstream whose endpoint is `api.test`.
fn config(dns: &DnsServer, port: u16, more: &str) -> String {
    config_of(dns, &format!("api.test:{port}"), more)
}

fn config_of(dns: &DnsServer, address: &str, more: &str) -> String {
    format!(
        r#"
dns: {{ servers: ["{}"], timeout: 2s }}
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    balance: round_robin
    endpoints: [{{ address: "{address}" }}]
    {more}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        dns.address
    )
}

async fn endpoints_become(lb: &Lb, count: usize) {
    lb.metric_becomes("lb_upstream_endpoints", &[], count as f64).await;
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_name_are_endpoints() {
    let mut addresses = vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    if has_ipv6() {
        addresses.push("::1");
    }
    let (port, origins) = fleet(&addresses).await;
    let dns = DnsServer::start().await;
    dns.set("api.test", &addresses, 60);
    let lb = Lb::start(&config(&dns, port, "")).await;
    endpoints_become(&lb, addresses.len()).await;
    for _ in 0..12 {
        Client::plain().text(&lb.url("/")).await;
    }
    for origin in &origins {
        assert_eq!(origin.count(), 12 / origins.len(), "{}", origin.address);
        let label = format!("endpoint=\"{}\"", origin.address);
        let requests = lb.metric("lb_endpoint_requests_total", &[&label]).await;
        assert_eq!(requests, (12 / origins.len()) as f64);
        lb.access_line(|line| line["endpoint"] == origin.address.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_come_over_tcp_and_short_names_are_asked_for_as_they_are() {
    let dns = DnsServer::start().await;
    let addresses: Vec<String> = (1..=100).map(|n| format!("127.1.0.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    dns.set("backend_1", &addresses, 60);
    let lb = Lb::start(&config_of(&dns, "backend_1:80", "")).await;
    endpoints_become(&lb, 100).await;
    assert!(dns.asked_over_tcp());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_drains_and_no_request_fails() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let begun = Arc::new(AtomicBool::new(false));
    let in_hold = Arc::clone(&begun);
    let (port, origins) = fleet_with(&["127.0.0.1", "127.0.0.2"], move |address| {
        let (held, begun) = (Arc::clone(&held), Arc::clone(&in_hold));
        async move {
            // The first request to the one that will leave takes until the end.
            if address == "127.0.0.2" && !begun.swap(true, Ordering::SeqCst) {
                drop(held.acquire().await);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            respond(200, address)
        }
    })
    .await;
    let dns = DnsServer::start().await;
    dns.set("api.test", &["127.0.0.1", "127.0.0.2"], 1);
    let lb = Lb::start(&config(&dns, port, "")).await;
    endpoints_become(&lb, 2).await;

    let (stop, left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let since = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, url) = (Client::plain(), lb.url("/load"));
            let (stop, left, since) = (Arc::clone(&stop), Arc::clone(&left), Arc::clone(&since));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let has_left = left.load(Ordering::SeqCst);
                    // POST: nothing that goes wrong is tried again in secret.
                    let response = client.0.post(&url).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    let text = response.text().await.unwrap();
                    if has_left {
                        assert_eq!(text, "127.0.0.1", "no new request");
                        since.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    eventually("a request to be held", || begun.load(Ordering::SeqCst).then_some(())).await;
    eventually("requests to both", || {
        origins.iter().all(|origin| origin.count() > 20).then_some(())
    })
    .await;

    dns.set("api.test", &["127.0.0.1"], 1);
    endpoints_become(&lb, 1).await;
    left.store(true, Ordering::SeqCst);
    let gone = format!("endpoint=\"127.0.0.2:{port}\"");
    assert!(!lb.metrics().await.contains(&gone), "its series are gone");
    eventually("more requests", || (since.load(Ordering::SeqCst) > 50).then_some(())).await;
    // The one that was held ends well too.
    gate.add_permits(1);
    stop.store(true, Ordering::SeqCst);
    for client in load {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_stays_while_dns_fails() {
    let (port, _origins) = fleet(&["127.0.0.2"]).await;
    let dns = DnsServer::start().await;
    dns.set("api.test", &["127.0.0.2"], 1);
    let lb = Lb::start(&config(&dns, port, "")).await;
    endpoints_become(&lb, 1).await;
    let client = Client::plain();
    let mut failures = 0.0;
    for (says, reason) in [
        (Some(Says::Error(SERVFAIL)), "SERVFAIL"),
        (Some(Says::Error(NXDOMAIN)), "NXDOMAIN"),
        (Some(Says::Addresses(Vec::new(), 1)), "it has no address"),
        (Some(Says::Addresses(vec!["0.0.0.0".parse().unwrap()], 1)), "0.0.0.0"),
        (Some(Says::Silence), "no answer in time"),
        (None, "name not resolved"),
    ] {
        match says {
            // Back at the start, so that the pauses between questions are short.
            Some(says) => {
                dns.set("api.test", &["127.0.0.2"], 1);
                eventually("an answer", || {
                    let resolved = lb.log().matches("name resolved again").count();
                    let failed = lb.log().matches("name not resolved").count();
                    (resolved == failed).then_some(())
                })
                .await;
                dns.say("api.test", says);
            }
            None => dns.die(),
        }
        lb.logged(reason).await;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now = lb.metric("lb_dns_failures_total", &["name=\"api.test\""]).await;
            if now > failures {
                failures = now;
                break;
            }
            assert!(Instant::now() < deadline, "{reason} is not counted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.text(&lb.url("/")).await, "127.0.0.2", "{reason}\n{}", lb.log());
    }
    assert_eq!(lb.metric("lb_upstream_endpoints", &[]).await, 1.0);
    let times = lb.log().lines().filter(|line| line.contains("it has no address")).count();
    assert_eq!(times, 1, "what does not change is said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_again_when_its_ttl_is_over() {
    let (port, _origins) = fleet(&["127.0.0.2", "127.0.0.3"]).await;
    let dns = DnsServer::start().await;
    dns.set("api.test", &["127.0.0.2"], 1);
    dns.set("slow.test", &["127.0.0.9"], 3600);
    let yaml = config(&dns, port, "").replace(
        "upstreams:\n",
        "upstreams:\n  slow: { endpoints: [{ address: \"slow.test:80\" }] }\n",
    );
    let lb = Lb::start(&yaml).await;
    let client = Client::plain();
    assert_eq!(client.text(&lb.url("/")).await, "127.0.0.2");
    dns.set("api.test", &["127.0.0.3"], 1);
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.text(&lb.url("/")).await != "127.0.0.3" {
        assert!(Instant::now() < deadline, "the change is never seen\n{}", lb.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("more questions", || (dns.asked("api.test") >= 4).then_some(())).await;
    assert_eq!(dns.asked("slow.test"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_at_the_start_may_come() {
    let (port, _origins) = fleet(&["127.0.0.2"]).await;
    let dns = DnsServer::start().await;
    for more in ["", "health_check: { path: /check }"] {
        dns.say("api.test", Says::Error(NXDOMAIN));
        let lb = Lb::start(&config(&dns, port, more)).await;
        let client = Client::plain();
        let response = client.get(&lb.url("/")).await.unwrap();
        assert_eq!(response.status(), 503);
        let why = response.headers()["proxy-status"].to_str().unwrap().to_owned();
        assert!(why.contains("no_healthy_endpoint"), "{why}");
        endpoints_become(&lb, 0).await;
        dns.set("api.test", &["127.0.0.2"], 1);
        lb.metric_becomes("lb_upstream_available_endpoints", &["upstream=\"api\""], 1.0).await;
        assert_eq!(client.text(&lb.url("/")).await, "127.0.0.2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_address_stays_until_the_new_one_has_passed() {
    let healthy = Arc::new(AtomicBool::new(false));
    let is_healthy = Arc::clone(&healthy);
    let (port, origins) = fleet_with(&["127.0.0.2", "127.0.0.3"], move |address| {
        let fine = address == "127.0.0.2" || is_healthy.load(Ordering::SeqCst);
        async move { respond(if fine { 200 } else { 500 }, address) }
    })
    .await;
    let dns = DnsServer::start().await;
    dns.set("api.test", &["127.0.0.2"], 1);
    let check = "health_check: { path: /check, interval: 10s, failing_interval: 50ms }";
    let lb = Lb::start(&config(&dns, port, check)).await;
    dns.set("api.test", &["127.0.0.3"], 1);
    endpoints_become(&lb, 2).await;
    let client = Client::plain();
    for _ in 0..20 {
        assert_eq!(client.text(&lb.url("/")).await, "127.0.0.2");
    }
    assert_eq!(origins[1].count(), 0, "no traffic before the first success");
    healthy.store(true, Ordering::SeqCst);
    endpoints_become(&lb, 1).await;
    for _ in 0..20 {
        assert_eq!(client.text(&lb.url("/")).await, "127.0.0.3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_called_by_its_name() {
    // TLS asks for the name and verifies it, whatever the address is.
    let directory = TempDir::new().unwrap();
    let address = tls_origin(&directory, &["origin.test"]).await;
    let ca = directory.path().join("ca.pem").display().to_string();
    let dns = DnsServer::start().await;
    for name in ["origin.test", "other.test"] {
        dns.set(name, &["127.0.0.1"], 60);
    }
    let client = Client::plain();
    for (protocol, version) in [("https", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
        for check in ["", "health_check: { path: / }\n    "] {
            let more = format!("{check}protocol: {protocol}\n    tls: {{ ca: {ca} }}");
            let at = |name: &str| config_of(&dns, &format!("{name}:{}", address.port()), &more);
            let lb = Lb::start(&at("origin.test")).await;
            let text = client.text(&lb.url("/")).await;
            assert_eq!(text, format!("{version} origin.test"), "{}", lb.log());
            let lb = Lb::start(&at("other.test")).await;
            let response = client.get(&lb.url("/")).await.unwrap();
            assert_eq!(response.status(), if check.is_empty() { 502 } else { 503 });
        }
    }

    // The Host of a check is the name too.
    let (port, origins) = fleet(&["127.0.0.2"]).await;
    dns.set("api.test", &["127.0.0.2"], 60);
    let _lb = Lb::start(&config(&dns, port, "health_check: { path: /probe }")).await;
    let checks = origins[0].requests();
    assert_eq!(checks[0].header("host"), Some(format!("api.test:{port}")));
}
