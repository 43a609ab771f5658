//! Values of the wrong kind.

use crate::support::{Place, problems_of};

#[test]
fn sections_without_content() {
    problems_of(
        Place::Top,
        &[
            (
                "status:",
                &["10:7: status: expected a mapping, found nothing; remove the key or fill it in"],
            ),
            (
                "access_log: ~",
                &[
                    "10:13: access_log: expected a mapping, found nothing; remove the key or fill it in",
                ],
            ),
            (
                "defaults:\n  timeouts:",
                &[
                    "11:11: defaults.timeouts: expected a mapping, found nothing; remove the key or fill it in",
                ],
            ),
            (
                "client_ip: { trusted_proxies: [~] }",
                &[
                    "10:32: client_ip.trusted_proxies[0]: expected text, found nothing; remove the item or fill it in",
                ],
            ),
        ],
    );
}

#[test]
fn a_listener_is_never_in_clear_because_its_tls_is_empty() {
    problems_of(
        Place::Listener,
        &[(
            r#"bind: ["127.0.0.1:443"], tls:"#,
            &[
                "3:39: listeners.http.tls: expected a mapping, found nothing; remove the key or fill it in",
            ],
        )],
    );
}

#[test]
fn empty_sections_cause_no_dangling_names() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
            &["4:10: upstreams: expected a mapping, found nothing; remove the key or fill it in"],
        )],
    );
}

#[test]
fn one_kind_for_another() {
    problems_of(
        Place::Top,
        &[
            (
                "workers: four",
                &[r#"10:10: workers: expected "auto" or a whole number, found the text "four""#],
            ),
            (
                r#"workers: "4""#,
                &[r#"10:10: workers: expected "auto" or a whole number, found the text "4""#],
            ),
            (
                "workers: true",
                &[
                    r#"10:10: workers: expected "auto" or a whole number, found the truth value true"#,
                ],
            ),
            (
                "access_log: off",
                &[r#"10:13: access_log: expected a mapping, found the text "off""#],
            ),
            ("shutdown: 30s", &[r#"10:11: shutdown: expected a mapping, found the text "30s""#]),
            (
                r#"defaults: { limits: { headers: "100" } }"#,
                &[
                    r#"10:32: defaults.limits.headers: expected a whole number, found the text "100""#,
                ],
            ),
            (
                "status: { address: [127.0.0.1] }",
                &["10:20: status.address: expected text, found a list"],
            ),
            (
                "client_ip: { trusted_proxies: 10.0.0.0/8 }",
                &[
                    r#"10:31: client_ip.trusted_proxies: expected a list, found the text "10.0.0.0/8"; write ["10.0.0.0/8"]"#,
                ],
            ),
            ("rate_limits: [api]", &["10:14: rate_limits: expected a mapping, found a list"]),
        ],
    );
}

#[test]
fn text_where_true_or_false_belongs() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upstream: api, websocket: yes",
                &[
                    r#"9:57: virtual_hosts[0].routes[0].websocket: expected true or false, found the text "yes"; did you mean true?"#,
                ],
            ),
            (
                "match: { path: / }, upstream: api, access_log: off",
                &[
                    r#"9:58: virtual_hosts[0].routes[0].access_log: expected true or false, found the text "off"; did you mean false?"#,
                ],
            ),
            (
                r#"match: { path: / }, upstream: api, access_log: "false""#,
                &[
                    r#"9:58: virtual_hosts[0].routes[0].access_log: expected true or false, found the text "false""#,
                ],
            ),
        ],
    );
}

#[test]
fn numbers_where_text_belongs() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upstream: 5",
                &[
                    "9:41: virtual_hosts[0].routes[0].upstream: expected text, found the number 5; put it in quotes",
                ],
            ),
            (
                "match: { path: 5 }, upstream: api",
                &[
                    "9:26: virtual_hosts[0].routes[0].match.path: expected text, found the number 5; put it in quotes",
                ],
            ),
            (
                "match: { path: /, headers: { X-Version: 2 } }, upstream: api",
                &[
                    "9:51: virtual_hosts[0].routes[0].match.headers.X-Version: expected text, found the number 2; put it in quotes",
                ],
            ),
            (
                "match: { path: / }, upstream: api, response_headers: { set: { X-Cache: false } }",
                &[
                    "9:82: virtual_hosts[0].routes[0].response_headers.set.X-Cache: expected text, found the truth value false; put it in quotes",
                ],
            ),
        ],
    );
}

