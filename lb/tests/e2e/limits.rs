//! Token buckets and concurrency, end to end.

use std::time::Instant;

use crate::support::{Client, Lb, Origin, RawConnection, respond};

async fn limited() -> (Origin, Lb) {
    let origin = Origin::named("ok").await;
    let lb = Lb::start(&format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
client_ip: {{ trusted_proxies: ["127.0.0.9"] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
rate_limits:
  api:    {{ key: client_ip, rate: 100/s, burst: 20 }}
  login:  {{ key: client_ip, rate: 5/m, burst: 3 }}
  tenant: {{ key: "header:X-Api-Key", rate: 1/m, status: 503 }}
  pair:   {{ key: [client_ip, host], rate: 1/m }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: /health }}, upstream: api }}
      - {{ match: {{ path_prefix: /api/v1/auth/login }}, upstream: api, rate_limits: [login] }}
      - {{ match: {{ path_prefix: /api/ }}, upstream: api, rate_limits: [api] }}
      - {{ match: {{ path_prefix: /tenant }}, upstream: api, rate_limits: [tenant] }}
      - {{ match: {{ path_prefix: /pair }}, upstream: api, rate_limits: [pair] }}
      - {{ match: {{ path_prefix: / }}, upstream: api }}
"#,
        origin.address
    ))
    .await;
    (origin, lb)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_the_burst_and_the_rate_get_through() {
    let (_origin, lb) = limited().await;
    let url = lb.url("/api/v1/users");
    let (client, other) = (Client::plain(), Client::from("127.0.0.2"));
    let begin = Instant::now();
    let mut passed = 0;
    for _ in 0..500 {
        let response = client.get(&url).await.unwrap();
        match response.status().as_u16() {
            200 => passed += 1,
            429 => {
                let fields = response.headers();
                assert_eq!(fields["retry-after"], "1");
                assert_eq!(fields["ratelimit-policy"], "\"api\";q=100;w=1");
                assert_eq!(fields["ratelimit"], "\"api\";r=0;t=1");
                assert!(fields["proxy-status"].to_str().unwrap().contains("rate_limited"));
            }
            other => panic!("{other}"),
        }
        let most = 21.0 + 100.0 * begin.elapsed().as_secs_f64();
        assert!(f64::from(passed) <= most, "{passed} in {:?}", begin.elapsed());
    }
    assert!(passed >= 21);
    assert_eq!(other.get(&url).await.unwrap().status(), 200, "another address is unaffected");
    let refused = 500 - passed;
    assert_eq!(lb.metric("lb_limit_refusals_total", &["limit=\"api\""]).await, f64::from(refused));
    assert!(lb.metric("lb_limit_keys", &["limit=\"api\""]).await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_limited_path_slips_past() {
    let (_origin, lb) = limited().await;
    let spellings = [
        "/api/v1/auth/login",
        "//api/v1/auth/login",
        "/api/v1//auth/login",
        "/api/v1/./auth/login",
        "/api/v1/x/../auth/login",
        "/api/v1/auth/%6cogin",
        "/%61pi/v1/auth/login",
        "/api/v1/auth/login/",
        "/api/v1/auth/login?x=1",
        "/api/v1/auth/login/more",
        "/api/v1%2Fauth/login",
        "/api/v1%2fauth%2Flogin",
        "/api/v1/auth/login;x=1",
        "/api;v=1/v1/auth/login",
        "/api/v1/auth%5Clogin",
        "/api/v1/public%2F..%2Fauth/login",
        "/health%2F..%2Fapi/v1/auth/login",
        "/x/..%2Fapi/v1/auth/login",
        "/%2e/api/v1/auth/login",
    ];
    let mut passed = 0;
    for spelling in spellings {
        let request = format!(
            "POST {spelling} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let response = RawConnection::exchange(lb.address("http"), request).await;
        let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(status == "200" || status == "429", "{spelling}: {response}");
        passed += usize::from(status == "200");
    }
    assert_eq!(passed, 4, "all spellings share one bucket of four");
    // Absolute form and another case of the scheme are the same request, too.
    let absolute = "POST http://a/api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(
        RawConnection::exchange(lb.address("http"), absolute).await.starts_with("HTTP/1.1 429")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_not_limited() {
    let (_origin, lb) = limited().await;
    let client = Client::plain();
    for _ in 0..300 {
        assert_eq!(client.get(&lb.url("/health")).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_be_headers_and_composites_and_statuses_differ() {
    let (_origin, lb) = limited().await;
    let client = Client::plain();
    let tenant = async |key: &str| {
        client
            .0
            .get(lb.url("/tenant"))
            .header("x-api-key", key)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(tenant("a").await, 200);
    assert_eq!(tenant("a").await, 503);
    assert_eq!(tenant("b").await, 200);

    let port = lb.address("http").port();
    let pair = async |host: &str| {
        client.get(&format!("http://{host}:{port}/pair")).await.unwrap().status().as_u16()
    };
    assert_eq!([pair("one").await, pair("one").await, pair("two").await], [200, 429, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_a_trusted_proxy_is_limited_and_lies_do_not_help() {
    let (_origin, lb) = limited().await;
    let url = lb.url("/api/v1/auth/login");
    let statuses = async |client: &Client, count: usize, address: &dyn Fn(usize) -> String| {
        let mut statuses = Vec::new();
        for index in 0..count {
            let request = client.0.get(&url).header("x-forwarded-for", address(index));
            statuses.push(request.send().await.unwrap().status().as_u16());
        }
        statuses
    };
    let proxy = Client::from("127.0.0.9");
    assert_eq!(statuses(&proxy, 5, &|_| "192.0.2.1".into()).await, [200, 200, 200, 200, 429]);
    assert_eq!(statuses(&proxy, 1, &|_| "192.0.2.2".into()).await, [200]);
    let liar = Client::from("127.0.0.3");
    assert_eq!(statuses(&liar, 5, &|n| format!("198.51.100.{n}")).await, [200, 200, 200, 200, 429]);
    // IPv6 clients are their /64.
    let v6 = |n: usize| format!("2001:db8::{n}");
    assert_eq!(statuses(&proxy, 5, &v6).await, [200, 200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_is_bounded_per_key_and_comes_back() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let origin = Origin::start({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                respond(200, "ok")
            }
        }
    })
    .await;
    let yaml = crate::routing::simple(&origin).replace(
        "upstream: api }",
        "upstream: api, max_concurrent: { key: client_ip, limit: 2 } }",
    );
    let lb = Lb::start(&yaml).await;
    let running: Vec<_> = (0..2)
        .map(|_| {
            let url = lb.url("/");
            tokio::spawn(async move { Client::plain().get(&url).await.unwrap().status() })
        })
        .collect();
    lb.metric_becomes("lb_endpoint_in_flight", &[], 2.0).await;
    let refused = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["proxy-status"].to_str().unwrap().contains("concurrency_limited"));
    gate.add_permits(10);
    for task in running {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(Client::plain().get(&lb.url("/")).await.unwrap().status(), 200);
}
