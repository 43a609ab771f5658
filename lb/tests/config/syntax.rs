//! What is no YAML, or not one document of it.

use crate::support::{Place, problems_of};

#[test]
fn nothing() {
    problems_of(
        Place::File,
        &[
            ("", &[r#"1:1: the file is empty; a configuration starts with "version: 1""#]),
            (
                "# only a comment\n",
                &[r#"1:1: the file is empty; a configuration starts with "version: 1""#],
            ),
        ],
    );
}

#[test]
fn what_is_no_mapping() {
    problems_of(
        Place::File,
        &[
            ("lb\n", &[r#"1:1: expected a mapping, found the text "lb""#]),
            ("- version: 1\n", &["1:1: expected a mapping, found a list"]),
        ],
    );
}

#[test]
fn broken_yaml() {
    problems_of(
        Place::File,
        &[
            (
                "version: 1\nlisteners:\n\thttp: {}\n",
                &[
                    "3:2: this is not valid YAML: tabs disallowed within this context (block indentation)",
                ],
            ),
            (
                "version: 1\nlisteners: [a, b\n",
                &["2:12: this is not valid YAML: unclosed bracket '['"],
            ),
            (
                "version: 1
listeners: { a: b
status: {}
",
                &[
                    "3:7: this is not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'",
                ],
            ),
            (
                r#"version: "1
"#,
                &["1:10: this is not valid YAML: unclosed quote"],
            ),
            (
                "version: 1\n  listeners: {}\n",
                &["2:12: this is not valid YAML: mapping values are not allowed in this context"],
            ),
            (
                "version: 1\nstatus: address: 127.0.0.1:9900\n",
                &["2:16: this is not valid YAML: mapping values are not allowed in this context"],
            ),
            ("version: 1\0\n", &[r#"1:11: this is not valid YAML: unexpected character: `\u{0}'"#]),
        ],
    );
}

#[test]
fn an_unquoted_star() {
    problems_of(
        Place::Host,
        &[
            (
                "hosts: [*]",
                &[
                    r#"7:13: this is not valid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character; a text that begins with "*" or "&" needs quotes"#,
                ],
            ),
            (
                "hosts: [*.example.com]",
                &[
                    r#"7:13: this is an alias of an anchor that does not exist; a text that begins with "*" needs quotes"#,
                ],
            ),
        ],
    );
}

#[test]
fn an_alias_of_nothing() {
    problems_of(
        Place::File,
        &[
            (
                "version: *one\n",
                &[
                    r#"1:10: this is an alias of an anchor that does not exist; a text that begins with "*" needs quotes"#,
                ],
            ),
            (
                "version: 1\nupstreams: &a { b: *a }\n",
                &["2:20: an alias cannot stand inside the value that it repeats"],
            ),
        ],
    );
}

#[test]
fn two_documents() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
---
version: 1
"#,
            &[
                r#"11:1: a configuration is one YAML document; remove what follows the second "---""#,
            ],
        )],
    );
}

#[test]
fn keys_that_are_no_text() {
    problems_of(
        Place::File,
        &[
            ("version: 1\n~: 2\n", &["2:1: a key must be text"]),
            (
                "version: 1
? [a, b]
: 2
",
                &["2:3: a key must be text"],
            ),
        ],
    );
}

#[test]
fn duplicate_keys() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
            &[r#"2:1: version: "version" is given twice, first on line 1"#],
        )],
    );
}

#[test]
fn duplicate_keys_deep_down() {
    problems_of(
        Place::Upstream,
        &[(
            r#"endpoints: [{ address: "a:1", weight: 1, weight: 2 }], balance: random, balance: random"#,
            &[
                r#"5:51: upstreams.api.endpoints[0].weight: "weight" is given twice, first on line 5"#,
                r#"5:82: upstreams.api.balance: "balance" is given twice, first on line 5"#,
            ],
        )],
    );
}
