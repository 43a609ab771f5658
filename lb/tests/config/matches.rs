//! Matches, and routes that can never match.

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
