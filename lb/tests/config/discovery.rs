//! Endpoints that are found while running. No cluster and no DNS is asked here.

use crate::support::{Place, problems_of};

const SERVICE: &str = "kubernetes: { namespace: a, service: b, port: c }";

#[test]
fn a_source_is_a_service_or_a_name() {
    problems_of(
        Place::Upstream,
        &[
            (
                "endpoints_from: []",
                &[
                    "5:10: upstreams.api.endpoints_from: an upstream needs at least one endpoint, or endpoints_from",
                ],
            ),
            ("endpoints_from: {}", &["5:10: upstreams.api.endpoints_from: give kubernetes or dns"]),
            (
                "endpoints_from: { dns: a, port: 1, kubernetes: { namespace: a, service: b, port: c } }",
                &[
                    "5:10: upstreams.api.endpoints_from: give kubernetes or dns, not both; a list has several sources",
                ],
            ),
            (
                "endpoints_from: { dns: a }",
                &["5:10: upstreams.api.endpoints_from: dns needs a port, that of every address"],
            ),
            (
                "endpoints_from: [{ port: 1, kubernetes: { namespace: a, service: b, port: c } }]",
                &[
                    "5:35: upstreams.api.endpoints_from[0].port: this port goes with dns; that of a Service stands under kubernetes",
                ],
            ),
            (
                "endpoints_from: a",
                &[
                    r#"5:26: upstreams.api.endpoints_from: expected a mapping or a list, found the text "a""#,
                ],
            ),
        ],
    );
}

#[test]
fn services_are_named_in_full() {
    problems_of(
        Place::Upstream,
        &[
            (
                "endpoints_from: { kubernetes: { service: b, port: c } }",
                &[
                    r#"5:28: upstreams.api.endpoints_from.kubernetes: the key "namespace" is missing"#,
                ],
            ),
            (
                "endpoints_from: { kubernetes: { namespace: a, service: b.a, port: c } }",
                &[
                    r#"5:65: upstreams.api.endpoints_from.kubernetes.service: "b.a" is not a name of Kubernetes; it has 1 to 63 lower-case letters, digits and hyphens"#,
                ],
            ),
            (
                "endpoints_from: { kubernetes: { namespace: a, service: b, port: 0 } }",
                &[
                    "5:74: upstreams.api.endpoints_from.kubernetes.port: must be from 1 to 65535, found the number 0",
                ],
            ),
            (
                r#"endpoints_from: { kubernetes: { namespace: a, service: b, port: "65536" } }"#,
                &[
                    "5:74: upstreams.api.endpoints_from.kubernetes.port: a port is a name, or a number from 1 to 65535",
                ],
            ),
            (
                "endpoints_from: { kubernetes: { namespace: a, service: b, port: HTTP } }",
                &[
                    r#"5:74: upstreams.api.endpoints_from.kubernetes.port: "HTTP" is not a name of Kubernetes; it has 1 to 63 lower-case letters, digits and hyphens"#,
                ],
            ),
        ],
    );
}

#[test]
fn names_are_no_addresses() {
    problems_of(
        Place::Upstream,
        &[(
            "endpoints_from: { dns: 10.0.0.1, port: 80 }",
            &[
                r#"5:33: upstreams.api.endpoints_from.dns: "10.0.0.1" is not a name to look up; write one such as backend-headless, without a port"#,
            ],
        )],
    );
}

/// A variable is always text.
#[test]
fn a_number_in_quotes_is_one() {
    let with =
        |port: &str| format!("{{ kubernetes: {{ namespace: a, service: b, port: {port} }} }}");
    problems_of(
        Place::Upstream,
        &[(
            &format!("endpoints_from: [{}, {}]", with("8000"), with("\"8000\"")),
            &[
                "5:87: upstreams.api.endpoints_from[1].kubernetes: a/b:8000 is already a source of this upstream",
            ],
        )],
    );
}

#[test]
fn each_source_once() {
    problems_of(
        Place::Upstream,
        &[
            (
                &format!("endpoints_from: [{{ {SERVICE} }}, {{ {SERVICE}, weight: 2 }}]"),
                &[
                    "5:84: upstreams.api.endpoints_from[1].kubernetes: a/b:c is already a source of this upstream",
                ],
            ),
            (
                r#"endpoints: [{ address: "A:1" }], endpoints_from: { dns: a, port: 1 }"#,
                &[
                    "5:66: upstreams.api.endpoints_from.dns: a:1 is already an endpoint of this upstream",
                ],
            ),
        ],
    );
}

#[test]
fn not_everybody_is_a_backup() {
    problems_of(
        Place::Upstream,
        &[
            (
                &format!("endpoints_from: {{ {SERVICE}, backup: true }}"),
                &[
                    "5:10: upstreams.api.endpoints_from: every endpoint is a backup; at least one must not be",
                ],
            ),
            (
                &format!(
                    r#"endpoints: [{{ address: "a:1", backup: true }}], endpoints_from: [{{ {SERVICE}, backup: true }}]"#
                ),
                &[
                    "5:10: upstreams.api.endpoints: every endpoint is a backup; at least one must not be",
                ],
            ),
        ],
    );
}

#[test]
fn the_cluster() {
    problems_of(
        Place::Top,
        &[
            (
                r#"kubernetes: { kubeconfig: "" }"#,
                &[
                    "10:27: kubernetes.kubeconfig: the name of the file is empty; leave the key out for the service account",
                ],
            ),
            (
                "kubernetes: { timeout: 0s }",
                &["10:24: kubernetes.timeout: must be longer than 0s and at most 1m"],
            ),
            (
                "kubernetes: { timeout: 2m }",
                &["10:24: kubernetes.timeout: must be longer than 0s and at most 1m"],
            ),
        ],
    );
}
