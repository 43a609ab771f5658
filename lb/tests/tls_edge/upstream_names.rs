//! For which name endpoints are asked, and what they are when they are none.

use crate::authority::Pki;
use crate::bad_files::check;
use crate::origin::{OpensslServer, TlsOrigin};
use crate::support::Lb;
use crate::upstreams::{edge, get};

const CHECK: &str = "health_check: { path: /check, interval: 50ms, unhealthy_after: 1 }";

fn settings(pki: &Pki, server_name: Option<&str>) -> String {
    let name = server_name.map_or_else(String::new, |name| format!(", server_name: {name}"));
    format!("protocol: https, tls: {{ ca: {}{name} }}", pki.file("ca.pem"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_by_address_is_verified_by_its_address() {
    let pki = Pki::new();
    pki.issue("ca", "ip", "/CN=ip", &["127.0.0.1"]);
    let origin = TlsOrigin::start(&pki, "ip", None, false).await;
    let lb = edge(&[("api", origin.address, settings(&pki, None))]).await;
    assert_eq!(get(&lb, "api").await, (200, "secured".to_owned()));
    assert_eq!(origin.requested()[0].name, None, "RFC 6066: no address in SNI");
}

/// It would be asked for, and verified, with `-` for `_`: as another host.
#[test]
fn a_name_with_an_underscore_in_its_first_label_is_refused() {
    let pki = Pki::new();
    let ca = pki.file("ca.pem");
    let problems = |address: &str, tls: &str| {
        let yaml = format!(
            "version: 1
listeners: {{ http: {{ bind: [\"127.0.0.1:0\"] }} }}
upstreams:
  api:
    protocol: https
    endpoints: [{{ address: \"{address}\" }}]
    tls: {{ ca: {ca}{tls} }}
virtual_hosts:
  - {{ hosts: [\"*\"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}
"
        );
        check(&pki.path("lb.yaml"), &yaml)
    };
    for (address, tls, place) in [
        ("my_api.edge.test:443", "", "6:17: upstreams.api.endpoints[0]"),
        ("api.test:443", ", server_name: my_api.edge.test", "7:"),
        ("my_api.edge.test:443", ", server_name: other_api.edge.test", "7:"),
    ] {
        let (code, said) = problems(address, tls);
        assert_eq!(code, Some(1), "{address}{tls}: {said}");
        assert!(said.contains(&format!("lb.yaml:{place}")), "{said}");
        assert!(said.contains("TLS cannot ask for \""), "{said}");
    }
    for (address, tls) in [
        ("my_api.edge.test:443", ", server_name: api.edge.test"),
        ("my_api:443", ""),
        ("my_api.test:443", ""),
        ("api.my_edge.test:443", ""),
    ] {
        let (code, said) = problems(address, tls);
        assert_eq!(code, Some(0), "{address}{tls}: {said}");
    }
}

/// Where it is not the first label of several, it is asked for as it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_an_underscore_elsewhere_is_verified_as_it_is_written() {
    let pki = Pki::new();
    for name in ["my_api.test", "api.my_edge.test"] {
        pki.issue("ca", "exact", "/CN=exact", &[name]);
        let origin = TlsOrigin::start(&pki, "exact", None, false).await;
        let settings = format!("{}, {CHECK}", settings(&pki, Some(name)));
        let lb = edge(&[("api", origin.address, settings)]).await;
        lb.metric_becomes("lb_endpoint_healthy", &["upstream=\"api\""], 1.0).await;
        assert_eq!(get(&lb, "api").await, (200, "secured".to_owned()), "{name}");
        assert_eq!(origin.requested()[0].name.as_deref(), Some(name));
    }
}

/// What an operator sees who has mistaken the protocol.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_http2_or_without_tls_is_told() {
    let pki = Pki::new();
    let ca = pki.file("ca.pem");
    let server = OpensslServer::start(&pki, "api", &[]).await;
    let plain = crate::support::Origin::named("in clear").await;
    let h2 = format!("protocol: h2, tls: {{ ca: {ca}, server_name: api.test }}");
    let https = settings(&pki, Some("api.test"));
    let lb = edge(&[("h2", server.address, h2), ("https", plain.address, https)]).await;
    assert_eq!(get(&lb, "h2").await.0, 502);
    assert_eq!(get(&lb, "https").await.0, 502);
    assert_eq!(cause(&lb, "/h2").await, "upstream_invalid_response");
    assert_eq!(cause(&lb, "/https").await, "upstream_tls_failed");
}

async fn cause(lb: &Lb, target: &str) -> String {
    let line = lb.access_line(|line| line["target"] == target).await;
    line["cause"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// One that takes a connection and says nothing is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_never_ends_is_bounded_by_connect() {
    let pki = Pki::new();
    let silent = crate::support::RawOrigin::start(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let timeouts = "timeouts: { connect: 200ms }, retry: { attempts: 1 }";
    let settings = format!("{}, {timeouts}", settings(&pki, Some("api.test")));
    let lb = edge(&[("api", silent.address, settings)]).await;
    let begun = std::time::Instant::now();
    assert_eq!(get(&lb, "api").await.0, 504);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(cause(&lb, "/api").await, "upstream_connect_timeout");
}
