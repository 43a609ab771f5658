//! Upstreams: endpoints, balancing, checks, TLS.

use crate::support::{Place, problems_of};

#[test]
fn endpoints() {
    problems_of(
        Place::Upstream,
        &[
            (
                "endpoints: []",
                &[
                    "5:10: upstreams.api.endpoints: an upstream needs at least one endpoint, or endpoints_from",
                ],
            ),
            (
                r#"endpoints: ["a:1"]"#,
                &[r#"5:22: upstreams.api.endpoints[0]: expected a mapping, found the text "a:1""#],
            ),
            (
                r#"endpoints: [{ address: "a:1" }, { address: "A:1" }]"#,
                &[
                    "5:42: upstreams.api.endpoints[1]: a:1 is already an endpoint of this upstream; give it a weight instead",
                ],
            ),
            (
                r#"endpoints: { address: "a:1" }"#,
                &["5:21: upstreams.api.endpoints: expected a list, found a mapping"],
            ),
        ],
    );
}

#[test]
fn hash_keys() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], hash_key: uri"#,
                &["5:53: upstreams.api.hash_key: hash_key only goes with balance: consistent_hash"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], balance: ip_hash, hash_key: uri"#,
                &["5:71: upstreams.api.hash_key: hash_key only goes with balance: consistent_hash"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], balance: consistent_hash, hash_key: []"#,
                &[
                    "5:69: upstreams.api.hash_key: name at least one part: client_ip, host, path, uri or header:NAME",
                ],
            ),
        ],
    );
}

#[test]
fn tcp_checks_have_nothing_of_http() {
    problems_of(
        Place::Upstream,
        &[(
            r#"endpoints: [{ address: "a:1" }], health_check: { type: tcp, path: /, host: a, expect_status: 200, expect_body: ok }"#,
            &[
                "5:76: upstreams.api.health_check.path: path only goes with type: http",
                "5:85: upstreams.api.health_check.host: host only goes with type: http",
                "5:103: upstreams.api.health_check.expect_status: expect_status only goes with type: http",
                "5:121: upstreams.api.health_check.expect_body: expect_body only goes with type: http",
            ],
        )],
    );
}

#[test]
fn http_checks() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { path: health }"#,
                &[
                    r#"5:65: upstreams.api.health_check.path: "health" is not a path; it starts with "/""#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { path: "/a b" }"#,
                &[
                    r#"5:65: upstreams.api.health_check.path: "/a b" is not a path; it starts with "/""#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { host: "a b" }"#,
                &[r#"5:65: upstreams.api.health_check.host: "a b" is not a host"#],
            ),
        ],
    );
}

#[test]
fn tls() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], tls: { ca: ca.pem }"#,
                &["5:43: upstreams.api.tls: tls only goes with protocol: https or h2"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], protocol: h2c, tls: { server_name: a }"#,
                &["5:58: upstreams.api.tls: tls only goes with protocol: https or h2"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], protocol: https, tls: { ca: none.pem }"#,
                &[
                    "5:71: upstreams.api.tls.ca: none.pem cannot be read: No such file or directory (os error 2)",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], protocol: h2, tls: { ca: text.pem }"#,
                &["5:68: upstreams.api.tls.ca: text.pem holds no certificate in PEM form"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], protocol: https, tls: { ca: ca.pem, server_name: "a b" }"#,
                &[
                    r#"5:92: upstreams.api.tls.server_name: "a b" is not a name that TLS can ask for"#,
                ],
            ),
        ],
    );
}
