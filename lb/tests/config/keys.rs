//! Keys: unknown, missing, misspelt.

use crate::support::{Place, problems_of};

#[test]
fn keys_of_the_top() {
    problems_of(
        Place::Top,
        &[
            (
                "reload: { watched: true }",
                &[r#"10:11: reload.watched: unknown key "watched"; did you mean "watch"?"#],
            ),
            ("admin: {}", &[r#"10:1: admin: the key "address" is missing"#]),
            (
                "lisenters: {}",
                &[r#"10:1: lisenters: unknown key "lisenters"; did you mean "listeners"?"#],
            ),
            (
                "rate-limits: {}",
                &[r#"10:1: rate-limits: unknown key "rate-limits"; did you mean "rate_limits"?"#],
            ),
            (
                "5: 6",
                &[
                    r#"10:1: 5: unknown key "5"; known here: access_log, admin, client_ip, defaults, dns, kubernetes, listeners, max_connections, rate_limits, reload, shutdown, status, upstreams, version, virtual_hosts, workers"#,
                ],
            ),
        ],
    );
}

#[test]
fn keys_of_a_listener() {
    problems_of(
        Place::Listener,
        &[
            (
                r#"bind: ["127.0.0.1:80"], motor: auto"#,
                &[
                    r#"3:35: listeners.http.motor: unknown key "motor"; known here: backlog, bind, deadlines, engine, http2, limits, proxy_protocol, response_headers, tcp, tls"#,
                ],
            ),
            (
                r#"binds: ["127.0.0.1:80"]"#,
                &[r#"3:11: listeners.http.binds: unknown key "binds"; did you mean "bind"?"#],
            ),
            ("response_headers: {}", &[r#"3:3: listeners.http: the key "bind" is missing"#]),
        ],
    );
}

#[test]
fn keys_of_tls() {
    problems_of(
        Place::Tls,
        &[
            (
                "certificates: [{ cert: a.pem, key: a.key }], session_cache: {}",
                &[
                    r#"3:89: listeners.http.tls.session_cache: unknown key "session_cache"; known here: alpn, certificates, ciphers, client_auth, key_exchange, min_version, ticket_key_files, unknown_sni"#,
                ],
            ),
            (
                "certificates: [{ cert: a.pem }]",
                &[r#"3:59: listeners.http.tls.certificates[0]: the key "key" is missing"#],
            ),
            ("", &[r#"3:37: listeners.http.tls: the key "certificates" is missing"#]),
        ],
    );
}

#[test]
fn keys_of_an_upstream() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], fast_start: 10s"#,
                &[
                    r#"5:43: upstreams.api.fast_start: unknown key "fast_start"; known here: balance, circuit_breaker, endpoints, endpoints_from, hash_key, health_check, keepalive, min_healthy_percent, outlier, passive_health, protocol, queue, retry, send_proxy, slow_start, timeouts, tls"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", spare: true }]"#,
                &[
                    r#"5:40: upstreams.api.endpoints[0].spare: unknown key "spare"; known here: address, backup, max_connections, weight"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], circuit_breaker: { errors: 50% }"#,
                &[
                    r#"5:62: upstreams.api.circuit_breaker.errors: unknown key "errors"; known here: error_rate, min_requests, open_for, probes, window"#,
                ],
            ),
            (
                r#"endpoints: [{ adress: "a:1" }]"#,
                &[
                    r#"5:24: upstreams.api.endpoints[0].adress: unknown key "adress"; did you mean "address"?"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], keepalive: { max_idel: 5 }"#,
                &[
                    r#"5:56: upstreams.api.keepalive.max_idel: unknown key "max_idel"; did you mean "max_idle"?"#,
                ],
            ),
            (
                "balance: random",
                &["5:3: upstreams.api: an upstream needs at least one endpoint, or endpoints_from"],
            ),
        ],
    );
}

#[test]
fn keys_of_a_limit() {
    problems_of(
        Place::Limit,
        &[
            (
                "rate: 5/m, zone: 10m",
                &[
                    r#"11:19: rate_limits.a.zone: unknown key "zone"; known here: burst, key, max_keys, rate, status"#,
                ],
            ),
            ("burst: 5", &[r#"11:3: rate_limits.a: the key "rate" is missing"#]),
        ],
    );
}

#[test]
fn keys_of_a_virtual_host() {
    problems_of(
        Place::Host,
        &[
            (
                "host: [a]",
                &[r#"7:5: virtual_hosts[0].host: unknown key "host"; did you mean "hosts"?"#],
            ),
            (
                "server_name: [a]",
                &[
                    r#"7:5: virtual_hosts[0].server_name: unknown key "server_name"; known here: hosts, listeners, request_headers, response_headers, routes"#,
                    r#"7:5: virtual_hosts[0]: the key "hosts" is missing"#,
                ],
            ),
            (
                "hosts: [a]\n    response_header: {}",
                &[
                    r#"8:5: virtual_hosts[0].response_header: unknown key "response_header"; did you mean "response_headers"?"#,
                ],
            ),
        ],
    );
}

#[test]
fn keys_of_a_route() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upsteam: api",
                &[
                    r#"9:31: virtual_hosts[0].routes[0].upsteam: unknown key "upsteam"; did you mean "upstream"?"#,
                ],
            ),
            (
                "match: { path: /, method: [GET] }, upstream: api",
                &[
                    r#"9:29: virtual_hosts[0].routes[0].match.method: unknown key "method"; did you mean "methods"?"#,
                ],
            ),
            (
                "match: { path: / }, upstream: api, limits: { header_size: 1KiB }",
                &[
                    r#"9:56: virtual_hosts[0].routes[0].limits.header_size: unknown key "header_size"; known here: body"#,
                ],
            ),
            (
                "match: { path: / }, upstream: api, response_headers: { X-A: a }",
                &[
                    r#"9:66: virtual_hosts[0].routes[0].response_headers.X-A: unknown key "X-A"; known here: add, remove, set"#,
                ],
            ),
            ("upstream: api", &[r#"9:9: virtual_hosts[0].routes[0]: the key "match" is missing"#]),
        ],
    );
}

#[test]
fn no_version() {
    problems_of(
        Place::File,
        &[(
            r#"listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
            &[r#"1:1: the key "version" is missing"#],
        )],
    );
}
