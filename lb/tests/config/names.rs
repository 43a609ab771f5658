//! Names that refer to something, and names that are given twice.

use crate::support::{Place, problems_of};

#[test]
fn upstreams_that_do_not_exist() {
    problems_of(
        Place::Route,
        &[
            (
                "match: { path: / }, upstream: apj",
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: there is no upstream "apj"; did you mean "api"?"#,
                ],
            ),
            (
                "match: { path: / }, upstream: frontend",
                &[
                    r#"9:41: virtual_hosts[0].routes[0].upstream: there is no upstream "frontend"; known: api"#,
                ],
            ),
        ],
    );
}

#[test]
fn upstreams_without_any() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
            &[
                r#"7:48: virtual_hosts[0].routes[0].upstream: there is no upstream "api"; there is none under upstreams"#,
            ],
        )],
    );
}

#[test]
fn listeners_that_do_not_exist() {
    problems_of(
        Place::Host,
        &[
            (
                "hosts: [a]\n    listeners: [htpp]",
                &[
                    r#"8:17: virtual_hosts[0].listeners[0]: there is no listener "htpp"; did you mean "http"?"#,
                ],
            ),
            (
                "hosts: [a]\n    listeners: []",
                &[
                    "8:5: virtual_hosts[0].listeners: name at least one listener, or leave the key out for all",
                ],
            ),
        ],
    );
}

#[test]
fn limits_that_do_not_exist() {
    problems_of(
        Place::Route,
        &[(
            "match: { path: / }, upstream: api, rate_limits: [login]",
            &[
                r#"9:60: virtual_hosts[0].routes[0].rate_limits[0]: there is no rate limit "login"; there is none under rate_limits"#,
            ],
        )],
    );
}

#[test]
fn hosts_given_twice() {
    problems_of(
        Place::Host,
        &[
            (
                "hosts: [example.com, Example.com.]",
                &[
                    r#"7:26: virtual_hosts[0].hosts[1]: "example.com" is given twice in this virtual host"#,
                ],
            ),
            (
                "hosts: []",
                &[
                    r#"7:5: virtual_hosts[0].hosts: a virtual host needs at least one name; "*" takes all others"#,
                ],
            ),
        ],
    );
}

#[test]
fn hosts_of_two_virtual_hosts() {
    problems_of(
        Place::Top,
        &[(
            r#"  - hosts: [a.example, "*"]
    routes: []"#,
            &[
                r#"10:24: virtual_hosts[1].hosts[1]: "*" is already served on listener "http", by the virtual host on line 7"#,
                "11:5: virtual_hosts[1].routes: warning: this virtual host has no routes; every request gets 404",
            ],
        )],
    );
}

#[test]
fn a_broken_thing_is_not_missing_too() {
    problems_of(
        Place::File,
        &[
            (
                r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "nonsense" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &[
                    r#"5:33: upstreams.api.endpoints[0].address: "nonsense" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                ],
            ),
            (
                r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: 5
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &["5:8: upstreams.api: expected a mapping, found the number 5"],
            ),
            (
                r#"version: 1
listeners:
  http: { bind: ["nonsense"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    listeners: [http]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &[
                    r#"3:18: listeners.http.bind[0]: "nonsense" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                ],
            ),
            (
                r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api, rate_limits: [a] }
rate_limits: { a: { rate: often } }
"#,
                &[
                    r#"10:27: rate_limits.a.rate: "often" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"#,
                ],
            ),
            (
                r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["_"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#,
                &[r#"7:13: virtual_hosts[0].hosts[0]: "_" is no host name; did you mean "*"?"#],
            ),
        ],
    );
}

#[test]
fn everything_at_once_in_the_order_of_the_file() {
    problems_of(
        Place::File,
        &[(
            r#"version: 2
workers: 0
lisenters: {}
listeners:
  http:
    bind: ["127.0.0.1:80", "localhost:81"]
  https:
    bind: ["127.0.0.1:80"]
    tls: { certificates: [{ cert: none.pem, key: a.key }], min_version: 1.3 }
upstreams:
  api:
    balance: least_conn
    endpoints: [{ address: "backend-1", weight: 1 }, { address: "backend-2:8000", weight: 0 }]
  web:
    endpoints: [{ address: "web:3000" }]
    health_check: { type: tcp, path: / }
virtual_hosts:
  - hosts: ["_"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
      - { match: { path: a }, upstream: wbe, timeouts: { read: 5 } }
  - hosts: [example.com]
    listeners: [https, htp]
    routes:
      - { match: { path_prefix: / }, upstream: web, rate_limits: [login] }
      - { match: { path_prefix: / }, redirect: { status: 200, scheme: https } }
"#,
            &[
                "1:10: version: version 2 is not known; this program reads version 1",
                "2:10: workers: must be from 1 to 1024, found the number 0",
                r#"3:1: lisenters: unknown key "lisenters"; did you mean "listeners"?"#,
                r#"6:28: listeners.http.bind[1]: "localhost:81" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"#,
                r#"8:12: listeners.https.bind[0]: 127.0.0.1:80 is already bound by listener "http""#,
                "9:35: listeners.https.tls.certificates[0].cert: none.pem cannot be read: No such file or directory (os error 2)",
                r#"9:73: listeners.https.tls.min_version: "1.3" needs quotes, or it is a number"#,
                r#"12:14: upstreams.api.balance: "least_conn" is not one of "least_connections", "round_robin", "random", "ip_hash", "consistent_hash"; did you mean "least_connections"?"#,
                r#"13:28: upstreams.api.endpoints[0].address: "backend-1" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                "13:91: upstreams.api.endpoints[1].weight: must be from 1 to 1000, found the number 0",
                "16:38: upstreams.web.health_check.path: path only goes with type: http",
                r#"18:13: virtual_hosts[0].hosts[0]: "_" is no host name; did you mean "*"?"#,
                r#"21:26: virtual_hosts[0].routes[1].match.path: "a" can never match: a path starts with "/""#,
                r#"21:41: virtual_hosts[0].routes[1].upstream: there is no upstream "wbe"; did you mean "web"?"#,
                r#"21:64: virtual_hosts[0].routes[1].timeouts.read: "5" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"#,
                r#"23:24: virtual_hosts[1].listeners[1]: there is no listener "htp"; did you mean "http"?"#,
                r#"25:67: virtual_hosts[1].routes[0].rate_limits[0]: there is no rate limit "login"; there is none under rate_limits"#,
                "26:58: virtual_hosts[1].routes[1].redirect.status: 200 is not a redirect; write 301, 302, 303, 307 or 308",
            ],
        )],
    );
}

#[test]
fn names_of_broken_sections_are_still_pointed_at() {
    problems_of(
        Place::File,
        &[(
            r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "10.0.0.1" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: apii }
"#,
            &[
                r#"5:33: upstreams.api.endpoints[0].address: "10.0.0.1" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"#,
                r#"9:48: virtual_hosts[0].routes[0].upstream: there is no upstream "apii"; did you mean "api"?"#,
            ],
        )],
    );
}
