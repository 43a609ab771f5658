//! Every response of the proxy's own carries its cause and the configured
//! headers, and stands in log and metrics.

use std::time::Duration;

use crate::routing::simple_at;
use crate::support::{Client, Lb, Origin, RawConnection, RawOrigin, respond};

/// Target, Host, further header lines, status, cause, what else it carries.
type Case = (String, &'static str, String, u16, &'static str, &'static [&'static str]);

async fn everything() -> (Vec<RawOrigin>, Vec<Origin>, Lb) {
    let silent = RawOrigin::start(|stream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    })
    .await;
    let garbage = RawOrigin::start(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    })
    .await;
    let closing = RawOrigin::start(|mut stream| async move {
        use tokio::io::AsyncReadExt;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let sick = Origin::start(|request| async move {
        respond(if request.uri().path() == "/check" { 500 } else { 200 }, "")
    })
    .await;
    let fine = Origin::named("fine").await;
    // A port that was ours and is nobody's now.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lb = Lb::start(&format!(
        r#"
defaults:
  retry: {{ attempts: 1 }}
  limits: {{ uri: 200B, header_size: 2KiB, headers: 20, body: 1KiB }}
listeners:
  http:
    bind: ["127.0.0.1:0"]
    response_headers: {{ set: {{ X-Listener: plain, Strict-Transport-Security: max-age=1 }} }}
  https:
    bind: ["127.0.0.1:0"]
    response_headers: {{ set: {{ X-Listener: tls, Strict-Transport-Security: max-age=1 }} }}
    tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }}
upstreams:
  fine: {{ endpoints: [{{ address: "{}" }}] }}
  silent: {{ endpoints: [{{ address: "{}" }}], timeouts: {{ read: 200ms }} }}
  garbage: {{ endpoints: [{{ address: "{}" }}] }}
  closing: {{ endpoints: [{{ address: "{}" }}] }}
  nobody: {{ endpoints: [{{ address: "{nobody}" }}] }}
  sick: {{ endpoints: [{{ address: "{}" }}], health_check: {{ path: /check, interval: 1h, failing_interval: 1h }} }}
rate_limits: {{ one: {{ rate: 1/h }} }}
virtual_hosts:
  - hosts: [localhost, 127.0.0.1]
    response_headers: {{ set: {{ X-Host: known }} }}
    routes:
      - {{ match: {{ path_prefix: /fine }}, upstream: fine, response_headers: {{ set: {{ X-Route: fine }} }} }}
      - {{ match: {{ path_prefix: /limited }}, upstream: fine, rate_limits: [one] }}
      - {{ match: {{ path_prefix: /silent }}, upstream: silent }}
      - {{ match: {{ path_prefix: /late }}, upstream: silent, timeouts: {{ read: 1h, request: 200ms }} }}
      - {{ match: {{ path_prefix: /garbage }}, upstream: garbage }}
      - {{ match: {{ path_prefix: /closing }}, upstream: closing }}
      - {{ match: {{ path_prefix: /nobody }}, upstream: nobody }}
      - {{ match: {{ path_prefix: /sick }}, upstream: sick }}
