//! What passes to the endpoint, and what comes back.

use crate::routing::simple;
use crate::support::{Client, Lb, Origin, RawConnection, Recorded, respond};

async fn one_request(
    origin: &Origin,
    lb: &Lb,
    client: &Client,
    fields: &[(&str, &str)],
) -> Recorded {
    let mut request = client.0.get(lb.url("/a?b"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap();
    origin.requests().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_client_cannot_forge_what_backends_believe() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    let forged = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.test"),
        ("x-request-id", "forged"),
        ("forwarded", "for=6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x_real-ip", "6.6.6.6"),
        ("x_other", "stays"),
    ];
    let seen = one_request(&origin, &lb, &Client::from("127.0.0.5"), &forged).await;
    assert_eq!(seen.target, "/a?b");
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.5"));
    assert_eq!(seen.header("x-real-ip").as_deref(), Some("127.0.0.5"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some(lb.address("http").to_string()));
    assert_eq!(seen.header("host"), Some(lb.address("http").to_string()));
    assert_eq!(seen.header("x-request-id").unwrap().len(), 32);
    for gone in ["forwarded", "x_forwarded_for", "x_real-ip"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("x_other").as_deref(), Some("stays"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_appended_to_and_kept() {
    let origin = Origin::named("x").await;
    let yaml = format!("client_ip: {{ trusted_proxies: [127.0.0.0/8] }}\n{}", simple(&origin));
    let lb = Lb::start(&yaml).await;
    let sent = [
        ("x-forwarded-for", "192.0.2.7, 127.0.0.8"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.test"),
        ("x-request-id", "abc-123"),
        ("forwarded", "for=192.0.2.7"),
    ];
    let seen = one_request(&origin, &lb, &Client::from("127.0.0.9"), &sent).await;
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("192.0.2.7, 127.0.0.8, 127.0.0.9"));
    assert_eq!(seen.header("x-real-ip").as_deref(), Some("192.0.2.7"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("shop.test"));
    assert_eq!(seen.header("x-request-id").as_deref(), Some("abc-123"));
    assert_eq!(seen.header("forwarded").as_deref(), Some("for=192.0.2.7"));
    let line = lb.access_line(|line| line["request_id"] == "abc-123").await;
    assert_eq!(line["client"], "192.0.2.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_fields_never_pass() {
    let origin = Origin::start(|_| async {
        let mut response = respond(200, "x");
        for (name, value) in [
            ("connection", "x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("x-end", "1"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    })
    .await;
    let lb = Lb::start(&simple(&origin)).await;
    let response = RawConnection::exchange(
        lb.address("http"),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\nX-Theirs: 1\r\n\r\n",
    )
    .await
    .to_lowercase();
    let seen = origin.requests().pop().unwrap();
    for gone in ["x-mine", "keep-alive", "te", "proxy-connection"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("x-theirs").as_deref(), Some("1"));
    assert!(response.contains("x-end: 1") && response.contains("connection: close"), "{response}");
    assert!(!response.contains("x-secret") && !response.contains("keep-alive:"), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_is_forwarded_as_sent() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    for target in ["/a//b/./c/../d?x=%2F&y", "/%41%2fb;c=1", "/a?", "/?a=b?c"] {
        RawConnection::exchange(
            lb.address("http"),
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(origin.requests().pop().unwrap().target, target);
    }
    RawConnection::exchange(
        lb.address("http"),
        "GET http://name.test/abs?q HTTP/1.1\r\nHost: name.test\r\nConnection: close\r\n\r\n",
    )
    .await;
    let seen = origin.requests().pop().unwrap();
    assert_eq!(
        (seen.target.as_str(), seen.header("host").as_deref()),
        ("/abs?q", Some("name.test"))
    );
    let differs = RawConnection::exchange(
        lb.address("http"),
        "GET http://name.test/ HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(differs.starts_with("HTTP/1.1 400 "), "{differs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_apply_from_the_outside_in() {
    let origin = Origin::start(|_| async {
        let mut response = respond(200, "x");
        response.headers_mut().insert("server", "origin/1.0".parse().unwrap());
        response.headers_mut().insert("x-a", "origin".parse().unwrap());
        response.headers_mut().insert("strict-transport-security", "max-age=9".parse().unwrap());
        response
    })
    .await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  http: {{ bind: ["127.0.0.1:0"], response_headers: {{ set: {{ X-A: listener, X-B: listener, X-C: listener }} }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    response_headers: {{ set: {{ X-B: host, X-C: host }}, remove: [Server] }}
    request_headers: {{ set: {{ X-From: host, X-Kept: host }} }}
    routes:
      - match: {{ path_prefix: / }}
        upstream: api
        response_headers: {{ set: {{ X-C: route }}, add: {{ X-D: route }} }}
        request_headers: {{ set: {{ X-From: route }}, remove: [Cookie] }}
"#,
        origin.address
    ))
    .await;
    let response = Client::plain().0.get(lb.url("/")).header("cookie", "a=b").send().await.unwrap();
    let headers = response.headers();
    assert_eq!(
        ["x-a", "x-b", "x-c", "x-d"].map(|name| headers[name].to_str().unwrap()),
        ["listener", "host", "route", "route"]
    );
    assert!(!headers.contains_key("server"));
    assert!(
        !headers.contains_key("strict-transport-security"),
        "never on plain HTTP, whoever set it"
    );
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.header("x-from").as_deref(), Some("route"));
    assert_eq!(seen.header("x-kept").as_deref(), Some("host"));
    assert_eq!(seen.header("cookie"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn split_cookies_of_http2_are_joined_for_http1() {
    let origin = Origin::named("x").await;
    let yaml = simple(&origin).replace(
        "{ bind: [\"127.0.0.1:0\"] }",
        "{ bind: [\"127.0.0.1:0\"] }, https: { bind: [\"127.0.0.1:0\"], tls: { certificates: [{ cert: api.pem, key: api.key }] } }",
    );
    let lb = Lb::start(&yaml).await;
    let request = lb
        .client()
        .0
        .get(lb.secure_url("api.test", "/"))
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    request.send().await.unwrap();
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.header("cookie").as_deref(), Some("a=1; b=2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_an_absolute_target_reaches_the_endpoint() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    let old =
        RawConnection::exchange(lb.address("http"), "GET http://name.test/a HTTP/1.0\r\n\r\n")
            .await;
    assert!(old.contains(" 200 "), "{old}");
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.header("host").as_deref(), Some("name.test"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("name.test"));
    let new =
        RawConnection::exchange(lb.address("http"), "GET http://name.test/a HTTP/1.1\r\n\r\n")
            .await;
    assert!(new.starts_with("HTTP/1.1 400 ") && new.contains("missing_host"), "{new}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_beyond_ascii_hide_nothing() {
    let origin = Origin::named("x").await;
    let yaml = format!("client_ip: {{ trusted_proxies: [127.0.0.1] }}\n{}", simple(&origin));
    let lb = Lb::start(&yaml).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    connection
        .send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \xff, 192.0.2.1\r\nUser-Agent: caf\xc3\xa9 \xff\r\nConnection: close\r\n\r\n")
        .await;
    connection.read_to_end().await;
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.headers["x-forwarded-for"].as_bytes(), b"\xff, 192.0.2.1, 127.0.0.1");
    let line = lb.access_line(|line| line["target"] == "/").await;
    assert_eq!(line["user_agent"], "café \u{fffd}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_two_readers_may_read_differently_are_refused_before_a_lease() {
    let origin = Origin::named("x").await;
    let lb = Lb::start(&simple(&origin)).await;
    for fields in [
        "Content-Length: 3, 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Connection: Host\r\n",
        "Connection: close, X-Forwarded-For\r\n",
        "Connection: \"x\"\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\nabc");
        let response = RawConnection::exchange(lb.address("http"), request).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{fields}: {response}");
    }
    assert_eq!(lb.metric("lb_endpoint_requests_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn look_alikes_of_edited_fields_are_dropped_and_strangers_forward_nothing() {
    let origin = Origin::named("x").await;
    let yaml = simple(&origin).replace(
        "upstream: api }",
        "upstream: api, request_headers: { set: { X-Auth: real }, remove: [X-Evil] } }",
    );
    let lb = Lb::start(&yaml).await;
    let sent = [
        ("x_auth", "me"),
        ("x_evil", "1"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/x"),
    ];
    let seen = one_request(&origin, &lb, &Client::plain(), &sent).await;
    assert_eq!(seen.header("x-auth").as_deref(), Some("real"));
    for (gone, _) in sent {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}
