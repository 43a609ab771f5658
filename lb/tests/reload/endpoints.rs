//! Endpoints that come, go, and are up or down all along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::scene::{Tunnel, Yaml, ask, origin, start};
use crate::support::{Client, Lb, Origin, RawConnection, respond};

async fn in_flight(lb: &Lb, endpoint: &Origin) -> f64 {
    let label = format!("endpoint=\"{}\"", endpoint.address);
    lb.metric("lb_endpoint_in_flight", &[&label]).await
}

/// Sends a request that waits to each of the two.
async fn both_busy(lb: &Lb) -> [RawConnection; 2] {
    let mut busy = Vec::new();
    for number in 1..=2 {
        let mut connection = RawConnection::open(lb.address("http")).await;
        connection.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        lb.metric_becomes("lb_endpoint_in_flight", &[], f64::from(number)).await;
        busy.push(connection);
    }
    busy.try_into().ok().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_left_takes_nothing_new_and_finishes_what_it_has() {
    let (stays, stays_gate) = origin("stays").await;
    let (leaves, leaves_gate) = origin("leaves").await;
    let mut yaml = Yaml::new(&stays);
    yaml.upstream("api", &[stays.address, leaves.address]);
    yaml.top("shutdown", "{ drain_timeout: 1h }");
    let lb = start(&yaml).await;
    let mut busy = both_busy(&lb).await;
    let mut tunnels = Vec::new();
    for number in 3..=4 {
        tunnels.push(Tunnel::open(lb.address("http"), "a.test").await);
        lb.metric_becomes("lb_endpoint_in_flight", &[], f64::from(number)).await;
    }
    assert_eq!((in_flight(&lb, &stays).await, in_flight(&lb, &leaves).await), (2.0, 2.0));

    yaml.upstream("api", &[stays.address]);
    let report = lb.reload(&yaml.to_string()).await;
    let line = format!("upstream \"api\": endpoint \"{}\" removed", leaves.address);
    assert_eq!(report["changes"], serde_json::json!([line]));
    // Right afterwards: the counts of who stays are right, the other's are told as those
    // of whoever has left.
    assert_eq!(in_flight(&lb, &stays).await, 2.0);
    assert_eq!(lb.metric("lb_upstream_draining_in_flight", &[]).await, 2.0);
    assert!(!lb.metrics().await.contains(&format!("endpoint=\"{}\"", leaves.address)));
    let before = leaves.count();
    for _ in 0..20 {
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "stays");
    }
    assert_eq!(leaves.count(), before);
    for tunnel in &mut tunnels {
        tunnel.echoes("goes on").await;
    }
    stays_gate.add_permits(1);
    leaves_gate.add_permits(1);
    for (connection, body) in busy.iter_mut().zip(["stays", "leaves"]) {
        // Which of them went where is the picker's business.
        let answer = connection.read_until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{body}: {answer}");
        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    // Back: its tunnel is counted again.
    yaml.upstream("api", &[stays.address, leaves.address]);
    lb.reload(&yaml.to_string()).await;
    assert_eq!((in_flight(&lb, &stays).await, in_flight(&lb, &leaves).await), (1.0, 1.0));
    assert_eq!(lb.metric("lb_upstream_draining_in_flight", &[]).await, 0.0);
    drop(tunnels);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_still_has_after_the_drain_timeout_is_cut() {
    let (stays, _gate) = origin("stays").await;
    let (leaves, _other_gate) = origin("leaves").await;
    let mut yaml = Yaml::new(&stays);
    yaml.top("shutdown", "{ drain_timeout: 2s }");
    let mut before = yaml.clone();
    before.upstream("going", &[leaves.address]);
    before.route("going.test", "match: { path_prefix: / }, upstream: going, websocket: true");
    let lb = start(&before).await;
    let mut tunnel = Tunnel::open(lb.address("http"), "going.test").await;
    let mut other = Tunnel::open(lb.address("http"), "a.test").await;
    let mut busy = RawConnection::open(lb.address("http")).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: going.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 3.0).await;
    // The upstream as a whole, and its host.
    let begun = std::time::Instant::now();
    lb.reload(&yaml.to_string()).await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    tunnel.echoes("still").await;
    tunnel.0.read_to_end().await;
    assert!(begun.elapsed().as_millis() >= 1900, "{:?}", begun.elapsed());
    let answer = busy.read_until("\r\n\r\n").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    for target in ["/tunnel", "/gated"] {
        let line =
            lb.access_line(|line| line["host"] == "going.test" && line["target"] == target).await;
        assert_eq!(line["cause"], "drain_timeout", "{line:#}");
        assert_eq!(line["upstream"], "going");
    }
    lb.logged("what is open at endpoints that have left is cut").await;
    other.echoes("not this one").await;
    assert_eq!(Client::unpooled().get(&lb.url("/")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_came_back_in_time_is_not_cut() {
    let (stays, _) = origin("stays").await;
    let (leaves, _) = origin("leaves").await;
    let mut yaml = Yaml::new(&leaves);
    yaml.top("shutdown", "{ drain_timeout: 2s }");
    let lb = start(&yaml).await;
    let mut tunnel = Tunnel::open(lb.address("http"), "a.test").await;
    let mut without = yaml.clone();
    without.upstream("api", &[stays.address]);
    lb.reload(&without.to_string()).await;
    tunnel.echoes("left").await;
    lb.reload(&yaml.to_string()).await;
    // Longer than it would have had.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    tunnel.echoes("back").await;
    assert!(!lb.log().contains("is cut"), "{}", lb.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_ones_and_new_weights_count_on() {
    let (first, gate) = origin("x").await;
    let (second, _) = origin("x").await;
    let mut yaml = Yaml::new(&first);
    let lb = start(&yaml).await;
    let mut busy = RawConnection::open(lb.address("http")).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    yaml.upstream("api", &[first.address, second.address]);
    lb.reload(&yaml.to_string()).await;
    // The first has one already: the fewest are the other's.
    for _ in 0..5 {
        let before = second.count();
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "x");
        assert_eq!(second.count(), before + 1);
    }
    let text = yaml.to_string().replace(
        &format!("{{ address: \"{}\" }}", first.address),
        &format!("{{ address: \"{}\", weight: 1000 }}", first.address),
    );
    assert!(text.contains("weight"));
    let text = text.replace("endpoints: [", "balance: round_robin, endpoints: [");
    lb.reload(&text).await;
    let requests = format!("endpoint=\"{}\"", second.address);
    assert_eq!(lb.metric("lb_endpoint_requests_total", &[&requests]).await, 5.0);
    assert_eq!(in_flight(&lb, &first).await, 1.0);
    for _ in 0..20 {
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "x");
    }
    assert!(second.count() <= 6, "a thousandth is less than one of twenty: {}", second.count());
    gate.add_permits(1);
    busy.read_until("\r\n\r\nx").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

/// Answers checks as it is told to.
async fn checked(name: &'static str, up: bool) -> (Origin, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (up, checks) = (Arc::new(AtomicBool::new(up)), Arc::new(AtomicUsize::new(0)));
    let origin = Origin::start({
        let (up, checks) = (Arc::clone(&up), Arc::clone(&checks));
        move |request| {
            let (up, checks) = (Arc::clone(&up), Arc::clone(&checks));
            async move {
                if request.uri().path() != "/check" {
                    return respond(200, name);
                }
                checks.fetch_add(1, Ordering::Relaxed);
                respond(if up.load(Ordering::Relaxed) { 200 } else { 500 }, "")
            }
        }
    })
    .await;
    (origin, up, checks)
}

const CHECK: &str =
    "health_check: { path: /check, interval: 1h, failing_interval: 1h, unhealthy_after: 2 }";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_down_stays_down_and_one_that_is_up_has_no_gap() {
    let (up, _, checks) = checked("up", true).await;
    let (down, heals, _) = checked("down", false).await;
    let mut yaml = Yaml::new(&up);
    yaml.upstream_with("api", &[up.address, down.address], CHECK);
    let lb = start(&yaml).await;
    assert_eq!(checks.load(Ordering::Relaxed), 1);
    let healthy = |origin: &Origin| format!("endpoint=\"{}\"", origin.address);
    let mut connection = RawConnection::open(lb.address("http")).await;
    for number in 0..10 {
        let report = lb.reload(&yaml.with_unrelated(number).to_string()).await;
        assert_eq!(report["outcome"], "applied");
        assert_eq!(lb.metric("lb_endpoint_healthy", &[&healthy(&up)]).await, 1.0);
        assert_eq!(lb.metric("lb_endpoint_healthy", &[&healthy(&down)]).await, 0.0);
        for _ in 0..4 {
            ask(&mut connection, "a.test", "/", "up").await;
        }
        assert_eq!(lb.readiness().await.0, 200);
    }
    assert_eq!(down.count(), 0);
    assert_eq!(checks.load(Ordering::Relaxed), 1, "a reload is no reason to ask again");
    // What is checked otherwise is still the same endpoint.
    heals.store(true, Ordering::Relaxed);
    let other = CHECK.replace("interval: 1h", "interval: 50ms");
    yaml.upstream_with("api", &[up.address, down.address], &other);
    lb.reload(&yaml.to_string()).await;
    lb.metric_becomes("lb_endpoint_healthy", &[], 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_one_takes_nothing_before_it_was_checked() {
    let (up, ..) = checked("up", true).await;
    let (down, heals, checks) = checked("down", false).await;
    let mut yaml = Yaml::new(&up);
    let check = CHECK.replace("interval: 1h", "interval: 50ms");
    yaml.upstream_with("api", &[up.address], &check);
    let lb = start(&yaml).await;
    yaml.upstream_with("api", &[up.address, down.address], &check);
    lb.reload(&yaml.to_string()).await;
    for _ in 0..20 {
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "up");
    }
    assert_eq!(lb.readiness().await.0, 200, "the rest is served");
    heals.store(true, Ordering::Relaxed);
    lb.metric_becomes("lb_endpoint_healthy", &[], 2.0).await;
    assert!(checks.load(Ordering::Relaxed) > 0);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(Client::unpooled().text(&lb.url("/")).await);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

/// All at once, as another version of a service comes: the old ones go on until one
/// of the new is known to be up.
#[tokio::test(flavor = "multi_thread")]
async fn others_in_the_place_of_all_have_no_gap() {
    let (old, ..) = checked("old", true).await;
    let (new, comes_up, _) = checked("new", false).await;
    let mut yaml = Yaml::new(&old);
    let check = CHECK.replace("interval: 1h", "interval: 50ms");
    yaml.upstream_with("api", &[old.address], &check);
    let lb = start(&yaml).await;
    yaml.upstream_with("api", &[new.address], &check);
    lb.reload(&yaml.to_string()).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    for _ in 0..20 {
        ask(&mut connection, "a.test", "/", "old").await;
    }
    comes_up.store(true, Ordering::Relaxed);
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let response = Client::unpooled().get(&lb.url("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        if response.text().await.unwrap() == "new" {
            break;
        }
        assert!(std::time::Instant::now() < patience, "the new one takes over");
    }
    for _ in 0..20 {
        ask(&mut connection, "a.test", "/", "new").await;
    }
}

/// A new upstream whose endpoints have not been looked at yet: requests wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_upstream_is_waited_for() {
    let (old, ..) = checked("old", true).await;
    let (new, ..) = checked("new", true).await;
    let mut yaml = Yaml::new(&old);
    let lb = start(&yaml).await;
    yaml.upstream_with("new", &[new.address], CHECK);
    yaml.route("new.test", "match: { path_prefix: / }, upstream: new");
    lb.reload(&yaml.to_string()).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    ask(&mut connection, "new.test", "/", "new").await;
}

/// Who was taken out by real requests is still out.
#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_outlives_a_reload() {
    let (up, ..) = checked("up", true).await;
    let broken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut yaml = Yaml::new(&up);
    let passive = "passive_health: { max_fails: 1, fail_timeout: 1h }";
    yaml.upstream_with("api", &[up.address, broken], passive);
    let lb = start(&yaml).await;
    for _ in 0..4 {
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "up");
    }
    lb.metric_becomes("lb_endpoint_ejected", &[], 1.0).await;
    let failures = lb.metric("lb_endpoint_failures_total", &[]).await;
    for number in 0..3 {
        lb.reload(&yaml.with_unrelated(number).to_string()).await;
        assert_eq!(lb.metric("lb_endpoint_ejected", &[]).await, 1.0);
        assert_eq!(Client::unpooled().text(&lb.url("/")).await, "up");
    }
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_place_finds_one_at_an_endpoint_that_is_added() {
    let (full, gate) = origin("full").await;
    let (added, _) = origin("added").await;
    let mut yaml = Yaml::new(&full);
    let upstream = |more: &str| {
        format!(
            "endpoints: [{{ address: \"{}\", max_connections: 1 }}{more}], queue: {{ size: 10, timeout: 1h }}",
            full.address
        )
    };
    yaml.upstreams.insert("api".to_owned(), upstream(""));
    let lb = start(&yaml).await;
    let _tunnel = Tunnel::open(lb.address("http"), "a.test").await;
    let url = lb.url("/");
    let waits = tokio::spawn(async move { Client::unpooled().text(&url).await });
    lb.metric_becomes("lb_upstream_queue_length", &[], 1.0).await;
    let more = format!(", {{ address: \"{}\" }}", added.address);
    yaml.upstreams.insert("api".to_owned(), upstream(&more));
    lb.reload(&yaml.to_string()).await;
    assert_eq!(waits.await.unwrap(), "added");
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "added");
    drop(gate);
}
