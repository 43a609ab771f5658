//! Hosts and routes, as requests see them.

use crate::support::{Client, Lb, Origin, RawConnection};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_paths_lead_to_their_upstreams() {
    let (exact, prefix, regex, method) = (
        Origin::named("exact").await,
        Origin::named("prefix").await,
        Origin::named("regex").await,
        Origin::named("method").await,
    );
    let lb = Lb::start(&format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams:
  exact: {{ endpoints: [{{ address: "{}" }}] }}
  prefix: {{ endpoints: [{{ address: "{}" }}] }}
  regex: {{ endpoints: [{{ address: "{}" }}] }}
  method: {{ endpoints: [{{ address: "{}" }}] }}
virtual_hosts:
  - hosts: [api.test]
    routes:
      - {{ match: {{ path_prefix: /a }}, upstream: prefix }}
      - {{ match: {{ path_prefix: /a, methods: [DELETE] }}, upstream: method }}
      - {{ match: {{ path_regex: "/a/[0-9]+" }}, upstream: regex }}
      - {{ match: {{ path: /a/7 }}, upstream: exact }}
      - {{ match: {{ path_prefix: /a/h, headers: {{ X-Tenant: gold }} }}, upstream: exact }}
      - {{ match: {{ path_prefix: /a/q, query: {{ v: "2" }} }}, upstream: exact }}
  - hosts: ["*.wild.test"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: regex }}]
"#,
        exact.address, prefix.address, regex.address, method.address
    ))
    .await;
    let client = Client::plain();
    let port = lb.address("http").port();
    let ask =
        async |host: &str, path: &str| client.text(&format!("http://{host}:{port}{path}")).await;

    assert_eq!(ask("api.test", "/a").await, "prefix");
    assert_eq!(ask("api.test", "/a/b").await, "prefix");
    assert_eq!(ask("api.test", "/a/7").await, "exact");
    assert_eq!(ask("API.Test", "/a/8").await, "regex");
    assert_eq!(ask("api.test", "//a/./x/../9").await, "regex");
    assert_eq!(ask("api.test", "/a/h").await, "prefix");
    assert_eq!(ask("api.test", "/a/q?v=1").await, "prefix");
    assert_eq!(ask("api.test", "/a/q?x=1&v=2").await, "exact");
    assert!(ask("api.test", "/ab").await.contains("no_route"), "prefixes end at a segment");
    assert_eq!(ask("x.y.wild.test", "/anything").await, "regex");
    assert!(ask("wild.test", "/").await.contains("unknown_host"));
    let tenant = client
        .0
        .get(format!("http://api.test:{port}/a/h/1"))
        .header("x-tenant", "gold")
        .send()
        .await;
    assert_eq!(tenant.unwrap().text().await.unwrap(), "exact");
    let delete = client.0.delete(format!("http://api.test:{port}/a/7x")).send().await;
    assert_eq!(delete.unwrap().text().await.unwrap(), "method");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|request| async move {
        let path = request.uri().path().to_owned();
        if path == "/1" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        crate::support::respond(200, path)
    })
    .await;
    let lb = Lb::start(&simple(&origin)).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    connection
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let all = connection.read_to_end().await;
    let order: Vec<_> =
        ["/1", "/2", "/3"].iter().map(|path| all.find(&format!("\r\n\r\n{path}"))).collect();
    assert!(order.iter().all(Option::is_some), "{all}");
    assert!(order.is_sorted(), "{all}");
}

/// One plain listener, one upstream, every path.
pub fn simple(origin: &Origin) -> String {
    simple_at(origin.address)
}

/// The same for an origin at an address.
pub fn simple_at(address: std::net::SocketAddr) -> String {
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        address
    )
}
