//! Checks go on over a change of snapshot: what stays is left alone, what is new
//! is checked at once, what is gone is not checked any more.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "e2e/support/dns.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with tests that need more of it")]
mod dns;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dns::DnsServer;
use lb::compile::compile_text;
use lb::snapshot::Registry;
use lb::upstream::{Checker, Placement, Tried, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HOURLY: &str = "health_check: { path: /, interval: 1h, failing_interval: 20ms }";
const OFTEN: &str = "health_check: { path: /, interval: 20ms, failing_interval: 20ms }";

/// An endpoint that counts its checks.
struct Endpoint {
    address: SocketAddr,
    checks: Arc<AtomicUsize>,
    healthy: Arc<AtomicBool>,
}

impl Endpoint {
    async fn start(healthy: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let checks = Arc::new(AtomicUsize::new(0));
        let healthy = Arc::new(AtomicBool::new(healthy));
        let (count, fine) = (Arc::clone(&checks), Arc::clone(&healthy));
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let status = if fine.load(Ordering::SeqCst) { "200 OK" } else { "500 No" };
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                });
            }
        });
        Self { address, checks, healthy }
    }

    fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

fn compile(registry: &Registry, upstreams: &[(&str, &[&Endpoint], &str)]) -> Vec<Arc<Upstream>> {
    let mut written = String::new();
    for (name, endpoints, check) in upstreams {
        let endpoints: Vec<String> = endpoints
            .iter()
            .map(|endpoint| format!("{{ address: \"{}\" }}", endpoint.address))
            .collect();
        written += &format!("  {name}: {{ endpoints: [{}], {check} }}\n", endpoints.join(", "));
    }
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams:
{written}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#
    );
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, registry);
    assert!(!compiled.has_errors(), "{:#?}", compiled.problems);
    compiled.snapshot.unwrap().upstreams
}

/// One upstream, `api`.
fn api(registry: &Registry, endpoints: &[&Endpoint], check: &str) -> Arc<Upstream> {
    Arc::clone(&compile(registry, &[("api", endpoints, check)])[0])
}

fn available(upstream: &Upstream) -> usize {
    upstream.available(Instant::now())
}

/// Where the next request would go.
fn next(upstream: &Upstream) -> Option<String> {
    let placement = Placement { random: 0, key: 0, now: Instant::now() };
    let lease = upstream.lease(placement, &Tried::default()).ok()?;
    Some(lease.endpoint().label().to_string())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The time in which another endpoint is checked twenty times.
async fn many_checks_elsewhere() {
    let endpoint = Endpoint::start(true).await;
    let _checker = Checker::start(&[api(&Registry::default(), &[&endpoint], OFTEN)]);
    until("many checks", || endpoint.checks() >= 20).await;
}

#[tokio::test]
async fn what_stays_is_not_checked_again_and_what_is_new_is_at_once() {
    let registry = Registry::default();
    let (first, second) = (Endpoint::start(true).await, Endpoint::start(true).await);
    let old = api(&registry, &[&first], HOURLY);
    let mut checker = Checker::start(&[Arc::clone(&old)]);
    old.shared.first_round.wait().await;
    assert_eq!((available(&old), first.checks()), (1, 1));

    let new = api(&registry, &[&second, &first], HOURLY);
    checker.update(&[Arc::clone(&new)]);
    assert!(new.shared.first_round.is_over(), "nobody waits again");
    assert_eq!(available(&new), 1, "the one that stays is as healthy as before");
    until("the new one", || available(&new) == 2).await;
    assert_eq!((first.checks(), second.checks()), (1, 1));
}

#[tokio::test]
async fn other_settings_hold_from_the_next_check_on() {
    let registry = Registry::default();
    let endpoint = Endpoint::start(true).await;
    let old = api(&registry, &[&endpoint], HOURLY);
    let mut checker = Checker::start(&[Arc::clone(&old)]);
    old.shared.first_round.wait().await;
    checker.update(&[api(&registry, &[&endpoint], OFTEN)]);
    until("many checks", || endpoint.checks() > 5).await;

    // Down after three failures now, and not when one has failed.
    let new = api(&registry, &[&endpoint], &OFTEN.replace(" }", ", unhealthy_after: 1 }"));
    checker.update(&[Arc::clone(&new)]);
    endpoint.healthy.store(false, Ordering::SeqCst);
    until("it to be down", || available(&new) == 0).await;

    // No checks: everybody is healthy, and nobody is asked.
    let unchecked = api(&registry, &[&endpoint], "");
    checker.update(&[Arc::clone(&unchecked)]);
    assert_eq!(available(&unchecked), 1);
    let before = endpoint.checks();
    many_checks_elsewhere().await;
    assert!(endpoint.checks() <= before + 1, "one that was on its way may still arrive");
}

#[tokio::test]
async fn what_is_gone_is_not_checked_any_more() {
    let registry = Registry::default();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Endpoint::start(true).await);
    }
    let upstreams =
        compile(&registry, &[("api", &[&all[0], &all[1]], OFTEN), ("web", &[&all[2]], OFTEN)]);
    let mut checker = Checker::start(&upstreams);
    until("checks of all", || all.iter().all(|endpoint| endpoint.checks() > 2)).await;
    checker.update(&[api(&registry, &[&all[0]], OFTEN)]);
    // One that is on its way may still arrive.
    let before: Vec<usize> = all.iter().map(Endpoint::checks).collect();
    until("more checks of the one", || all[0].checks() > before[0] + 10).await;
    assert!(all[1].checks() <= before[1] + 1 && all[2].checks() <= before[2] + 1);

    // It comes back as one that is new.
    let back =
        compile(&registry, &[("api", &[&all[0], &all[1]], OFTEN), ("web", &[&all[2]], OFTEN)]);
    checker.update(&back);
    until("checks of all again", || {
        all.iter().zip(&before).all(|(endpoint, before)| endpoint.checks() > before + 3)
    })
    .await;
    assert_eq!(back.iter().map(|upstream| available(upstream)).collect::<Vec<_>>(), [2, 1]);
    drop(checker);
    let after = all[0].checks();
    many_checks_elsewhere().await;
    assert!(all[0].checks() <= after + 1, "they end with their owner");
}