"#,
        fine.address, silent.address, garbage.address, closing.address, sick.address
    ))
    .await;
    (vec![silent, garbage, closing], vec![sick, fine], lb)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_carries_status_headers_log_and_metric() {
    let (_raw, _origins, lb) = everything().await;
    let long = "x".repeat(300);
    let many: String = (0..30).map(|n| format!("X-{n}: y\r\n")).collect();
    let big = format!("X-Big: {}\r\n", "y".repeat(3000));
    let cases: Vec<Case> = vec![
        ("/fine/..%2f..".into(), "localhost", String::new(), 400, "bad_path", &[]),
        ("/fine/%zz".into(), "localhost", String::new(), 400, "bad_path", &[]),
        ("/fine".into(), "bad host", String::new(), 400, "bad_host", &[]),
        ("/nowhere".into(), "localhost", String::new(), 404, "no_route", &["x-host: known"]),
        ("/fine".into(), "other.test", String::new(), 404, "unknown_host", &[]),
        (
            "/fine".into(),
            "localhost",
            "Content-Length: 5000\r\n".into(),
            413,
            "body_too_large",
            &["x-host: known", "x-route: fine"],
        ),
        (format!("/fine?{long}"), "localhost", String::new(), 414, "uri_too_long", &[]),
        ("/fine".into(), "localhost", many, 431, "headers_too_large", &[]),
        ("/fine".into(), "localhost", big, 431, "headers_too_large", &[]),
        (
            "/garbage".into(),
            "localhost",
            String::new(),
            502,
            "upstream_invalid_response",
            &["x-host: known"],
        ),
        ("/closing".into(), "localhost", String::new(), 502, "upstream_reset", &["x-host: known"]),
        (
            "/nobody".into(),
            "localhost",
            String::new(),
            502,
            "upstream_connect_failed",
            &["x-host: known"],
        ),
        (
            "/sick".into(),
            "localhost",
            String::new(),
            503,
            "no_healthy_endpoint",
            &["x-host: known"],
        ),
        (
            "/silent".into(),
            "localhost",
            String::new(),
            504,
            "upstream_read_timeout",
            &["x-host: known"],
        ),
        ("/late".into(), "localhost", String::new(), 504, "request_timeout", &["x-host: known"]),
    ];
    for (target, host, fields, status, cause, carried) in cases {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
        let response = RawConnection::exchange(lb.address("http"), request).await;
        let lower = response.to_lowercase();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{cause}: {response}");
        assert!(lower.contains(&format!("details=\"{cause}\"")), "{cause}: {response}");
        assert!(lower.contains("x-listener: plain"), "{cause}: {response}");
        assert!(!lower.contains("strict-transport-security"), "{cause}: {response}");
        assert!(lower.contains("x-request-id: "), "{cause}: {response}");
        for header in carried {
            assert!(lower.contains(header), "{cause}: no {header} in {response}");
        }
        lb.access_line(|line| line["cause"] == cause && line["status"] == status).await;
        assert!(
            lb.metric("lb_requests_total", &[&format!("cause=\"{cause}\"")]).await >= 1.0,
            "{cause}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_host_is_400_on_11_and_allowed_on_10() {
    let (_raw, _origins, lb) = everything().await;
    let response = RawConnection::exchange(lb.address("http"), "GET /fine HTTP/1.1\r\n\r\n").await;
    assert!(
        response.starts_with("HTTP/1.1 400 ") && response.contains("missing_host"),
        "{response}"
    );
    // Without a name it belongs to "*", which nobody has here.
    let response = RawConnection::exchange(lb.address("http"), "GET /fine HTTP/1.0\r\n\r\n").await;
    assert!(response.contains("unknown_host"), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_and_http2_the_same_holds() {
    let (_raw, _origins, lb) = everything().await;
    let client = lb.client();
    for (host, path, status, cause) in [
        ("localhost", "/nowhere", 404, "no_route"),
        ("api.test", "/", 421, "misdirected_request"),
        ("localhost", "/nobody", 502, "upstream_connect_failed"),
        ("localhost", "/sick", 503, "no_healthy_endpoint"),
        ("localhost", "/silent", 504, "upstream_read_timeout"),
        ("localhost", "/late", 504, "request_timeout"),
    ] {
        let response = client.get(&lb.secure_url(host, path)).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.status(), status, "{cause}");
        let headers = response.headers();
        assert!(headers["proxy-status"].to_str().unwrap().contains(cause), "{headers:?}");
        assert_eq!(headers["x-listener"], "tls");
        assert_eq!(headers["strict-transport-security"], "max-age=1");
    }
    let limited = lb.secure_url("localhost", "/limited");
    assert_eq!(client.get(&limited).await.unwrap().status(), 200);
    let response = client.get(&limited).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["x-host"], "known");
    assert_eq!(response.headers()["retry-after"], "3600");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_gets_no_body_and_the_connection_lives_on() {
    let (_raw, _origins, lb) = everything().await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    connection.send("HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = connection.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404") && head.ends_with("\r\n\r\n"), "{head}");
    connection.send("GET /fine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(connection.read_to_end().await.ends_with("fine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_is_refused() {
    let (_raw, _origins, lb) = everything().await;
    let response = RawConnection::exchange(
        lb.address("http"),
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    )
    .await;
    assert!(
        response.starts_with("HTTP/1.1 405 ") && response.contains("connect_refused"),
        "{response}"
    );
    assert_eq!(lb.access_line(|line| line["status"] == 405).await["method"], "CONNECT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_nobodys_fault() {
    let (_raw, _origins, lb) = everything().await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    connection.send("GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    connection.reset();
    let line = lb.access_line(|line| line["cause"] == "client_closed").await;
    assert_eq!(line["status"], 499);
    assert_eq!(lb.metric("lb_endpoint_failures_total", &["silent"]).await, 0.0);
    assert_eq!(Client::plain().get(&lb.url("/fine")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_is_400() {
    let (_raw, _origins, lb) = everything().await;
    let response = RawConnection::exchange(
        lb.address("http"),
        "POST /fine HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    )
    .await;
    assert!(
        response.starts_with("HTTP/1.1 400 ") && response.contains("bad_framing"),
        "{response}"
    );
    lb.access_line(|line| line["cause"] == "bad_framing").await;
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_http2_survives_a_body_that_nobody_reads() {
    let (_raw, _origins, lb) = everything().await;
    let client = lb.client();
    for _ in 0..50 {
        let request = client.0.post(lb.secure_url("localhost", "/nowhere")).body(vec![0; 60_000]);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.text().await.unwrap().contains("no_route"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_will_be_closed_says_so() {
    let (_raw, _origins, lb) = everything().await;
    for path in ["/closing", "/garbage", "/silent", "/late", "/sick", "/nobody"] {
        let mut connection = RawConnection::open(lb.address("http")).await;
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let head = connection.read_until("\r\n\r\n").await.to_lowercase();
        if head.contains("connection: close") {
            connection.read_to_end().await;
            continue;
        }
        // Whoever was told nothing may send another.
        connection.send("GET /fine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        let rest = connection.read_to_end().await.to_lowercase();
        assert!(rest.contains("http/1.1 200 "), "{path}: {head} and then {rest}");
    }
}

/// A request behind which the connection is closed.
const LAST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_may_not_answer_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGARBAGE",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let origin = RawOrigin::start(move |mut stream| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.read(&mut [0; 4096]).await;
        })
        .await;
        let lb = Lb::start(&simple_at(origin.address)).await;
        let response = RawConnection::exchange(lb.address("http"), LAST).await;
        assert!(response.starts_with("HTTP/1.1 502 "), "{answer}: {response}");
        assert!(
            response.contains("upstream_invalid_response") && !response.contains("GARBAGE"),
            "{response}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_10_endpoint_answers_in_our_version() {
    let origin = RawOrigin::start(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
    })
    .await;
    let lb = Lb::start(&simple_at(origin.address)).await;
    let response = RawConnection::exchange(
        lb.address("http"),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("old"), "{response}");
}
