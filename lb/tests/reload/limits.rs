//! Limits: what was counted stays counted.

use crate::scene::{Yaml, origin, start};
use crate::support::{Client, Lb, Origin, RawConnection};

const RATE: &str = "rate: 1/h, burst: 1";

fn limited(origin: &Origin, limit: &str) -> Yaml {
    let mut yaml = Yaml::new(origin);
    yaml.limit("few", limit);
    yaml.route("*", "match: { path_prefix: /few }, upstream: api, rate_limits: [few]");
    yaml
}

async fn status(lb: &Lb) -> u16 {
    Client::plain().get(&lb.url("/few")).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spent_stays_spent_until_the_limit_is_another() {
    let (origin, _) = origin("x").await;
    let yaml = limited(&origin, RATE);
    let lb = start(&yaml).await;
    assert_eq!([status(&lb).await, status(&lb).await, status(&lb).await], [200, 200, 429]);
    for number in 0..3 {
        lb.reload(&yaml.with_unrelated(number).to_string()).await;
        assert_eq!(status(&lb).await, 429, "after an unrelated reload");
        assert_eq!(lb.metric("lb_limit_keys", &["limit=\"few\""]).await, 1.0);
    }
    // What is answered is no part of it, and neither is who charges it.
    let mut other = limited(&origin, &format!("{RATE}, status: 503"));
    other.route("*", "match: { path_prefix: /more }, upstream: api, rate_limits: [few]");
    lb.reload(&other.to_string()).await;
    assert_eq!(status(&lb).await, 503);
    // A failed reload is none.
    lb.reload_fails(&limited(&origin, "rate: 1/m, burst: -1").to_string()).await;
    assert_eq!(status(&lb).await, 503);
    for (changed, free) in [
        ("rate: 2/h, burst: 1", 2),
        ("rate: 2/h, burst: 2", 3),
        ("rate: 2/h, burst: 2, max_keys: 100", 3),
        ("rate: 2/h, burst: 2, max_keys: 100, key: host", 3),
    ] {
        lb.reload(&limited(&origin, changed).to_string()).await;
        for _ in 0..free {
            assert_eq!(status(&lb).await, 200, "{changed}");
        }
        assert_eq!(status(&lb).await, 429, "{changed}");
    }
    // Gone and back: nobody has kept it.
    let gone = Yaml::new(&origin);
    lb.reload(&gone.to_string()).await;
    lb.reload(&yaml.to_string()).await;
    assert_eq!([status(&lb).await, status(&lb).await, status(&lb).await], [200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_that_go_on_still_count() {
    let (origin, gate) = origin("x").await;
    let concurrent = |most: u32| {
        let mut yaml = Yaml::new(&origin);
        let keys = format!(
            "match: {{ path_prefix: /one }}, upstream: api, max_concurrent: {{ key: client_ip, limit: {most} }}"
        );
        yaml.route("*", &keys);
        yaml
    };
    let lb = start(&concurrent(1)).await;
    let ask = async || {
        let response = Client::unpooled().get(&lb.url("/one")).await.unwrap();
        response.status().as_u16()
    };
    let mut busy = RawConnection::open(lb.address("http")).await;
    busy.send("GET /one/gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    assert_eq!(ask().await, 429);
    lb.reload(&concurrent(1).with_unrelated(1).to_string()).await;
    assert_eq!(ask().await, 429);
    // Another limit over the same count.
    lb.reload(&concurrent(2).to_string()).await;
    assert_eq!(ask().await, 200);
    lb.reload(&concurrent(1).to_string()).await;
    assert_eq!(ask().await, 429);
    gate.add_permits(1);
    busy.read_until("\r\n\r\nx").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    assert_eq!(ask().await, 200);
}
