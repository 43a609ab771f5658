//! Listeners: addresses, certificates, protocols.

use crate::support::{Place, problems_of};

#[test]
fn no_listeners() {
    problems_of(
        Place::File,
        &[
            (
                "version: 1
listeners: {}
virtual_hosts: []
",
                &[
                    r#"2:1: listeners: there are no listeners; add one under "listeners""#,
                    "3:1: virtual_hosts: warning: there are no virtual hosts; every request gets an error",
                ],
            ),
            (
                "version: 1\n",
                &[
                    r#"1:1: there are no listeners; add one under "listeners""#,
                    "1:1: warning: there are no virtual hosts; every request gets an error",
                ],
            ),
        ],
    );
}

#[test]
fn addresses() {
    problems_of(
        Place::Listener,
        &[
            ("bind: []", &["3:11: listeners.http.bind: a listener needs at least one address"]),
            (
                "bind: 127.0.0.1:80",
                &[
                    r#"3:17: listeners.http.bind: expected a list, found the text "127.0.0.1:80"; write ["127.0.0.1:80"]"#,
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80", "127.0.0.1:80"]"#,
                &[
                    r#"3:34: listeners.http.bind[1]: 127.0.0.1:80 is already bound by listener "http""#,
                ],
            ),
            (
                r#"bind: ["127.0.0.1:9900"]"#,
                &[
                    "3:18: listeners.http.bind[0]: 127.0.0.1:9900 leaves no port for the status server at 127.0.0.1:9900",
                ],
            ),
            (
                r#"bind: ["0.0.0.0:9900"]"#,
                &[
                    "3:18: listeners.http.bind[0]: 0.0.0.0:9900 leaves no port for the status server at 127.0.0.1:9900",
                ],
            ),
        ],
    );
}

#[test]
fn two_listeners_on_one_address() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
  web: { bind: ["127.0.0.1:8080"] }
  sock: { bind: ["unix:/run/lb.sock", "unix:/run/lb.sock"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
            &[
                r#"4:17: listeners.web.bind[0]: 127.0.0.1:8080 is already bound by listener "http""#,
                r#"5:39: listeners.sock.bind[1]: unix:/run/lb.sock is already bound by listener "sock""#,
            ],
        )],
    );
}

#[test]
fn certificates() {
    problems_of(
        Place::Tls,
        &[
            (
                "certificates: []",
                &[
                    "3:44: listeners.http.tls.certificates: a TLS listener needs at least one certificate",
                ],
            ),
            (
                "certificates: [{ cert: none.pem, key: none.key }]",
                &[
                    "3:67: listeners.http.tls.certificates[0].cert: none.pem cannot be read: No such file or directory (os error 2)",
                    "3:82: listeners.http.tls.certificates[0].key: none.key cannot be read: No such file or directory (os error 2)",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: none.key }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: none.key cannot be read: No such file or directory (os error 2)",
                ],
            ),
            (
                "certificates: [{ cert: text.pem, key: a.key }]",
                &[
                    "3:67: listeners.http.tls.certificates[0].cert: text.pem holds no certificate in PEM form",
                ],
            ),
            (
                "certificates: [{ cert: a.key, key: a.key }]",
                &[
                    "3:67: listeners.http.tls.certificates[0].cert: a.key holds no certificate in PEM form",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: text.pem }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: text.pem holds no private key in PEM form",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: a.pem }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: a.pem holds no private key in PEM form",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: b.key }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: the key in b.key does not belong to the certificate in a.pem",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: encrypted.key }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: encrypted.key is encrypted; give key_password_file, or decrypt it with openssl pkey",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: b.key }, { cert: none.pem, key: a.key }]",
                &[
                    "3:79: listeners.http.tls.certificates[0].key: the key in b.key does not belong to the certificate in a.pem",
                    "3:96: listeners.http.tls.certificates[1].cert: none.pem cannot be read: No such file or directory (os error 2)",
                ],
            ),
        ],
    );
}

#[test]
fn protocols() {
    problems_of(
        Place::Tls,
        &[
            (
                "certificates: [{ cert: a.pem, key: a.key }], alpn: []",
                &[
                    "3:89: listeners.http.tls.alpn: a TLS listener needs at least one protocol: h2, http/1.1",
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: a.key }], alpn: [h3]",
                &[
                    r#"3:96: listeners.http.tls.alpn[0]: "h3" is not one of "h2", "http/1.1"; did you mean "h2"?"#,
                ],
            ),
            (
                "certificates: [{ cert: a.pem, key: a.key }], alpn: h2",
                &[
                    r#"3:95: listeners.http.tls.alpn: expected a list, found the text "h2"; write ["h2"]"#,
                ],
            ),
        ],
    );
}

#[test]
fn header_edits() {
    problems_of(
        Place::Listener,
        &[
            (
                r#"bind: ["127.0.0.1:80"], response_headers: { set: { Connection: close, Content-Length: "0" }, add: { transfer-encoding: chunked }, remove: [Upgrade] }"#,
                &[
                    r#"3:74: listeners.http.response_headers.set.Connection: "connection" belongs to the connection, not to the message; it cannot be edited"#,
                    r#"3:97: listeners.http.response_headers.set.Content-Length: "content-length" belongs to the connection, not to the message; it cannot be edited"#,
                    r#"3:130: listeners.http.response_headers.add.transfer-encoding: "transfer-encoding" belongs to the connection, not to the message; it cannot be edited"#,
                    r#"3:150: listeners.http.response_headers.remove[0]: "upgrade" belongs to the connection, not to the message; it cannot be edited"#,
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], response_headers: { set: { "X Y": a }, remove: [""] }"#,
                &[
                    r#"3:69: listeners.http.response_headers.set."X Y": "X Y" is not a header name"#,
                    r#"3:83: listeners.http.response_headers.remove[0]: "" is not a header name"#,
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], response_headers: { set: { X-A: "a\r\nX-B: b" } }"#,
                &[
                    "3:67: listeners.http.response_headers.set.X-A: a header value has no line breaks or control characters",
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], response_headers: { set: { X-A: a, x-a: b } }"#,
                &[
                    r#"3:75: listeners.http.response_headers.set.x-a: the header "x-a" is given twice; names are case-insensitive"#,
                ],
            ),
        ],
    );
}
