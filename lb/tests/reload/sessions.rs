//! TLS sessions of clients are resumed after a reload.

use crate::openssl;
use crate::scene::{ANY_PORT, SECURE, Yaml, origin, start};
use crate::support::Lb;

/// What kinds of resumption there are.
const KINDS: &[&[&str]] = &[&["-tls1_3"], &["-tls1_2"], &["-tls1_2", "-no_ticket"]];

async fn request(lb: &Lb, kind: &[&str], more: &[&str]) -> String {
    let arguments = [&["-servername", "api.test"], kind, more].concat();
    let said = openssl::request(lb.address("https"), &arguments).await;
    assert!(said.contains("HTTP/1.1 200"), "{kind:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_session_ids_outlive_reloads() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.listener("https", SECURE);
    let lb = start(&yaml).await;
    let files: Vec<String> = (0..KINDS.len())
        .map(|index| lb.path(&format!("session-{index}")).display().to_string())
        .collect();
    for (kind, file) in KINDS.iter().zip(&files) {
        let first = request(&lb, kind, &["-sess_out", file]).await;
        assert!(first.contains("New, TLSv1."), "{kind:?}: {first}");
    }
    let limited = format!("{SECURE}, limits: {{ connections: 900 }}");
    let mut reloads = [yaml.with_unrelated(1), yaml.with_unrelated(2), yaml.clone()];
    reloads[1].listener("extra", ANY_PORT);
    reloads[2].listener("https", &limited);
    for (round, yaml) in reloads.iter().enumerate() {
        lb.reload(&yaml.to_string()).await;
        for (kind, file) in KINDS.iter().zip(&files) {
            // TLS 1.3's are for one use, so that each brings the next.
            let again = request(&lb, kind, &["-sess_in", file, "-sess_out", file]).await;
            assert!(again.contains("Reused, TLSv1."), "round {round}, {kind:?}: {again}");
        }
    }
}

/// A certificate that has changed on disk is taken up by a reload at the latest.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_served_after_a_reload() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.listener("https", SECURE);
    let lb = start(&yaml).await;
    let served = async || {
        let said = request(&lb, &["-tls1_3"], &[]).await;
        openssl::names_of_leaf(&said, &lb.path("leaf.pem"))
    };
    assert!(!served().await.contains("new.test"));
    lb.certificates.issue("api", &["api.test", "new.test"]);
    lb.reload(&yaml.with_unrelated(1).to_string()).await;
    let names = served().await;
    assert!(names.contains("new.test"), "{names}");
    // And another in the configuration.
    yaml.listener("https", &SECURE.replace("api.", "www."));
    lb.reload(&yaml.to_string()).await;
    let names = served().await;
    assert!(names.contains("www.test"), "{names}");
}

/// A pair that could not be used and was mended: the reload that has read it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_mended_certificate_is_no_failure_any_more() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    yaml.listener("https", SECURE);
    let lb = start(&yaml).await;
    std::fs::write(lb.path("api.pem"), "no certificate").unwrap();
    lb.metric_becomes("lb_certificate_reload_failed", &["listener=\"https\""], 1.0).await;
    lb.reload_fails(&yaml.with_unrelated(1).to_string()).await;
    assert_eq!(lb.metric("lb_certificate_reload_failed", &[]).await, 1.0);
    let said = request(&lb, &["-tls1_3"], &[]).await;
    assert!(openssl::names_of_leaf(&said, &lb.path("leaf.pem")).contains("api.test"));
    lb.certificates.issue("api", &["api.test", "new.test"]);
    lb.reload(&yaml.with_unrelated(1).to_string()).await;
    lb.metric_becomes("lb_certificate_reload_failed", &["listener=\"https\""], 0.0).await;
    let said = request(&lb, &["-tls1_3"], &[]).await;
    assert!(openssl::names_of_leaf(&said, &lb.path("leaf.pem")).contains("new.test"));
}
