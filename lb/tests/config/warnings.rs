//! What is worth a look and does not keep anything from running.

use crate::support::{SOUND, compile};

#[track_caller]
fn warns(text: &str, expected: &[&str]) {
    let (compiled, problems) = compile(text);
    assert_eq!(problems, expected);
    assert!(compiled.snapshot.is_some(), "a warning is no error");
    assert!(!compiled.has_errors());
}

#[test]
fn a_sound_file_has_none() {
    warns(SOUND, &[]);
}

#[test]
fn an_upstream_that_no_route_uses() {
    warns(
        &SOUND.replace(
            "virtual_hosts:",
            "  web: { endpoints: [{ address: \"w:1\" }] }\nvirtual_hosts:",
        ),
        &[r#"6:3: upstreams.web: warning: no route uses the upstream "web""#],
    );
}

#[test]
fn slow_start_with_a_hash() {
    warns(
        &SOUND.replace("api: {", "api: { balance: ip_hash, slow_start: 30s,"),
        &[
            "5:40: upstreams.api.slow_start: warning: slow_start has no effect with a hash, which places keys and not shares",
        ],
    );
}

#[test]
fn a_queue_that_nobody_will_wait_in() {
    warns(
        &SOUND.replace("api: {", "api: { queue: { size: 10 },"),
        &[
            "5:10: upstreams.api.queue: warning: nobody will wait: no endpoint of this upstream has max_connections",
        ],
    );
}

#[test]
fn what_concerns_pods() {
    let with = |more: &str| {
        let from = "endpoints_from: { kubernetes: { namespace: a, service: b, port: c }";
        SOUND.replace("endpoints: [{ address: \"127.0.0.1:9001\" }]", &format!("{from}{more}"))
    };
    warns(&with(" }"), &[]);
    warns(&with(", max_connections: 5 }, queue: { size: 10 }"), &[]);
    warns(
        &with(" }, queue: { size: 10 }"),
        &[
            "5:81: upstreams.api.queue: warning: nobody will wait: no endpoint of this upstream has max_connections",
        ],
    );
    warns(&with(" }, protocol: https, tls: { server_name: a }"), &[]);
    warns(
        &with(" }, protocol: https"),
        &[
            "5:91: upstreams.api.protocol: warning: pods are asked for their addresses, which few certificates have; give tls.server_name",
        ],
    );
}

#[test]
fn a_rate_limit_that_no_route_uses() {
    warns(
        &format!("{SOUND}rate_limits:\n  login: {{ rate: 5/m }}\n"),
        &[r#"11:3: rate_limits.login: warning: no route uses the rate limit "login""#],
    );
}

#[test]
fn a_listener_that_no_virtual_host_is_served_on() {
    let text = SOUND
        .replace("upstreams:", "  web: { bind: [\"127.0.0.1:8081\"] }\nupstreams:")
        .replace("    routes:", "    listeners: [http]\n    routes:");
    warns(
        &text,
        &[r#"4:3: listeners.web: warning: no virtual host is served on the listener "web""#],
    );
}

#[test]
fn strict_transport_security_in_clear() {
    let text = SOUND.replace(
        "\"127.0.0.1:8080\"]",
        "\"127.0.0.1:8080\"], response_headers: { set: { strict-transport-security: max-age=1, X-A: a } }",
    );
    warns(
        &text,
        &[
            "3:37: listeners.http.response_headers: warning: Strict-Transport-Security is never sent on a listener without TLS (RFC 6797 section 7.2)",
        ],
    );
    let (compiled, _) = compile(&text);
    let snapshot = compiled.snapshot.unwrap();
    let edits = &snapshot.listeners.iter().next().unwrap().response_headers;
    let names: Vec<_> = edits.set.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-a"], "it is not sent, whatever the configuration says");
}

#[test]
fn nothing_to_serve() {
    warns(
        "version: 1\nlisteners:\n  http: { bind: [\"127.0.0.1:8080\"] }\n",
        &[
            "1:1: warning: there are no virtual hosts; every request gets an error",
            r#"3:3: listeners.http: warning: no virtual host is served on the listener "http""#,
        ],
    );
    let routes = SOUND.split("    routes:").next().unwrap().to_owned() + "    routes: []\n";
    warns(
        &routes
            .replace("upstreams:\n  api: { endpoints: [{ address: \"127.0.0.1:9001\" }] }\n", ""),
        &[
            "6:5: virtual_hosts[0].routes: warning: this virtual host has no routes; every request gets 404",
        ],
    );
}

#[test]
fn what_is_unused_is_not_told_while_anything_is_broken() {
    let text = SOUND.replace("upstream: api", "upstream: 5");
    let (_, problems) = compile(&text);
    assert_eq!(problems.len(), 1, "{problems:?}");
}
