//! Texts with a form of their own: durations, sizes, rates, statuses, variables.

use crate::support::{Place, problems_of};

#[test]
fn durations() {
    problems_of(
        Place::Top,
        &[
            (
                "shutdown: { delay: 5 }",
                &[
                    r#"10:20: shutdown.delay: "5" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                "shutdown: { delay: 1.5s }",
                &[
                    r#"10:20: shutdown.delay: "1.5s" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                "shutdown: { delay: -5s }",
                &[
                    r#"10:20: shutdown.delay: "-5s" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                "shutdown: { delay: 10sec }",
                &[
                    r#"10:20: shutdown.delay: "10sec" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                r#"shutdown: { delay: "10 s" }"#,
                &[
                    r#"10:20: shutdown.delay: "10 s" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                ],
            ),
            (
                "shutdown: { delay: 99999999999999999999s }",
                &[r#"10:20: shutdown.delay: "99999999999999999999s" is longer than ten years"#],
            ),
            (
                "shutdown: { delay: 4000d }",
                &[r#"10:20: shutdown.delay: "4000d" is longer than ten years"#],
            ),
        ],
    );
}

#[test]
fn times_in_which_nothing_happens() {
    problems_of(
        Place::Top,
        &[
            (
                "defaults: { timeouts: { connect: 0s } }",
                &["10:34: defaults.timeouts.connect: must be longer than 0s"],
            ),
            (
                "defaults: { passive_health: { fail_timeout: 0s } }",
                &[
                    r#"10:45: defaults.passive_health.fail_timeout: must be longer than 0s; "max_fails: 0" turns passive health off"#,
                ],
            ),
            (
                "defaults: { keepalive: { idle_timeout: 0ms } }",
                &[
                    r#"10:40: defaults.keepalive.idle_timeout: must be longer than 0s; "max_idle: 0" keeps no connection"#,
                ],
            ),
        ],
    );
}

#[test]
fn times_of_an_upstream_in_which_nothing_happens() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], timeouts: { read: 0s, request: 0m }"#,
                &[
                    "5:61: upstreams.api.timeouts.read: must be longer than 0s",
                    "5:74: upstreams.api.timeouts.request: must be longer than 0s",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { interval: 0s, timeout: 0s }"#,
                &[
                    "5:69: upstreams.api.health_check.interval: must be longer than 0s",
                    "5:82: upstreams.api.health_check.timeout: must be longer than 0s",
                ],
            ),
        ],
    );
}

#[test]
fn sizes() {
    problems_of(
        Place::Top,
        &[
            (
                "defaults: { limits: { body: 10m } }",
                &[
                    r#"10:29: defaults.limits.body: "10m" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"#,
                ],
            ),
            (
                "defaults: { limits: { body: 10MB } }",
                &[
                    r#"10:29: defaults.limits.body: "10MB" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"#,
                ],
            ),
            (
                "defaults: { limits: { body: 10 } }",
                &[
                    r#"10:29: defaults.limits.body: "10" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"#,
                ],
            ),
            (
                "defaults: { limits: { body: 1.5MiB } }",
                &[
                    r#"10:29: defaults.limits.body: "1.5MiB" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"#,
                ],
            ),
            (
                "defaults: { limits: { body: 99999999999999999999GiB } }",
                &[r#"10:29: defaults.limits.body: "99999999999999999999GiB" is larger than 1 PiB"#],
            ),
            (
                "defaults: { limits: { body: 2000000GiB } }",
                &[r#"10:29: defaults.limits.body: "2000000GiB" is larger than 1 PiB"#],
            ),
        ],
    );
}

#[test]
fn heads() {
    problems_of(
        Place::Top,
        &[(
            "defaults: { limits: { header_size: 2MiB, uri: 0B, headers: 257 } }",
            &[
                "10:36: defaults.limits.header_size: must be from 1B to 1MiB",
                "10:47: defaults.limits.uri: must be from 1B to 1MiB",
                "10:60: defaults.limits.headers: must be from 1 to 256, found the number 257",
            ],
        )],
    );
}

#[test]
fn rates() {
    problems_of(
        Place::Limit,
        &[
            (
                "rate: 100",
                &[
                    r#"11:14: rate_limits.a.rate: "100" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"#,
                ],
            ),
            (
                "rate: 100r/s",
                &[
                    r#"11:14: rate_limits.a.rate: "100r/s" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"#,
                ],
            ),
            (
                "rate: 100/d",
                &[
                    r#"11:14: rate_limits.a.rate: "100/d" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"#,
                ],
            ),
            (
                "rate: /s",
                &[
                    r#"11:14: rate_limits.a.rate: "/s" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"#,
                ],
            ),
            (
                "rate: 0/s",
                &[r#"11:14: rate_limits.a.rate: the number in "0/s" must be from 1 to 1000000000"#],
            ),
            (
                "rate: 4000000000/s",
                &[
                    r#"11:14: rate_limits.a.rate: the number in "4000000000/s" must be from 1 to 1000000000"#,
                ],
            ),
        ],
    );
}

#[test]
fn statuses() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: 6xx }"#,
                &[
                    r#"5:74: upstreams.api.health_check.expect_status: "6xx" is not a status; write 200, 200-299 or 2xx"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: 299-200 }"#,
                &[
                    r#"5:74: upstreams.api.health_check.expect_status: "299-200" ends before it begins"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: "+2xx" }"#,
                &[
                    r#"5:74: upstreams.api.health_check.expect_status: "+2xx" is not a status; write 200, 200-299 or 2xx"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: [200, 1000] }"#,
                &[
                    "5:80: upstreams.api.health_check.expect_status[1]: must be from 100 to 599, found the number 1000",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], health_check: { expect_status: [] }"#,
                &[
                    "5:59: upstreams.api.health_check.expect_status: name at least one status, or leave the key out for 2xx",
                ],
            ),
        ],
    );
}

#[test]
fn keys_of_limits() {
    problems_of(
        Place::Limit,
        &[
            (
                "rate: 5/m, key: ip",
                &[
                    r#"11:24: rate_limits.a.key: "ip" is not a key; write client_ip, host, path, uri or header:NAME"#,
                ],
            ),
            (
                "rate: 5/m, key: [client_ip, cookie]",
                &[
                    r#"11:36: rate_limits.a.key[1]: "cookie" is not a key; write client_ip, host, path, uri or header:NAME"#,
                ],
            ),
            (
                r#"rate: 5/m, key: "header:X Y""#,
                &[r#"11:24: rate_limits.a.key: "X Y" is not a header name"#],
            ),
            (
                "rate: 5/m, key: 5",
                &["11:24: rate_limits.a.key: expected text or a list, found the number 5"],
            ),
            (
                "rate: 5/m, key: []",
                &[
                    "11:19: rate_limits.a.key: name at least one part: client_ip, host, path, uri or header:NAME",
                ],
            ),
        ],
    );
}

#[test]
fn variables() {
    problems_of(
        Place::Route,
        &[
            (
                r#"match: { path: / }, upstream: "${LB_UNSET}""#,
                &[
                    "9:41: virtual_hosts[0].routes[0].upstream: the variable LB_UNSET is not set; write ${LB_UNSET:-default} to give a default",
                ],
            ),
            (
                r#"match: { path: / }, upstream: "${LB_UNSET""#,
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: "${" has no closing "}"; write "$${" for a literal "${""#,
                ],
            ),
            (
                r#"match: { path: / }, upstream: "${}""#,
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: "" is not the name of a variable; write "$${" for a literal "${""#,
                ],
            ),
            (
                r#"match: { path: / }, upstream: "${a.b}""#,
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: "a.b" is not the name of a variable; write "$${" for a literal "${""#,
                ],
            ),
            (
                r#"match: { path: / }, upstream: "${LB_UNSET:-nope}""#,
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: there is no upstream "nope"; known: api"#,
                ],
            ),
            (
                r#"match: { path: / }, upstream: "$${LB_UNSET}""#,
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: there is no upstream "${LB_UNSET}"; known: api"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_variable_that_is_not_set_is_the_only_problem() {
    problems_of(
        Place::Top,
        &[(
            r#"shutdown: { delay: "${LB_UNSET}" }"#,
            &[
                "10:20: shutdown.delay: the variable LB_UNSET is not set; write ${LB_UNSET:-default} to give a default",
            ],
        )],
    );
}
