//! Which endpoint takes the next exchange.

use std::time::Duration;

use crate::support::{Client, Lb, Origin, respond};

async fn delayed(milliseconds: u64) -> Origin {
    Origin::start(move |_| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        respond(200, "ok")
    })
    .await
}

fn config(balance: &str, endpoints: &[(&Origin, u32)]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(origin, weight)| format!("{{ address: \"{}\", weight: {weight} }}", origin.address))
        .collect();
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  api:
    balance: {balance}
    endpoints: [{}]
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        endpoints.join(", ")
    )
}

/// So many clients, each sending one request after the other.
async fn load(lb: &Lb, clients: usize, requests: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (client, url) = (Client::plain(), lb.url("/"));
        tasks.spawn(async move {
            for _ in 0..requests {
                assert_eq!(client.get(&url).await.expect("a response").status(), 200);
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slow_endpoint_gets_the_fewest_requests() {
    let (fast, slow, other) = (delayed(5).await, delayed(200).await, delayed(5).await);
    let lb = Lb::start(&config("least_connections", &[(&fast, 1), (&slow, 1), (&other, 1)])).await;
    load(&lb, 30, 30).await;
    let counts = [fast.count(), slow.count(), other.count()];
    assert_eq!(counts.iter().sum::<usize>(), 900);
    // In flight at once is level, so in 200 ms the fast ones turn over forty times.
    assert!(counts[1] * 4 < counts[0] && counts[1] * 4 < counts[2], "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn least_connections_keeps_to_weights() {
    let (a, b, c) = (delayed(10).await, delayed(10).await, delayed(10).await);
    let lb = Lb::start(&config("least_connections", &[(&a, 1), (&b, 2), (&c, 1)])).await;
    load(&lb, 32, 50).await;
    for (count, expected) in [(a.count(), 400usize), (b.count(), 800), (c.count(), 400)] {
        assert!(count.abs_diff(expected) <= expected / 10, "{count}, expected {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_keeps_to_weights_exactly() {
    let (a, b, c) = (delayed(0).await, delayed(0).await, delayed(0).await);
    let lb = Lb::start(&config("round_robin", &[(&a, 1), (&b, 2), (&c, 1)])).await;
    load(&lb, 1, 400).await;
    assert_eq!([a.count(), b.count(), c.count()], [100, 200, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequential_requests_spread_evenly() {
    let (a, b, c) = (delayed(0).await, delayed(0).await, delayed(0).await);
    let lb = Lb::start(&config("least_connections", &[(&a, 1), (&b, 1), (&c, 1)])).await;
    load(&lb, 1, 300).await;
    for count in [a.count(), b.count(), c.count()] {
        assert!(count.abs_diff(100) <= 5, "{count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_uses_every_endpoint() {
    let (a, b) = (delayed(0).await, delayed(0).await);
    let lb = Lb::start(&config("random", &[(&a, 1), (&b, 3)])).await;
    load(&lb, 2, 200).await;
    // Six standard deviations: fails once in hundreds of millions of runs.
    assert!(a.count().abs_diff(100) < 55, "{}", a.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn ip_hash_keeps_a_client_on_its_endpoint() {
    let (a, b, c) = (delayed(0).await, delayed(0).await, delayed(0).await);
    let lb = Lb::start(&config("ip_hash", &[(&a, 1), (&b, 1), (&c, 1)])).await;
    let mut used = 0;
    for last in 2..22 {
        let before = [a.count(), b.count(), c.count()];
        let client = Client::from(&format!("127.0.0.{last}"));
        for _ in 0..3 {
            assert_eq!(client.get(&lb.url("/")).await.unwrap().status(), 200);
        }
        let after = [a.count(), b.count(), c.count()];
        let took: Vec<usize> = (0..3).filter(|index| after[*index] > before[*index]).collect();
        assert_eq!(took.len(), 1, "one client, one endpoint");
        used |= 1 << took[0];
    }
    assert_eq!(used, 0b111, "twenty clients reach all three");
}

#[tokio::test(flavor = "multi_thread")]
async fn consistent_hash_keeps_a_path_on_its_endpoint() {
    let (a, b) = (delayed(0).await, delayed(0).await);
    let yaml = config("consistent_hash", &[(&a, 1), (&b, 1)])
        .replace("balance:", "hash_key: path\n    balance:");
    let lb = Lb::start(&yaml).await;
    let client = Client::plain();
    for path in 0..40 {
        for query in 0..3 {
            client.get(&lb.url(&format!("/{path}?{query}"))).await.unwrap();
        }
    }
    for origin in [&a, &b] {
        assert!(origin.count() > 0);
        assert_eq!(origin.count() % 3, 0, "a path's three requests stay together");
    }
}