#[tokio::test]
async fn when_all_are_others_the_old_serve_until_a_new_one_is_healthy() {
    let registry = Registry::default();
    let (old, new) = (Endpoint::start(true).await, Endpoint::start(false).await);
    let before = api(&registry, &[&old], HOURLY);
    let mut checker = Checker::start(&[Arc::clone(&before)]);
    before.shared.first_round.wait().await;

    let after = api(&registry, &[&new], HOURLY);
    checker.update(&[Arc::clone(&after)]);
    assert_eq!(next(&after), Some(old.address.to_string()));
    until("checks of the new one", || new.checks() > 3).await;
    assert_eq!(next(&after), Some(old.address.to_string()));
    new.healthy.store(true, Ordering::SeqCst);
    until("the old one to leave", || after.members().endpoints.len() == 1).await;
    assert_eq!(after.requests(), 2, "what it has carried still counts");
    assert_eq!(next(&after), Some(new.address.to_string()));
}

#[tokio::test]
async fn checks_that_are_new_do_not_stop_traffic() {
    let registry = Registry::default();
    let endpoint = Endpoint::start(true).await;
    let old = api(&registry, &[&endpoint], "");
    let mut checker = Checker::start(&[Arc::clone(&old)]);
    old.shared.first_round.wait().await;
    let new = api(&registry, &[&endpoint], HOURLY);
    checker.update(&[Arc::clone(&new)]);
    assert_eq!(available(&new), 1, "before the first check");
    until("the first check", || endpoint.checks() == 1).await;
    assert_eq!(available(&new), 1);
}

#[tokio::test]
async fn a_new_upstream_has_a_first_round() {
    let registry = Registry::default();
    let (first, second) = (Endpoint::start(true).await, Endpoint::start(false).await);
    let old = api(&registry, &[&first], HOURLY);
    let mut checker = Checker::start(&[Arc::clone(&old)]);
    old.shared.first_round.wait().await;
    let both = compile(&registry, &[("api", &[&first], HOURLY), ("web", &[&second], HOURLY)]);
    checker.update(&both);
    assert!(both[0].shared.first_round.is_over());
    assert!(!both[1].shared.first_round.is_over());
    both[1].shared.first_round.wait().await;
    assert_eq!(available(&both[1]), 0, "it is over when all were asked, well or not");
}

/// One upstream, `api`, whose endpoint has a name.
fn named(registry: &Registry, server: &DnsServer, more: &str) -> Arc<Upstream> {
    let yaml = format!(
        r#"
version: 1
dns: {{ servers: ["{}"] }}
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "api.test:80" }}{more}] }} }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#,
        server.address
    );
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, registry);
    assert!(!compiled.has_errors(), "{:#?}", compiled.problems);
    Arc::clone(&compiled.snapshot.unwrap().upstreams[0])
}

fn labels(upstream: &Upstream) -> Vec<String> {
    let members = upstream.members();
    members.endpoints.iter().map(|endpoint| endpoint.state.label().to_string()).collect()
}

#[tokio::test]
async fn names_are_followed_on_and_other_servers_are_asked_at_once() {
    let registry = Registry::default();
    let (first, second) = (DnsServer::start().await, DnsServer::start().await);
    first.set("api.test", &["10.0.0.1", "10.0.0.2"], 3600);
    second.set("api.test", &["10.0.0.2", "10.0.0.3"], 3600);
    let old = named(&registry, &first, "");
    assert!(labels(&old).is_empty(), "compiling asks nobody");
    let mut checker = Checker::start(&[Arc::clone(&old)]);
    old.shared.first_round.wait().await;
    assert_eq!(labels(&old), ["10.0.0.1:80", "10.0.0.2:80"]);

    let same = named(&registry, &first, r#", { address: "10.0.0.9:80" }"#);
    assert_eq!(labels(&same), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:80"], "known at once");
    checker.update(&[Arc::clone(&same)]);
    many_checks_elsewhere().await;
    assert_eq!(first.asked("api.test"), 1, "its answer is still valid");
    let other = named(&registry, &second, "");
    checker.update(&[Arc::clone(&other)]);
    assert_eq!(labels(&other), ["10.0.0.1:80", "10.0.0.2:80"]);
    until("the other server's answer", || labels(&other) == ["10.0.0.2:80", "10.0.0.3:80"]).await;
    assert_eq!((first.asked("api.test"), second.asked("api.test")), (1, 1));
}
