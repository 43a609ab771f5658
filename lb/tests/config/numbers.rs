//! Numbers that are out of range, too large, or none.

use crate::support::{Place, problems_of};

#[test]
fn ranges() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1", weight: 0 }]"#,
                &[
                    "5:48: upstreams.api.endpoints[0].weight: must be from 1 to 1000, found the number 0",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], min_healthy_percent: 101"#,
                &[
                    "5:64: upstreams.api.min_healthy_percent: must be from 0 to 100, found the number 101",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { attempts: 0 }"#,
                &["5:62: upstreams.api.retry.attempts: must be from 1 to 16, found the number 0"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { unhealthy_after: 256 }"#,
                &[
                    "5:76: upstreams.api.health_check.unhealthy_after: must be from 1 to 100, found the number 256",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], keepalive: { max_idle: -1 }"#,
                &[
                    "5:66: upstreams.api.keepalive.max_idle: must be from 0 to 4294967295, found the number -1",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: 600 }"#,
                &[
                    "5:74: upstreams.api.health_check.expect_status: must be from 100 to 599, found the number 600",
                ],
            ),
        ],
    );
}

#[test]
fn fractions_and_numbers_that_are_none() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], retry: { budget: { ratio: 11 } }"#,
                &[
                    "5:69: upstreams.api.retry.budget.ratio: must be from 0 to 10, found the number 11",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { budget: { ratio: 1e999 } }"#,
                &[
                    "5:69: upstreams.api.retry.budget.ratio: must be from 0 to 10, found the number inf",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { budget: { ratio: -.inf } }"#,
                &[
                    "5:69: upstreams.api.retry.budget.ratio: must be from 0 to 10, found the number -inf",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], retry: { budget: { ratio: .nan } }"#,
                &[
                    "5:69: upstreams.api.retry.budget.ratio: must be from 0 to 10, found the number NaN",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", weight: 1.5 }]"#,
                &[
                    "5:48: upstreams.api.endpoints[0].weight: expected a whole number, found the number 1.5",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", weight: 1.0 }]"#,
                &[
                    "5:48: upstreams.api.endpoints[0].weight: expected a whole number, found the number 1.0",
                ],
            ),
        ],
    );
}

#[test]
fn huge_numbers() {
    problems_of(
        Place::Limit,
        &[
            (
                "rate: 5/m, burst: 5000000000",
                &[
                    "11:26: rate_limits.a.burst: must be from 0 to 4294967295, found the number 5000000000",
                ],
            ),
            (
                "rate: 5/m, burst: 99999999999999999999999999999999999999999",
                &["11:26: rate_limits.a.burst: expected a whole number, found the number 1e41"],
            ),
            (
                "rate: 5/m, burst: 1e999",
                &["11:26: rate_limits.a.burst: expected a whole number, found the number inf"],
            ),
            (
                "rate: 5/m, burst: -99999999999999999999",
                &["11:26: rate_limits.a.burst: expected a whole number, found the number -1e20"],
            ),
            (
                "rate: 5/m, max_keys: 0",
                &["11:29: rate_limits.a.max_keys: must be from 1 to 100000000, found the number 0"],
            ),
            (
                "rate: 5/m, status: 200",
                &["11:27: rate_limits.a.status: must be from 400 to 599, found the number 200"],
            ),
        ],
    );
}

#[test]
fn versions() {
    problems_of(
        Place::File,
        &[
            (
                r#"version: 2
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &["1:10: version: version 2 is not known; this program reads version 1"],
            ),
            (
                r#"version: 1.0
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &["1:10: version: expected a whole number, found the number 1.0"],
            ),
            (
                r#"version: "1"
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &[r#"1:10: version: expected a whole number, found the text "1""#],
            ),
            (
                r#"version: 99999999999
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &["1:10: version: must be from 0 to 4294967295, found the number 99999999999"],
            ),
        ],
    );
}
