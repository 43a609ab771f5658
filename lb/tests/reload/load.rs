//! A hundred reloads under constant load, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::scene::{ANY_PORT, SECURE, Yaml, ask, origin, start};
use crate::support::{Client, RawConnection, eventually};

const RELOADS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_fail_no_request() {
    let (first, _) = origin("x").await;
    let (second, _) = origin("x").await;
    let (third, _) = origin("x").await;
    let mut yaml = Yaml::new(&first);
    yaml.top("shutdown", "{ drain_timeout: 1h }");
    yaml.listener("https", SECURE);
    let lb = Arc::new(start(&yaml).await);
    let stop = Arc::new(AtomicBool::new(false));
    let served: Vec<_> = (0..4).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut load = Vec::new();
    let kinds = ["one connection", "new connections", "HTTP/2", "a pool"];
    for (kind, served) in kinds.into_iter().zip(&served) {
        for _ in 0..2 {
            let (lb, stop, served) = (Arc::clone(&lb), Arc::clone(&stop), Arc::clone(served));
            load.push(tokio::spawn(async move {
                let mut connection = RawConnection::open(lb.address("http")).await;
                let client = match kind {
                    "new connections" => Client::unpooled(),
                    "HTTP/2" => lb.client(),
                    _ => Client::plain(),
                };
                let url = match kind {
                    "HTTP/2" => lb.secure_url("api.test", "/"),
                    _ => lb.url("/"),
                };
                while !stop.load(Ordering::Relaxed) {
                    if kind == "one connection" {
                        // Nothing of its listener changes, so it is never closed.
                        let answer = ask(&mut connection, "a.test", "/", "x").await;
                        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
                    } else {
                        let response = client.0.get(&url).send().await;
                        let response = response.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
                        assert_eq!(response.status(), 200, "{kind}: {response:?}");
                        assert_eq!(response.text().await.unwrap(), "x", "{kind}");
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }
    let all = [first.address, second.address, third.address];
    for number in 0..RELOADS {
        let mut next = yaml.with_unrelated(number);
        // Endpoints come and go under it, and so does what is beside it.
        let endpoints: Vec<_> =
            (0..3).filter(|each| *each == number % 3 || (number >> each) & 1 == 1).collect();
        let endpoints: Vec<_> = endpoints.into_iter().map(|each| all[each]).collect();
        next.upstream("api", &endpoints);
        if number.is_multiple_of(2) {
            next.listener("extra", ANY_PORT);
        }
        next.listener("http", &format!("{ANY_PORT}, limits: {{ connections: {} }}", 900 + number));
        next.limit("wide", &format!("rate: {}/s, burst: 100000", 100_000 + number));
        next.hosts.clear();
        next.route("*", "match: { path_prefix: / }, upstream: api, rate_limits: [wide]");
        if number % 10 == 3 {
            lb.reload_fails(&next.to_string().replace("upstream: api", "upstream: nobody")).await;
        }
        lb.rewrite(&next.to_string());
        let (status, report) = lb.post_reload().await;
        assert_eq!(status, 200, "{report:#}");
        // So that each is under load.
        let before: Vec<_> = served.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        eventually("every kind to be served", || {
            let on = served
                .iter()
                .zip(&before)
                .all(|(now, before)| now.load(Ordering::Relaxed) > *before);
            (on || load.iter().any(|each| each.is_finished())).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for each in load {
        tokio::time::timeout(Duration::from_secs(60), each).await.expect("it stops").unwrap();
    }
    println!("{served:?}");
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
    assert_eq!(lb.metric("lb_requests_total", &["status_class=\"5xx\""]).await, 0.0);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}
