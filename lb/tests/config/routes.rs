//! Routes: matches, actions, what can never match.

use crate::support::{Place, problems_of};

#[test]
fn a_match_has_one_path() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { methods: [GET] }, upstream: api",
                &[
                    r#"9:11: virtual_hosts[0].routes[0].match: a match needs "path", "path_prefix" or "path_regex""#,
                ],
            ),
            (
                "match: { path: /a, path_prefix: /a }, upstream: api",
                &[
                    r#"9:43: virtual_hosts[0].routes[0].match.path_prefix: a match has only one of "path", "path_prefix" and "path_regex""#,
                ],
            ),
            (
                "match: { path: /a, path_prefix: /a, path_regex: /a }, upstream: api",
                &[
                    r#"9:43: virtual_hosts[0].routes[0].match.path_prefix: a match has only one of "path", "path_prefix" and "path_regex""#,
                ],
            ),
        ],
    );
}

#[test]
fn paths_that_no_request_has() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: api }, upstream: api",
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "api" can never match: a path starts with "/""#,
                ],
            ),
            (
                r#"match: { path: "" }, upstream: api"#,
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "" can never match: a path starts with "/""#,
                ],
            ),
            (
                r#"match: { path: "/a?b=1" }, upstream: api"#,
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/a?b=1" can never match: a path has no query or fragment; conditions on the query go under "query""#,
                ],
            ),
            (
                r#"match: { path: "/a#b" }, upstream: api"#,
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/a#b" can never match: a path has no query or fragment; conditions on the query go under "query""#,
                ],
            ),
            (
                r#"match: { path: "/a b" }, upstream: api"#,
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/a b" can never match: a path has no spaces or other scripts; write them percent-encoded, as clients send them"#,
                ],
            ),
            (
                "match: { path: /bücher }, upstream: api",
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/bücher" can never match: a path has no spaces or other scripts; write them percent-encoded, as clients send them"#,
                ],
            ),
            (
                "match: { path: /%zz }, upstream: api",
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/%zz" can never match: the path has a broken escape, an encoded NUL, or climbs above the root"#,
                ],
            ),
            (
                "match: { path: /a%00 }, upstream: api",
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/a%00" can never match: the path has a broken escape, an encoded NUL, or climbs above the root"#,
                ],
            ),
            (
                "match: { path: /a/../.. }, upstream: api",
                &[
                    r#"9:26: virtual_hosts[0].routes[0].match.path: "/a/../.." can never match: the path has a broken escape, an encoded NUL, or climbs above the root"#,
                ],
            ),
        ],
    );
}

#[test]
fn regular_expressions() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path_regex: '/a(' }, upstream: api",
                &[
                    "9:32: virtual_hosts[0].routes[0].match.path_regex: the regular expression does not compile: unclosed group",
                ],
            ),
            (
                "match: { path_regex: '/[z-a]' }, upstream: api",
                &[
                    "9:32: virtual_hosts[0].routes[0].match.path_regex: the regular expression does not compile: invalid character class range, the start must be <= the end",
                ],
            ),
            (
                "match: { path_regex: '/(?=a)' }, upstream: api",
                &[
                    "9:32: virtual_hosts[0].routes[0].match.path_regex: the regular expression does not compile: look-around, including look-ahead and look-behind, is not supported",
                ],
            ),
            (
                "match: { path_regex: '/a{1,100000}{1,100000}' }, upstream: api",
                &[
                    "9:32: virtual_hosts[0].routes[0].match.path_regex: the regular expression does not compile: the expression is too large",
                ],
            ),
            (
                r#"match: { path_regex: '\.php$' }, upstream: api"#,
                &[
                    r#"9:32: virtual_hosts[0].routes[0].match.path_regex: this route can never match: the expression has to match the whole path, and every path starts with "/""#,
                ],
            ),
            (
                "match: { path_regex: 'api/.*' }, upstream: api",
                &[
                    r#"9:32: virtual_hosts[0].routes[0].match.path_regex: this route can never match: the expression has to match the whole path, and every path starts with "/""#,
                ],
            ),
        ],
    );
}

#[test]
fn methods() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: /, methods: [get] }, upstream: api",
                &[
                    r#"9:39: virtual_hosts[0].routes[0].match.methods[0]: methods are case-sensitive, so "get" can never match; did you mean "GET"?"#,
                ],
            ),
            (
                r#"match: { path: /, methods: [GET, "P ST"] }, upstream: api"#,
                &[r#"9:44: virtual_hosts[0].routes[0].match.methods[1]: "P ST" is not a method"#],
            ),
            (
                "match: { path: /, methods: [] }, upstream: api",
                &[
                    "9:29: virtual_hosts[0].routes[0].match.methods: name at least one method, or leave the key out for all",
                ],
            ),
        ],
    );
}

#[test]
fn conditions_on_headers() {
    problems_of(
        Place::Route,
        &[
            (
                r#"match: { path: /, headers: { "X Y": a } }, upstream: api"#,
                &[
                    r#"9:47: virtual_hosts[0].routes[0].match.headers."X Y": "X Y" is not a header name"#,
                ],
            ),
            (
                "match: { path: /, headers: { X-A: a, x-a: b } }, upstream: api",
                &[
                    r#"9:53: virtual_hosts[0].routes[0].match.headers.x-a: the header "x-a" is given twice; names are case-insensitive"#,
                ],
            ),
            (
                r#"match: { path: /, headers: { X-A: "a\nb" } }, upstream: api"#,
                &[
                    "9:45: virtual_hosts[0].routes[0].match.headers.X-A: a header value has no line breaks or control characters",
                ],
            ),
        ],
    );
}

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

#[test]
fn the_same_route_again() {
    problems_of(
        Place::Routes,
        &[
            (
                "      - { match: { path: /a }, upstream: api }\n      - { match: { path: /a }, upstream: api }",
                &[
                    "10:11: virtual_hosts[0].routes[1].match: this route can never match: the route on line 9 takes everything it would",
                ],
            ),
            (
                "      - { match: { path_prefix: /a }, upstream: api }\n      - { match: { path_prefix: /a/ }, upstream: api }",
                &[
                    "10:11: virtual_hosts[0].routes[1].match: this route can never match: the route on line 9 takes everything it would",
                ],
            ),
            (
                "      - { match: { path: /a, methods: [GET, POST] }, upstream: api }\n      - { match: { path: /a, methods: [POST] }, upstream: api }",
                &[
                    "10:11: virtual_hosts[0].routes[1].match: this route can never match: the route on line 9 takes everything it would",
                ],
            ),
        ],
    );
}

#[test]
fn an_expression_for_every_path() {
    problems_of(
        Place::Routes,
        &[(
            "      - { match: { path_prefix: /a }, upstream: api }
      - { match: { path_regex: '/.*' }, upstream: api }
      - { match: { path_regex: '/b.*' }, upstream: api }
      - { match: { path: /c }, upstream: api }",
            &[
                "9:11: virtual_hosts[0].routes[0].match: this route can never match: the route on line 10 takes everything it would",
                "11:11: virtual_hosts[0].routes[2].match: this route can never match: the route on line 10 takes everything it would",
            ],
        )],
    );
}
