//! What speaks to the edge, rightly and wrongly.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::setup::{
    GET, LAST, closed, echo, edge, edge_with, read_all, read_response, read_to_end, tls,
};
use crate::support::{Client, Engine, Lb, Origin, RawConnection, engine, respond};

async fn connect(lb: &Lb, listener: &str) -> TcpStream {
    TcpStream::connect(lb.address(listener)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_client_of_a_plain_listener_gets_an_alert() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    let url = format!("https://localhost:{}/", lb.address("http").port());
    let error = lb.client().0.get(&url).send().await.unwrap_err();
    closed(&lb, "http", "tls_on_plain_listener", 1).await;
    assert!(format!("{error:?}").to_lowercase().contains("alert"), "{error:?}");
    // A record, not a page of text.
    let mut stream = connect(&lb, "http").await;
    stream.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await.unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, [0x15, 3, 3, 0, 2, 2, 70]);
    closed(&lb, "http", "tls_on_plain_listener", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_clear_on_a_tls_listener_is_400() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    for (count, length) in [0, 300_000].into_iter().enumerate() {
        let mut stream = connect(&lb, "https").await;
        let request = format!("POST /clear HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(length));
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("wrong_protocol"), "{answer}");
        closed(&lb, "https", "http_on_tls_listener", count as u32 + 1).await;
    }
    let line = lb.access_line(|line| line["cause"] == "wrong_protocol").await;
    assert_eq!((&line["method"], &line["listener"]), (&"POST".into(), &"https".into()), "{line}");
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http1_is_400() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    for (sent, cause) in [
        (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], "wrong_protocol"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "wrong_protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n", "wrong_protocol"),
        (b"\x80\x2e\x01\x03\x01", "bad_request"),
        (b"\0\0\0\0", "bad_request"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad_request"),
        (b"hello\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "bad_framing"),
    ] {
        let answer = RawConnection::exchange(lb.address("http"), sent).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{sent:?}: {answer}");
        assert!(answer.contains(cause), "{sent:?}: {answer}");
        lb.access_line(|line| line["cause"] == cause).await;
    }
    // And inside of TLS.
    let mut secure = tls(&lb).await;
    secure.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut secure).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wrong_protocol"), "{answer}");
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|request| async move {
        let path = request.uri().path().to_owned();
        // The earlier, the slower.
        let number: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(40 - 4 * number)).await;
        respond(200, path)
    })
    .await;
    let lb = edge("", origin.address).await;
    let mut requests = String::new();
    for number in 0..10 {
        // Ours and the endpoint's, with and without a body.
        requests += &match number % 3 {
            0 => format!("GET /forwarded/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!(
                "POST /forwarded/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
            ),
            _ => format!(
                "POST /redirected/{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 \r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        };
    }
    requests += "GET /forwarded/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut clear = connect(&lb, "http").await;
    let mut secure = tls(&lb).await;
    for stream in [&mut clear as &mut dyn Stream, &mut secure] {
        let mut stream = std::pin::Pin::new(stream);
        stream.write_all(requests.as_bytes()).await.unwrap();
        let answers = read_to_end(&mut stream).await;
        let answers: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(answers.len(), 11, "{answers:?}");
        for (number, answer) in answers.iter().enumerate() {
            if number % 3 == 2 && number < 10 {
                assert!(answer.starts_with("302 "), "{number}: {answer}");
            } else {
                assert!(answer.ends_with(&format!("/forwarded/{number}")), "{number}: {answer}");
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_is_told_and_then_sends() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    let mut stream = RawConnection::open(lb.address("http")).await;
    for body in ["first", "again"] {
        let head = "PUT /expects HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                    Content-Length: 5\r\n\r\n";
        stream.send(head).await;
        let interim = stream.read_until("\r\n\r\n").await;
        assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
        stream.send(body).await;
        let answer = stream.read_until(body).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // Answered without the body: it must not be waited for, nor taken for a
    // request.
    let head = "PUT /redirected HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                Content-Length: 5\r\n\r\n";
    stream.send(head).await;
    let answer = stream.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_10_client_keeps_its_connection_only_if_it_asks() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    for path in ["/forwarded", "/redirected"] {
        let mut stream = connect(&lb, "http").await;
        for _ in 0..3 {
            let request =
                format!("GET {path} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_response(&mut stream).await.to_lowercase();
            // RFC 9112 §9.3: it does not know unless it is told.
            assert!(answer.contains("connection: keep-alive"), "{path}: {answer}");
        }
        let last = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
        stream.write_all(last.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await.to_lowercase();
        assert!(!answer.contains("connection: keep-alive"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let origin = echo().await;
    let lb = edge_with("defaults: { limits: { body: 1KiB } }", "", origin.address).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff000\r\n";
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", 431),
        ("GET /", 414),
        (post, 413),
        (chunked, 413),
        ("GET / HTTP/9.1\r\nHost: a\r\n\r\n", 505),
    ] {
        for listener in ["http", "https"] {
            let mut clear;
            let mut secure;
            let stream: &mut dyn Stream = if listener == "http" {
                clear = connect(&lb, "http").await;
                &mut clear
            } else {
                secure = tls(&lb).await;
                &mut secure
            };
            let (mut reading, mut writing) = tokio::io::split(std::pin::Pin::new(stream));
            let sending = async {
                let _ = writing.write_all(head.as_bytes()).await;
                for _ in 0..100 {
                    let more = [b'x'; 16 * 1024];
                    if writing.write_all(&more).await.is_err() {
                        break;
                    }
                }
            };
            // Only when all is sent does it look: a reset would have cost it the
            // answer.
            sending.await;
            let (answer, ended) = read_all(&mut reading).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{listener}: {answer}");
            assert!(ended.is_ok(), "{listener} {status}: {ended:?}");
        }
    }
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_and_unix_sockets_serve() {
    let origin = echo().await;
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("lb.sock");
    let lb = Lb::start(&format!(
        r#"
listeners:
  http: {{ bind: ["[::1]:0", "unix:{}"] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#,
        path.display(),
        origin.address
    ))
    .await;
    let mut ipv6 = connect(&lb, "http").await;
    ipv6.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_response(&mut ipv6).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(origin.requests()[0].header("x-forwarded-for").as_deref(), Some("::1"));
    let mut unix = UnixStream::connect(&path).await.unwrap();
    unix.write_all(GET.repeat(2).as_bytes()).await.unwrap();
    read_response(&mut unix).await;
    assert!(read_response(&mut unix).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(origin.requests()[1].header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_with_every_option_of_its_sockets_serves() {
    let origin = echo().await;
    let keys = "backlog: 64, tcp: { keepalive: { idle: 30s, interval: 5s, count: 4 }, \
                user_timeout: 20s, defer_accept: 2s }";
    let lb = edge(keys, origin.address).await;
    let mut stream = connect(&lb, "http").await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(lb.client().text(&lb.secure_url("localhost", "/")).await, "");
    // The accepted connection waits to send a probe: timer 2 of proc_net_tcp.
    let end = |port: u16| format!("0100007F:{port:04X}");
    let ends = [end(lb.address("http").port()), end(stream.local_addr().unwrap().port())];
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let timer = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1..3)? == ends).then(|| fields[5].to_owned())
    });
    let timer = timer.expect("the connection is in the table");
    let (kind, ticks) = timer.split_once(':').unwrap();
    assert_eq!(kind, "02", "{timer}");
    // In hundredths of a second.
    assert!((1..=3000).contains(&i64::from_str_radix(ticks, 16).unwrap()), "{timer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_half_is_answered_by_the_lane_and_gone_for_pingora() {
    let origin = Origin::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        respond(200, "answered")
    })
    .await;
    let lb = edge("", origin.address).await;
    let mut stream = connect(&lb, "http").await;
    stream.write_all(LAST.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // Whether the other half is still read cannot be known: for Pingora, as for
    // nginx, it is not.
    let (answer, _) = read_all(&mut stream).await;
    if engine() == Engine::Auto {
        assert!(answer.ends_with("\r\n\r\nanswered"), "{answer}");
        return;
    }
    assert_eq!(answer, "");
    let line = lb.access_line(|line| line["cause"] == "client_closed").await;
    assert_eq!(line["status"], 499);
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
    assert_eq!(Client::plain().text(&lb.url("/next")).await, "answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_without_a_word_does_not_hold_its_endpoint_for_long() {
    let origin = Origin::start(|_| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        respond(200, "too late")
    })
    .await;
    let lb = edge("", origin.address).await;
    let mut stream = connect(&lb, "http").await;
    stream.write_all(LAST.as_bytes()).await.unwrap();
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    drop(stream);
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    let line = lb.access_line(|line| line["cause"] == "client_closed").await;
    assert_eq!(line["status"], 499);
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}
