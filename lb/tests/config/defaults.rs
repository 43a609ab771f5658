//! Keys that are left out have the values of the contract, which are those that
//! `config/lb.yaml` shows.

use std::time::Duration;

use lb::balance::Algorithm;
use lb::config::LogFormat;
use lb::policy::{Forward, Retry, RetryOn, Route, RouteAction, Timeouts};
use lb::snapshot::{AccessLog, HeadLimits, Snapshot};
use lb::upstream::{BudgetSettings, CheckKind, HttpCheck, PassiveSettings, Protocol};
use lb::values::{KeyPart, StatusRange};

use crate::support::{SOUND, compile, repository};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn snapshot(text: &str) -> Snapshot {
    let (compiled, problems) = compile(text);
    assert_eq!(problems, [""; 0]);
    compiled.snapshot.unwrap()
}

fn forward(route: &Route) -> &Forward {
    match &route.action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Redirect(_) => panic!("{} is a redirect", route.name),
    }
}

/// What holds for any file that sets none of it.
#[track_caller]
fn assert_defaults_of_the_process(snapshot: &Snapshot) {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(snapshot.process.workers, cores);
    assert_eq!(snapshot.process.status, "127.0.0.1:9900".parse().unwrap());
    assert_eq!(snapshot.process.access_log, AccessLog { path: None, format: LogFormat::Json });
    assert_eq!(snapshot.process.shutdown_delay, Duration::ZERO);
    assert_eq!(snapshot.process.drain_timeout, seconds(30));
    assert!(snapshot.trusted_proxies.is_empty());
    assert_eq!(
        snapshot.head_limits,
        HeadLimits { header_size: 32 * 1024, headers: 100, uri: 8 * 1024 }
    );
    for upstream in &snapshot.upstreams {
        assert!(matches!(upstream.algorithm, Algorithm::LeastConnections));
        assert_eq!(upstream.protocol, Protocol::Http1);
        assert!(upstream.tls.is_none());
        assert!(upstream.members().endpoints.iter().all(|endpoint| endpoint.weight == 1));
        assert_eq!((upstream.max_idle, upstream.idle_timeout), (32, seconds(60)));
        assert_eq!(
            upstream.passive,
            PassiveSettings { max_fails: 3, fail_timeout: seconds(30), min_healthy_percent: 50 }
        );
        let BudgetSettings { ratio, min_per_second } = upstream.budget;
        assert_eq!((ratio, min_per_second), (0.2, 10));
    }
}

#[track_caller]
fn assert_defaults_of_a_route(route: &Route) {
    let forward = forward(route);
    assert!(!forward.websocket);
    assert_eq!(
        forward.timeouts,
        Timeouts {
            connect: seconds(60),
            send: seconds(60),
            read: seconds(60),
            request: seconds(300)
        }
    );
    let on = RetryOn { connect_failure: true, reset: true, timeout: true };
    assert_eq!(forward.retry, Retry { attempts: 3, on });
    assert_eq!(forward.body_limit, 10 * 1024 * 1024);
    assert!(route.access_log);
    assert!(route.concurrency.is_none());
}

#[test]
fn a_file_with_nothing_but_what_is_required() {
    let snapshot = snapshot(SOUND);
    assert_defaults_of_the_process(&snapshot);
    let route = &snapshot.table.routes()[0];
    assert_defaults_of_a_route(route);
    assert!(route.charges.is_empty());
    assert_eq!(&*route.name, "/");
    assert!(snapshot.upstreams[0].check.is_none(), "no checks without health_check");
    assert!(snapshot.listeners[0].tls.is_none());
}

#[test]
fn empty_sections_are_as_good_as_none() {
    let sections = "status: {}\naccess_log: {}\nshutdown: {}\nclient_ip: {}\n\
        defaults: { timeouts: {}, limits: {}, passive_health: {}, keepalive: {}, retry: { budget: {} } }\n";
    let snapshot = snapshot(&format!("{SOUND}{sections}"));
    assert_defaults_of_the_process(&snapshot);
    assert_defaults_of_a_route(&snapshot.table.routes()[0]);
}

