//! Two thousand tunnels and two hundred reloads that have nothing to do with them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::scene::{ANY_PORT, Tunnel, Yaml, origin, start};
use crate::support::Lb;

const RELOADS: usize = 200;

/// After so many, everything that grows once has grown: buffers, tables, arenas.
const WARM: usize = 20;

/// What resident memory may grow by in the other 180. A snapshot of this size
/// takes about 100 KiB with its series: keeping every one would be more than
/// 16 MiB. What the allocator keeps for a while is less.
const SLACK: u64 = 8 << 20;

/// Descriptors that come and go: the connections that ask for metrics, mostly.
const DESCRIPTORS: usize = 16;

/// So many that this process, which has both ends of each, has descriptors for.
fn tunnels() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    }
    // And other tests run beside this one.
    usize::try_from(hard.saturating_sub(2000) / 2).unwrap_or(usize::MAX).clamp(100, 2000)
}

/// A configuration whose every part but the tunnels' own differs from the last.
fn varied(yaml: &Yaml, number: usize) -> Yaml {
    let mut yaml = yaml.with_unrelated(number);
    if number.is_multiple_of(2) {
        yaml.listener("extra", ANY_PORT);
    }
    yaml.limit("some", &format!("rate: {}/s, burst: 5", number % 7 + 1));
    for each in 0..50 {
        let path = format!("/padding/{}/{each}", number % 5);
        let keys =
            "upstream: unrelated, rate_limits: [some], response_headers: { set: { X-A: b } }";
        yaml.route("more.test", &format!("match: {{ path_prefix: {path} }}, {keys}"));
    }
    yaml.top("shutdown", &format!("{{ drain_timeout: {}s }}", number % 3 + 1));
    yaml
}

async fn used(lb: &Lb) -> (u64, usize) {
    (lb.resident_memory(), lb.descriptors())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_outlive_two_hundred_reloads_and_nothing_grows() {
    let wanted = tunnels();
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let address = lb.address("http");
    let mut all = Vec::new();
    while all.len() < wanted {
        let more = (0..50.min(wanted - all.len())).map(|_| Tunnel::open(address, "a.test"));
        all.extend(futures_util::future::join_all(more).await);
    }
    lb.metric_becomes("lb_endpoint_in_flight", &[], wanted as f64).await;
    let mut warm = (0, 0);
    for number in 0..RELOADS {
        lb.rewrite(&varied(&yaml, number).to_string());
        let (status, report) = lb.post_reload().await;
        assert_eq!(status, 200, "{report:#}");
        if number + 1 == WARM {
            warm = used(&lb).await;
        }
        // Some of them talk meanwhile.
        all[number * 7 % wanted].echoes(&format!("during reload {number}.")).await;
    }
    let (memory, descriptors) = used(&lb).await;
    assert_eq!(lb.metric("lb_endpoint_in_flight", &[]).await, wanted as f64);
    for (number, tunnel) in all.iter_mut().enumerate() {
        tunnel.echoes(&format!("tunnel {number}, after all of them.")).await;
    }
    let grown = memory.saturating_sub(warm.0);
    println!(
        "{wanted} tunnels: {} KiB after {WARM}, {} after {RELOADS}",
        warm.0 >> 10,
        memory >> 10
    );
    assert!(grown < SLACK, "memory grew by {grown} bytes from {}", warm.0);
    assert!(descriptors < warm.1 + DESCRIPTORS, "{} descriptors, then {descriptors}", warm.1);
    drop(all);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    lb.metric_becomes("lb_connections_open", &[], 0.0).await;
}
