//! SIGHUP: what is taken up, and what changes nothing.

use crate::scene::{ANY_PORT, Tunnel, Yaml, ask, origin, start};
use crate::support::{Client, RawConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_route_serves_and_what_is_in_flight_keeps_the_old_ones() {
    let (old, gate) = origin("old").await;
    let (new, _) = origin("new").await;
    let mut yaml = Yaml::new(&old);
    let lb = start(&yaml).await;
    let mut busy = RawConnection::open(lb.address("http")).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;

    yaml.hosts.clear();
    yaml.upstream("new", &[new.address]);
    yaml.route(
        "*",
        "match: { path_prefix: / }, upstream: new, response_headers: { set: { X-Age: new } }",
    );
    yaml.route("*", "match: { path_prefix: /old }, upstream: api");
    let report = lb.reload(&yaml.to_string()).await;
    assert_eq!(report["trigger"], "SIGHUP");
    assert_eq!(
        report["changes"],
        serde_json::json!(["upstream \"new\" added", "virtual host \"*\" changed"])
    );

    let client = Client::plain();
    let response = client.get(&lb.url("/")).await.unwrap();
    assert_eq!(response.headers()["x-age"], "new");
    assert_eq!(response.text().await.unwrap(), "new");
    assert_eq!(client.text(&lb.url("/old/x")).await, "old");
    gate.add_permits(1);
    let answer = busy.read_until("\r\n\r\nold").await;
    assert!(!answer.to_lowercase().contains("x-age"), "its own snapshot edits it: {answer}");
    // The connection stays, and its next request is decided anew.
    let next = ask(&mut busy, "a.test", "/", "new").await;
    assert!(next.starts_with("HTTP/1.1 200"), "{next}");
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_compile_changes_nothing_and_every_problem_is_said() {
    let (first, _) = origin("first").await;
    let (second, _) = origin("second").await;
    let good = Yaml::new(&first);
    let lb = start(&good).await;
    assert_eq!(lb.metric("lb_config_last_reload_successful", &[]).await, 1.0);
    assert_eq!(lb.readiness().await.1.get("last_reload"), None);
    let time = lb.metric("lb_config_last_reload_success_timestamp_seconds", &[]).await;
    assert!(time > 1.0e9, "the start has taken one up: {time}");
    let mut idle = RawConnection::open(lb.address("http")).await;
    ask(&mut idle, "a.test", "/", "first").await;

    let mut bad = Yaml::new(&second);
    bad.listener("extra", ANY_PORT);
    bad.top("shutdown", "{ drain_timeout: 5 }");
    bad.route("*", "match: { path_prefix: /other }, upstream: nobody");
    let mark = lb.mark();
    let report = lb.reload_fails(&bad.to_string()).await;
    assert!(report["error"].as_str().unwrap().contains("errors"), "{report:#}");
    let problems = report["problems"].as_array().unwrap();
    let paths: Vec<_> = problems.iter().map(|each| each["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["shutdown.drain_timeout", "virtual_hosts[0].routes[1].upstream"]);
    for problem in problems {
        assert_eq!(problem["severity"], "error");
        assert!(problem["line"].as_u64().unwrap() > 1 && problem["column"].as_u64().is_some());
        lb.logged_since(mark, problem["message"].as_str().unwrap()).await;
    }
    assert!(report["changes"].as_array().unwrap().is_empty());
    lb.logged_since(mark, "the old one stays in use").await;
    assert_eq!(lb.metric("lb_config_last_reload_successful", &[]).await, 0.0);
    assert_eq!(lb.metric("lb_config_reloads_total", &["outcome=\"failed\""]).await, 1.0);
    let (status, body) = lb.readiness().await;
    assert_eq!(status, 200, "it serves: {body:#}");
    assert_eq!(body["last_reload"], report);
    assert_eq!(Client::unpooled().text(&lb.url("/other")).await, "first");
    ask(&mut idle, "a.test", "/", "first").await;
    assert!(!lb.log().contains("listener=extra"), "nothing was bound");

    bad.top.remove("shutdown");
    bad.hosts.get_mut("*").unwrap().pop();
    lb.reload(&bad.to_string()).await;
    assert_eq!(lb.metric("lb_config_last_reload_successful", &[]).await, 1.0);
    assert_eq!(lb.readiness().await.1.get("last_reload"), None);
    ask(&mut idle, "a.test", "/", "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_reported_and_hinder_nothing() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    yaml.upstream("unused", &[origin.address]);
    let report = lb.reload(&yaml.to_string()).await;
    let [problem] = &report["problems"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(problem["severity"], "warning");
    assert_eq!(problem["path"], "upstreams.unused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_changes_nothing() {
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let mut tunnel = Tunnel::open(lb.address("http"), "a.test").await;
    for _ in 0..5 {
        let report = lb.reload(&yaml.to_string()).await;
        assert_eq!(report["changes"], serde_json::json!([]), "{report:#}");
    }
    tunnel.echoes("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_workers_need_a_new_process_and_the_rest_is_taken_up() {
    let (first, _) = origin("first").await;
    let (second, _) = origin("second").await;
    let mut yaml = Yaml::new(&first);
    yaml.top("workers", "2");
    let lb = start(&yaml).await;
    let mut yaml = Yaml::new(&second);
    yaml.top("workers", "3");
    let mark = lb.mark();
    let report = lb.reload(&yaml.to_string()).await;
    let needs = report["needs_new_process"].as_array().unwrap();
    assert_eq!(needs.len(), 1, "{report:#}");
    let text = needs[0].as_str().unwrap();
    assert!(text.contains("workers: 2 run, 3 are configured"), "{text}");
    lb.logged_since(mark, text).await;
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "second");
    yaml.top("workers", "2");
    let report = lb.reload(&yaml.to_string()).await;
    assert_eq!(report["needs_new_process"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_reads_nothing_again() {
    let (first, gate) = origin("first").await;
    let (second, _) = origin("second").await;
    let lb = start(Yaml::new(&first).top("shutdown", "{ drain_timeout: 1h, delay: 1h }")).await;
    let mut busy = RawConnection::open(lb.address("http")).await;
    busy.send("GET /gated HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    lb.signal("TERM");
    lb.logged("stopping").await;
    lb.rewrite(&Yaml::new(&second).to_string());
    lb.signal("HUP");
    lb.logged("the process is stopping; the configuration is not read again").await;
    let (status, body) = lb.post_reload().await;
    assert_eq!(status, 503);
    assert!(body["error"].as_str().unwrap().contains("stops"), "{body:#}");
    assert_eq!(lb.reloads().await, 0.0);
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "first");
    gate.add_permits(1);
    busy.read_until("\r\n\r\nfirst").await;
}
