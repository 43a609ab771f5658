//! The decision: matching rules, precedence, redirects, charges. Compiled from
//! YAML, as operators write it, and asked without any I/O.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use http::HeaderMap;
use lb::compile::compile_text;
use lb::policy::{Action, Client, ListenerId, RequestHead, Verdict, decide};
use lb::request::normalise_path;
use lb::response::Cause;
use lb::snapshot::Registry;
use lb::snapshot::Snapshot;

fn snapshot(routes: &str) -> Snapshot {
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "127.0.0.1:1" }}] }} }}
rate_limits: {{ one: {{ rate: 1/s }}, two: {{ rate: 1/s }} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
{routes}
"#
    );
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, &Registry::default());
    assert!(!compiled.has_errors(), "{:#?}", compiled.problems);
    compiled.snapshot.unwrap()
}

struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    headers: HeaderMap,
    tls: bool,
}

fn get(target: &str) -> Ask<'_> {
    Ask { method: "GET", target, headers: HeaderMap::new(), tls: false }
}

impl Ask<'_> {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    fn verdict(&self, snapshot: &Snapshot) -> Verdict {
        self.with(snapshot, |head, client| decide(&snapshot.table, head, client))
    }

    fn with<T>(
        &self,
        _: &Snapshot,
        ask: impl FnOnce(&RequestHead<'_, HeaderMap>, &Client) -> T,
    ) -> T {
        let path = normalise_path(self.target.split('?').next().unwrap()).unwrap();
        let head = RequestHead {
            method: self.method,
            host: Some("host.test"),
            port: Some(8080),
            path: &path.path,
            alternative_path: path.alternative.as_deref(),
            target: self.target,
            headers: &self.headers,
        };
        let client = Client {
            address: "192.0.2.1".parse().unwrap(),
            listener: ListenerId(0),
            tls: self.tls,
        };
        ask(&head, &client)
    }

    /// The name of the route that takes it, or the cause of the refusal.
    fn route(&self, snapshot: &Snapshot) -> String {
        let verdict = self.verdict(snapshot);
        match (verdict.route, verdict.action) {
            (Some(route), _) => snapshot.table.route(route).name.to_string(),
            (None, Action::Reject(cause)) => cause.name().to_owned(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn exact_then_regex_in_order_then_longest_prefix_whatever_the_order_in_the_file() {
    let snapshot = snapshot(
        r#"
      - { name: root, match: { path_prefix: / }, upstream: api }
      - { name: short, match: { path_prefix: /api }, upstream: api }
      - { name: long, match: { path_prefix: /api/v1/ }, upstream: api }
      - { name: first, match: { path_regex: "/api/.*/[0-9]+" }, upstream: api }
      - { name: second, match: { path_regex: "/api/v1/[0-9]+" }, upstream: api }
      - { name: exact, match: { path: /api/v1/7 }, upstream: api }
"#,
    );
    for (target, route) in [
        ("/", "root"),
        ("/other", "root"),
        ("/apix", "root"),
        ("/api", "short"),
        ("/api/", "short"),
        ("/api/x", "short"),
        ("/api/v1", "long"),
        ("/api/v1/", "long"),
        ("/api/v1/x", "long"),
        ("/api/v1x", "short"),
        ("/api/v1/8", "first"),
        ("/api/v1/7", "exact"),
        ("/api/v1/7/", "long"),
        ("/api/8", "short"),
    ] {
        assert_eq!(get(target).route(&snapshot), route, "{target}");
    }
}

#[test]
fn among_equals_method_then_headers_then_query_then_first_written() {
    let snapshot = snapshot(
        r#"
      - { name: plain, match: { path_prefix: /a }, upstream: api }
      - { name: query, match: { path_prefix: /a, query: { v: "1" } }, upstream: api }
      - { name: header, match: { path_prefix: /a, headers: { X-A: "1" } }, upstream: api }
      - { name: first of two, match: { path_prefix: /a, headers: { X-B: "1" } }, upstream: api }
      - { name: two headers, match: { path_prefix: /a, headers: { X-A: "1", X-B: "1" } }, upstream: api }
      - { name: method, match: { path_prefix: /a, methods: [GET, PUT] }, upstream: api }
      - { name: method and header, match: { path_prefix: /a, methods: [GET], headers: { X-A: "1" } }, upstream: api }
"#,
    );
    let post = |target| Ask { method: "POST", ..get(target) };
    assert_eq!(post("/a").route(&snapshot), "plain");
    assert_eq!(post("/a?x=2&v=1").route(&snapshot), "query");
    assert_eq!(post("/a?v=2&v=1").route(&snapshot), "plain", "the first value counts");
    assert_eq!(post("/a?v=%31").route(&snapshot), "query", "values are decoded");
    assert_eq!(post("/a?v=1").header("x-a", "1").route(&snapshot), "header");
    assert_eq!(post("/a").header("x-a", "2").route(&snapshot), "plain");
    assert_eq!(post("/a").header("x-a", "1").header("x-b", "1").route(&snapshot), "two headers");
    assert_eq!(get("/a").route(&snapshot), "method");
    assert_eq!(Ask { method: "PUT", ..get("/a") }.route(&snapshot), "method");
    assert_eq!(get("/a").header("x-a", "1").route(&snapshot), "method and header");
    assert_eq!(
        Ask { method: "get", ..get("/a") }.route(&snapshot),
        "plain",
        "methods are case-sensitive"
    );
}

#[test]
fn when_other_conditions_fail_the_next_most_specific_path_is_tried() {
    let snapshot = snapshot(
        r#"
      - { name: root, match: { path_prefix: / }, upstream: api }
      - { name: prefix, match: { path_prefix: /a }, upstream: api }
      - { name: deep, match: { path_prefix: /a/b, methods: [PUT] }, upstream: api }
      - { name: regex, match: { path_regex: "/a/b/.*", headers: { X-A: "1" } }, upstream: api }
      - { name: later, match: { path_regex: "/a/b/c+", headers: { X-B: "1" } }, upstream: api }
      - { name: exact, match: { path: /a/b/c, methods: [DELETE] }, upstream: api }
"#,
    );
    assert_eq!(Ask { method: "DELETE", ..get("/a/b/c") }.route(&snapshot), "exact");
    assert_eq!(get("/a/b/c").header("x-a", "1").route(&snapshot), "regex");
    assert_eq!(get("/a/b/c").header("x-b", "1").route(&snapshot), "later");
    assert_eq!(Ask { method: "PUT", ..get("/a/b/c") }.route(&snapshot), "deep");
    assert_eq!(get("/a/b/c").route(&snapshot), "prefix");
    assert_eq!(get("/b").route(&snapshot), "root");
}

#[test]
fn regexes_match_the_whole_path() {
    let snapshot = snapshot(
        r#"
      - { name: php, match: { path_regex: ".*[.]php" }, upstream: api }
      - { name: users, match: { path_regex: "/users/[0-9]+|/people/[0-9]+" }, upstream: api }
"#,
    );
    assert_eq!(get("/a/b.php").route(&snapshot), "php");
    assert_eq!(get("/a/b.php/x").route(&snapshot), "no_route");
    assert_eq!(get("/people/7").route(&snapshot), "users");
    assert_eq!(get("/people/7x").route(&snapshot), "no_route");
    assert_eq!(get("/x/users/7").route(&snapshot), "no_route");
}

#[test]
fn many_groups_of_conditions_on_one_path_are_all_found() {
    // Each route asks for a header of its own name, and one for a parameter.
    let mut routes = String::new();
    for index in 0..500 {
        routes.push_str(&format!(
            "      - {{ name: h{index}, match: {{ path_prefix: /a, headers: {{ X-{index}: v }} }}, upstream: api }}\n"
        ));
        routes.push_str(&format!(
            "      - {{ name: q{index}, match: {{ path_prefix: /a, query: {{ p{index}: v }} }}, upstream: api }}\n"
        ));
    }
    let snapshot = snapshot(&routes);
    assert_eq!(
        get("/a").header("x-77", "v").header("x-499", "v").route(&snapshot),
        "h77",
        "first written"
    );
    assert_eq!(get("/a?p400=v&p3=v").route(&snapshot), "q3");
    assert_eq!(get("/a?p400=x").route(&snapshot), "no_route");
}

#[test]
fn redirects_keep_what_they_do_not_replace() {
    let snapshot = snapshot(
        r#"
      - { match: { path_prefix: /tls }, redirect: { scheme: https, status: 301 } }
      - { match: { path_prefix: /port }, redirect: { scheme: https, port: 8443 } }
      - { match: { path_prefix: /host }, redirect: { host: other.test, status: 308 } }
      - { match: { path_prefix: /path }, redirect: { path: /new, status: 307 } }
"#,
    );
    for (target, status, location) in [
        ("/tls/a%20b?c=d&e", 301, "https://host.test/tls/a%20b?c=d&e"),
        ("/port?x", 302, "https://host.test:8443/port?x"),
        ("/host/", 308, "http://other.test/host/"),
        ("/path/old?q=1", 307, "http://host.test:8080/new?q=1"),
    ] {
        match get(target).verdict(&snapshot).action {
            Action::Redirect { status: found, location: to } => {
                assert_eq!((found.as_u16(), to.as_str()), (status, location));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn both_readings_of_a_path_are_charged_and_no_bucket_twice() {
    let snapshot = snapshot(
        r#"
      - { name: open, match: { path_prefix: /open }, upstream: api, rate_limits: [two] }
      - { name: login, match: { path_prefix: /login }, upstream: api, rate_limits: [one, two] }
"#,
    );
    let charged = |target: &str| {
        let ask = get(target);
        let verdict = ask.verdict(&snapshot);
        ask.with(&snapshot, |head, client| {
            verdict
                .charges(&snapshot.table, head, client)
                .map(|(charge, _)| snapshot.limits[charge.limit.index()].name.to_string())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(charged("/open"), ["two"]);
    assert_eq!(charged("/open/..%2Flogin"), ["two", "one"]);
    assert_eq!(charged("/login"), ["one", "two"]);
    assert_eq!(charged("/none/..%2Flogin"), ["one", "two"], "even where no route takes it");
}

#[test]
fn hosts_never_fall_back_to_another_virtual_host() {
    let yaml = r#"
version: 1
listeners: { http: { bind: ["127.0.0.1:80"] } }
upstreams: { api: { endpoints: [{ address: "127.0.0.1:1" }] } }
virtual_hosts:
  - { hosts: [host.test], routes: [{ match: { path: /only }, upstream: api }] }
  - { hosts: ["*"], routes: [{ match: { path_prefix: / }, upstream: api }] }
"#;
    let compiled = compile_text(yaml, Path::new("."), &|_| None, &Registry::default());
    let snapshot = compiled.snapshot.unwrap();
    assert_eq!(get("/else").verdict(&snapshot).action, Action::Reject(Cause::NoRoute));
}
