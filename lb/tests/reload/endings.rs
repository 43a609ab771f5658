//! What a listener that is gone leaves behind, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::frames::{self, GOAWAY, NO_ERROR, get};
use crate::scene::{ANY_PORT, SECURE, Tunnel, Yaml, ask, origin, start};
use crate::support::{Lb, Origin, RawConnection, eventually};

struct Leaving {
    origin: Origin,
    gate: Arc<Semaphore>,
    lb: Lb,
    yaml: Yaml,
    address: SocketAddr,
}

/// With a listener `extra` that is about to go.
async fn leaving(drain_timeout: &str) -> Leaving {
    let (origin, gate) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.top("shutdown", &format!("{{ drain_timeout: {drain_timeout} }}"));
    let mut before = yaml.clone();
    before.listener("extra", ANY_PORT).listener("https", SECURE);
    let lb = start(&before).await;
    let address = lb.address("extra");
    Leaving { origin, gate, lb, yaml, address }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_busy_ones_finish() {
    let Leaving { origin: _origin, gate, lb, yaml, address } = leaving("1h").await;
    let mut silent = RawConnection::open(address).await;
    let mut idle = RawConnection::open(address).await;
    ask(&mut idle, "a.test", "/", "x").await;
    let mut busy = RawConnection::open(address).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let mut stays = RawConnection::open(lb.address("http")).await;
    stays.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 2.0).await;
    let open = &["listener=\"extra\""][..];
    lb.metric_becomes("lb_connections_open", open, 3.0).await;
    lb.reload(&yaml.to_string()).await;
    assert_eq!(silent.read_to_end().await, "");
    assert_eq!(idle.read_to_end().await, "");
    lb.metric_becomes("lb_connections_open", open, 1.0).await;
    eventually("the port to be closed", || std::net::TcpStream::connect(address).err()).await;
    gate.add_permits(2);
    let last = busy.read_to_end().await;
    assert!(last.starts_with("HTTP/1.1 200 ") && last.ends_with("\r\n\r\nx"), "{last}");
    assert!(last.to_lowercase().contains("connection: close"), "{last}");
    lb.metric_becomes("lb_connections_open", open, 0.0).await;
    let other = stays.read_until("\r\n\r\nx").await;
    assert!(!other.to_lowercase().contains("connection: close"), "another listener's: {other}");
    ask(&mut stays, "a.test", "/", "x").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_says_goodbye_and_finishes_its_streams() {
    let Leaving { origin: _origin, gate, lb, yaml, .. } = leaving("1h").await;
    let mut inert = frames::Client::open(&lb).await;
    let mut busy = frames::Client::open(&lb).await;
    busy.send([get(1, "/gated"), get(3, "/gated")].concat()).await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 2.0).await;
    lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 2.0).await;
    lb.reload(&yaml.to_string()).await;
    assert_eq!(inert.ended().await.map(|goodbye| goodbye.code), Some(NO_ERROR));
    loop {
        let frame = busy.frame().await.expect("GOAWAY");
        if frame.kind == GOAWAY {
            break;
        }
    }
    gate.add_permits(2);
    let mut ended = 0;
    while let Some(frame) = busy.frame().await {
        ended += usize::from(frame.kind == frames::DATA && frame.ends_stream());
    }
    assert_eq!(ended, 2, "both were answered in full");
    lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 0.0).await;
}

/// Requests, tunnels and streams have so long, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_after_the_drain_timeout_is_cut() {
    let Leaving { origin: _origin, gate: _gate, lb, yaml, address } = leaving("2s").await;
    let mut tunnel = Tunnel::open(address, "a.test").await;
    tunnel.echoes("before").await;
    let mut stays = Tunnel::open(lb.address("http"), "a.test").await;
    let mut busy = RawConnection::open(address).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let mut http2 = frames::Client::open(&lb).await;
    http2.send(get(1, "/gated")).await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 4.0).await;
    let begun = std::time::Instant::now();
    let mark = lb.mark();
    lb.reload(&yaml.to_string()).await;
    tunnel.echoes("and after").await;
    tunnel.0.read_to_end().await;
    assert!(begun.elapsed().as_millis() >= 1900, "{:?}", begun.elapsed());
    assert!(!busy.read_to_end().await.starts_with("HTTP/1.1 200"));
    http2.ended().await;
    lb.logged_since(mark, "the drain timeout is over; what is still open is cut").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    for (listener, target) in [("extra", "/tunnel"), ("extra", "/gated"), ("https", "/gated")] {
        let line =
            lb.access_line(|line| line["listener"] == listener && line["target"] == target).await;
        assert_eq!(line["cause"], "drain_timeout", "{line:#}");
    }
    stays.echoes("nobody else was touched").await;
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0, "no endpoint's fault");
}

/// A second reload does not give it more time, and another listener of its name
/// has nothing to do with it.
#[tokio::test(flavor = "multi_thread")]
async fn its_time_runs_on_over_later_reloads() {
    let Leaving { origin: _origin, gate: _gate, lb, yaml, address } = leaving("3s").await;
    let mut tunnel = Tunnel::open(address, "a.test").await;
    lb.reload(&yaml.to_string()).await;
    let mut back = yaml.clone();
    back.top("shutdown", "{ drain_timeout: 1h }").listener("extra", ANY_PORT);
    let mark = lb.mark();
    lb.reload(&back.to_string()).await;
    let mut other = Tunnel::open(lb.bound_since(mark, "extra").await, "a.test").await;
    for number in 0..5 {
        lb.reload(&back.with_unrelated(number).to_string()).await;
    }
    tunnel.0.read_to_end().await;
    let line = lb.access_line(|line| line["listener"] == "extra").await;
    assert_eq!(line["cause"], "drain_timeout", "{line:#}");
    other.echoes("this one stays").await;
}

/// Who sends the next request before it hears of the end is answered, or sees the
/// connection end without an answer: never another listener's answer, or none of
/// HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_on_its_way_is_answered_by_the_old_rules() {
    let Leaving { origin: _origin, gate, lb, yaml, address } = leaving("1h").await;
    let mut busy = RawConnection::open(address).await;
    // Both are there before the listener goes; the second is read after it.
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    lb.reload(&yaml.to_string()).await;
    gate.add_permits(1);
    let all = busy.read_to_end().await;
    assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
    assert!(all.to_lowercase().contains("connection: close"), "{all}");
    assert_eq!(all.matches("HTTP/1.1").count(), 1, "it was told not to wait for more: {all}");
}