#[test]
fn the_shipped_file_shows_the_defaults() {
    let text = std::fs::read_to_string(repository().join("config/lb.yaml")).unwrap();
    let text = text.replace("../certs/dev/api.", "a.").replace("../certs/dev/www.", "a.");
    let snapshot = snapshot(&text);
    assert_defaults_of_the_process(&snapshot);
    let route =
        |name: &str| snapshot.table.routes().iter().find(|route| *route.name == *name).unwrap();
    assert_defaults_of_a_route(route("/api/"));
    assert_defaults_of_a_route(route("/api/v1/auth/login"));

    let tunnel = forward(route("/ws"));
    assert!(tunnel.websocket);
    let week = seconds(7 * 24 * 3600);
    assert_eq!((tunnel.timeouts.read, tunnel.timeouts.send), (week, week));
    assert_eq!(tunnel.timeouts.connect, seconds(60), "inherited field by field");
    assert!(!route("/health").access_log);

    let charge = &route("/api/").charges[0];
    assert_eq!(*charge.key, [KeyPart::ClientIp]);
    assert_eq!(charge.status, 429);
    let limits: Vec<_> = snapshot
        .limits
        .iter()
        .map(|limit| (&*limit.name, limit.limiter.rate().to_string(), limit.limiter.burst()))
        .collect();
    assert_eq!(limits, [("api", "100/s".to_owned(), 20), ("login", "5/m".to_owned(), 3)]);

    let checks: Vec<bool> = snapshot.upstreams.iter().map(|u| u.check.is_some()).collect();
    assert_eq!(checks, [true, false]);
    let tls = snapshot.listeners[1].tls.as_ref().unwrap();
    assert_eq!(tls.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn a_health_check_of_which_nothing_is_said() {
    let text = SOUND.replace("9001\" }]", "9001\" }], health_check: {}");
    let check = snapshot(&text).upstreams[0].check.clone().unwrap();
    let http = HttpCheck {
        path: "/".to_owned(),
        host: None,
        statuses: vec![StatusRange::SUCCESS],
        body: None,
    };
    assert_eq!(check.kind, CheckKind::Http(http));
    assert_eq!((check.interval, check.timeout), (seconds(10), seconds(3)));
    assert_eq!(check.failing_interval, seconds(1));
    assert_eq!((check.unhealthy_after, check.healthy_after), (3, 1));
}

#[test]
fn failing_endpoints_are_not_checked_less_often_than_healthy_ones() {
    let text = SOUND.replace("9001\" }]", "9001\" }], health_check: { interval: 200ms }");
    let check = snapshot(&text).upstreams[0].check.clone().unwrap();
    assert_eq!(check.failing_interval, Duration::from_millis(200));
}

#[test]
fn statuses_may_be_one_or_several() {
    for (written, good, bad) in [
        ("204", 204, 200),
        ("\"204\"", 204, 200),
        ("2xx", 299, 300),
        ("200-204", 204, 205),
        ("[200, 404]", 404, 204),
        ("[2xx, 301]", 301, 302),
    ] {
        let check = format!("9001\" }}], health_check: {{ expect_status: {written} }}");
        let check = snapshot(&SOUND.replace("9001\" }]", &check)).upstreams[0].check.clone();
        let CheckKind::Http(http) = check.unwrap().kind else { panic!("{written}") };
        let counts = |status| http.statuses.iter().any(|range| range.contains(status));
        assert!(counts(good) && !counts(bad), "{written}");
    }
}

#[test]
fn a_limit_without_key_and_burst() {
    let text = SOUND.replace("upstream: api }", "upstream: api, rate_limits: [a] }")
        + "rate_limits: { a: { rate: 5/m } }\n";
    let snapshot = snapshot(&text);
    assert_eq!(snapshot.limits[0].limiter.burst(), 0);
    let charge = &snapshot.table.routes()[0].charges[0];
    assert_eq!(*charge.key, [KeyPart::ClientIp]);
    assert_eq!(charge.status, 429);
}

#[test]
fn route_over_upstream_over_defaults_field_by_field() {
    let text = SOUND
        .replace("9001\" }]", "9001\" }], timeouts: { read: 2s, send: 2s }, retry: { attempts: 2 }")
        .replace(
            "upstream: api }",
            "upstream: api, timeouts: { send: 3s }, retry: { on: [reset] } }",
        )
        + "defaults: { timeouts: { connect: 1s, read: 1s, send: 1s }, limits: { body: 1KiB } }\n";
    let snapshot = snapshot(&text);
    let forward = forward(&snapshot.table.routes()[0]);
    assert_eq!(
        forward.timeouts,
        Timeouts { connect: seconds(1), read: seconds(2), send: seconds(3), request: seconds(300) }
    );
    let on = RetryOn { connect_failure: false, reset: true, timeout: false };
    assert_eq!(forward.retry, Retry { attempts: 2, on });
    assert_eq!(forward.body_limit, 1024);
}

#[test]
fn paths_are_brought_into_their_normal_form() {
    let text = SOUND.replace("path_prefix: /", "path: /a//b/../%7Euser");
    assert_eq!(&*snapshot(&text).table.routes()[0].name, "= /a/~user");
}

#[test]
fn variables_stand_for_text() {
    for upstream in
        ["${LB_UPSTREAM}", "${LB_UPSTREAM:-web}", "${LB_OTHER:-api}", "a${LB_OTHER:-pi}"]
    {
        let _ = snapshot(&SOUND.replace("upstream: api", &format!("upstream: \"{upstream}\"")));
    }
    let text = SOUND.replace("upstream: api }", "upstream: api, name: \"$${LB_UPSTREAM}\" }");
    assert_eq!(&*snapshot(&text).table.routes()[0].name, "${LB_UPSTREAM}");
}

#[test]
fn words_of_older_yaml_are_text() {
    let text = SOUND.replace(
        "upstream: api }",
        "upstream: api, response_headers: { set: { X-Accel-Buffering: no } } }",
    );
    let snapshot = snapshot(&text);
    let edits = &snapshot.table.routes()[0].response_headers;
    assert_eq!(edits.set[0].1, "no");
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = SOUND
        .replace("upstreams:", "  two:\n    <<: &two { bind: [\"127.0.0.1:8081\"] }\nupstreams:");
    assert_eq!(snapshot(&text).listeners.len(), 2);
}