#[test]
fn numbers_where_leaves_belong() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upstream: api, timeouts: { read: 30 }",
                &[
                    r#"9:64: virtual_hosts[0].routes[0].timeouts.read: "30" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                "match: { path: / }, upstream: api, limits: { body: 1000000 }",
                &[
                    r#"9:62: virtual_hosts[0].routes[0].limits.body: "1000000" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"#,
                ],
            ),
        ],
    );
}

#[test]
fn lists_and_mappings() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: /, methods: GET }, upstream: api",
                &[
                    r#"9:38: virtual_hosts[0].routes[0].match.methods: expected a list, found the text "GET"; write ["GET"]"#,
                ],
            ),
            (
                "match: /, upstream: api",
                &[
                    r#"9:18: virtual_hosts[0].routes[0].match: expected a mapping, found the text "/""#,
                ],
            ),
            (
                "match: { path: / }, upstream: [api]",
                &["9:41: virtual_hosts[0].routes[0].upstream: expected text, found a list"],
            ),
            (
                "match: { path: / }, upstream: api, rate_limits: { a: b }",
                &["9:59: virtual_hosts[0].routes[0].rate_limits: expected a list, found a mapping"],
            ),
        ],
    );
}

#[test]
fn versions_of_tls_need_quotes() {
    problems_of(
        Place::Tls,
        &[
            (
                "certificates: [{ cert: a.pem, key: a.key }], min_version: 1.2",
                &[
                    r#"3:102: listeners.http.tls.min_version: "1.2" needs quotes, or it is a number"#,
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: a.key }], min_version: 1",
                &[
                    r#"3:102: listeners.http.tls.min_version: expected one of "1.2", "1.3", found the number 1"#,
                ],
            ),
            (
                r#"certificates: [{ cert: a.pem, key: a.key }], min_version: "1.1""#,
                &[
                    r#"3:102: listeners.http.tls.min_version: "1.1" is not one of "1.2", "1.3"; did you mean "1.2"?"#,
                ],
            ),
        ],
    );
}

#[test]
fn words() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], balance: least_conn"#,
                &[
                    r#"5:52: upstreams.api.balance: "least_conn" is not one of "least_connections", "round_robin", "random", "ip_hash", "consistent_hash"; did you mean "least_connections"?"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], balance: fastest"#,
                &[
                    r#"5:52: upstreams.api.balance: "fastest" is not one of "least_connections", "round_robin", "random", "ip_hash", "consistent_hash""#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], balance: 5"#,
                &[
                    r#"5:52: upstreams.api.balance: expected one of "least_connections", "round_robin", "random", "ip_hash", "consistent_hash", found the number 5"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { on: [timeouts] }"#,
                &[
                    r#"5:57: upstreams.api.retry.on[0]: expected "connect_failure", "reset", "timeout" or a whole number, found the text "timeouts"; did you mean "timeout"?"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { on: [reset, 399, 600] }"#,
                &[
                    "5:64: upstreams.api.retry.on[1]: must be from 400 to 599, found the number 399",
                    "5:69: upstreams.api.retry.on[2]: must be from 400 to 599, found the number 600",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { type: grpc }"#,
                &[r#"5:65: upstreams.api.health_check.type: "grpc" is not one of "http", "tcp""#],
            ),
        ],
    );
}
