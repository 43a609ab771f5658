//! Routes: what they do, redirects, settings.

use crate::support::{Place, problems_of};

#[test]
fn a_route_does_one_thing() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }",
                &[r#"9:9: virtual_hosts[0].routes[0]: a route needs "upstream" or "redirect""#],
            ),
            (
                "match: { path: / }, upstream: api, redirect: { scheme: https }",
                &[
                    r#"9:46: virtual_hosts[0].routes[0].redirect: a route has either "upstream" or "redirect", not both"#,
                ],
            ),
        ],
    );
}

#[test]
fn redirects() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, redirect: { scheme: https, status: 200 }",
                &[
                    "9:66: virtual_hosts[0].routes[0].redirect.status: 200 is not a redirect; write 301, 302, 303, 307 or 308",
                ],
            ),
            (
                "match: { path: / }, redirect: { scheme: https, status: 304 }",
                &[
                    "9:66: virtual_hosts[0].routes[0].redirect.status: 304 is not a redirect; write 301, 302, 303, 307 or 308",
                ],
            ),
            (
                "match: { path: / }, redirect: { scheme: ftp }",
                &[
                    r#"9:51: virtual_hosts[0].routes[0].redirect.scheme: "ftp" is not one of "http", "https""#,
                ],
            ),
            (
                r#"match: { path: / }, redirect: { host: "a:80" }"#,
                &[
                    r#"9:49: virtual_hosts[0].routes[0].redirect.host: "a:80" is not a host name; the port goes under "port""#,
                ],
            ),
            (
                r#"match: { path: / }, redirect: { host: "*" }"#,
                &[
                    r#"9:49: virtual_hosts[0].routes[0].redirect.host: "*" is not a host name; the port goes under "port""#,
                ],
            ),
            (
                "match: { path: / }, redirect: { port: 0 }",
                &[
                    "9:49: virtual_hosts[0].routes[0].redirect.port: must be from 1 to 65535, found the number 0",
                ],
            ),
            (
                "match: { path: / }, redirect: { path: a }",
                &[
                    r#"9:49: virtual_hosts[0].routes[0].redirect.path: "a" is not a path; it starts with "/" and has no query"#,
                ],
            ),
            (
                r#"match: { path: / }, redirect: { path: "/a?b" }"#,
                &[
                    r#"9:49: virtual_hosts[0].routes[0].redirect.path: "/a?b" is not a path; it starts with "/" and has no query"#,
                ],
            ),
        ],
    );
}

#[test]
fn redirects_to_themselves() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, redirect: {}",
                &[
                    "9:31: virtual_hosts[0].routes[0].redirect: a redirect without scheme, host, port or path points at itself",
                ],
            ),
            (
                "match: { path: / }, redirect: { status: 301 }",
                &[
                    "9:31: virtual_hosts[0].routes[0].redirect: a redirect without scheme, host, port or path points at itself",
                ],
            ),
            (
                "match: { path: /a }, redirect: { path: /a }",
                &[
                    r#"9:32: virtual_hosts[0].routes[0].redirect: on listener "http" this redirect leads back to itself"#,
                ],
            ),
            (
                "match: { path_prefix: / }, redirect: { scheme: http, port: 8080 }",
                &[
                    r#"9:38: virtual_hosts[0].routes[0].redirect: on listener "http" this redirect leads back to itself"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_redirect_to_https_on_the_https_listener() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:80"] }
  https: { bind: ["127.0.0.1:443"], tls: { certificates: [{ cert: a.pem, key: a.key }] } }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, redirect: { scheme: https } }
"#,
            &[
                r#"10:38: virtual_hosts[0].routes[0].redirect: on listener "https" this redirect leads back to itself"#,
            ],
        )],
    );
}

#[test]
fn what_has_no_effect_on_a_redirect() {
    problems_of(
        Place::Route,
        &[(
            "match: { path: / }, redirect: { scheme: https }, websocket: true, timeouts: { read: 1s }, retry: { attempts: 1 }, limits: { body: 1KiB }, request_headers: { set: { a: b } }",
            &[
                "9:71: virtual_hosts[0].routes[0].websocket: websocket has no effect on a redirect; remove it",
                "9:77: virtual_hosts[0].routes[0].timeouts: timeouts has no effect on a redirect; remove it",
                "9:101: virtual_hosts[0].routes[0].retry: retry has no effect on a redirect; remove it",
                "9:125: virtual_hosts[0].routes[0].limits: limits has no effect on a redirect; remove it",
                "9:149: virtual_hosts[0].routes[0].request_headers: request_headers has no effect on a redirect; remove it",
            ],
        )],
    );
}

#[test]
fn settings_of_a_route() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upstream: api, timeouts: { read: 0s }",
                &["9:64: virtual_hosts[0].routes[0].timeouts.read: must be longer than 0s"],
            ),
            (
                "match: { path: / }, upstream: api, retry: { budget: { ratio: 0.1 } }",
                &[
                    "9:55: virtual_hosts[0].routes[0].retry.budget: the retry budget belongs to the upstream or to defaults, not to a route",
                ],
            ),
            (
                "match: { path: / }, upstream: api, max_concurrent: { limit: 0 }",
                &[
                    "9:71: virtual_hosts[0].routes[0].max_concurrent.limit: must be from 1 to 4294967295, found the number 0",
                ],
            ),
            (
                "match: { path: / }, upstream: api, max_concurrent: { limit: 1, key: [] }",
                &[
                    "9:74: virtual_hosts[0].routes[0].max_concurrent.key: name at least one part: client_ip, host, path, uri or header:NAME",
                ],
            ),
            (
                r#"match: { path: / }, upstream: api, request_headers: { add: { X-A: "a\u0000" } }"#,
                &[
                    "9:77: virtual_hosts[0].routes[0].request_headers.add.X-A: a header value has no line breaks or control characters",
                ],
            ),
            (
                "match: { path: / }, upstream: api, request_headers: { remove: [Host, Keep-Alive] }",
                &[
                    r#"9:80: virtual_hosts[0].routes[0].request_headers.remove[1]: "keep-alive" belongs to the connection, not to the message; it cannot be edited"#,
                ],
            ),
        ],
    );
}

#[test]
fn websocket_needs_http1() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }], protocol: h2c }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api, websocket: true }
"#,
            &[
                r#"9:64: virtual_hosts[0].routes[0].websocket: WebSocket upgrades need HTTP/1.1 to the endpoints, but upstream "api" speaks HTTP/2"#,
            ],
        )],
    );
}
