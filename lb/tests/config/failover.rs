//! What an upstream does when its endpoints fail or are full.

use crate::support::{Place, problems_of};

#[test]
fn circuit_breakers() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], circuit_breaker: { error_rate: 101% }"#,
                &[
                    r#"5:74: upstreams.api.circuit_breaker.error_rate: the number in "101%" must be from 1 to 100"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], circuit_breaker: { error_rate: 0.5 }"#,
                &[
                    r#"5:74: upstreams.api.circuit_breaker.error_rate: "0.5" is not a share; write 1% to 100%, as in 50%"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], circuit_breaker: { window: 0s, open_for: 0s }"#,
                &[
                    "5:70: upstreams.api.circuit_breaker.window: must be longer than 0s",
                    "5:84: upstreams.api.circuit_breaker.open_for: must be longer than 0s",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], circuit_breaker: { probes: 0, min_requests: 0 }"#,
                &[
                    "5:70: upstreams.api.circuit_breaker.probes: must be from 1 to 1000, found the number 0",
                    "5:87: upstreams.api.circuit_breaker.min_requests: must be from 1 to 1000000, found the number 0",
                ],
            ),
        ],
    );
}

#[test]
fn slow_starts() {
    problems_of(
        Place::Upstream,
        &[(
            r#"endpoints: [{ address: "a:1" }], slow_start: 0s"#,
            &[
                "5:55: upstreams.api.slow_start: must be longer than 0s; leave it out for no slow start",
            ],
        )],
    );
}

#[test]
fn backups_and_bounds_of_endpoints() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1", backup: true }, { address: "b:1", backup: true }]"#,
                &[
                    "5:10: upstreams.api.endpoints: every endpoint is a backup; at least one must not be",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", backup: yes }]"#,
                &[
                    r#"5:48: upstreams.api.endpoints[0].backup: expected true or false, found the text "yes"; did you mean true?"#,
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", max_connections: 0 }]"#,
                &[
                    "5:57: upstreams.api.endpoints[0].max_connections: must be from 1 to 1000000, found the number 0",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1", max_connections: 9 }], queue: { size: 0, timeout: 0s }"#,
                &[
                    "5:78: upstreams.api.queue.size: must be from 1 to 1000000, found the number 0",
                    "5:90: upstreams.api.queue.timeout: must be longer than 0s; leave queue out, and nobody waits",
                ],
            ),
        ],
    );
}

#[test]
fn outliers() {
    problems_of(
        Place::Upstream,
        &[
            (
                r#"endpoints: [{ address: "a:1" }], outlier: { min_requests: 5 }"#,
                &["5:43: upstreams.api.outlier: give error_rate, latency_factor, or both"],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], outlier: { error_rate: 200%, latency_factor: 1 }"#,
                &[
                    r#"5:66: upstreams.api.outlier.error_rate: the number in "200%" must be from 1 to 100"#,
                    "5:88: upstreams.api.outlier.latency_factor: must be from 1.1 to 1000, found the number 1",
                ],
            ),
            (
                r#"endpoints: [{ address: "a:1" }], outlier: { error_rate: 5%, interval: 100ms, eject_for: 0s }"#,
                &[
                    "5:80: upstreams.api.outlier.interval: must be at least 1s",
                    "5:98: upstreams.api.outlier.eject_for: must be at least 1s",
                ],
            ),
        ],
    );
}
