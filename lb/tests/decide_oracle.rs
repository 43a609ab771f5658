//! The indexed decision against the rules read out loud: for any routes and any
//! request, the index finds what a walk over all routes would.

#![allow(missing_docs, clippy::unwrap_used)]

use std::cmp::Reverse;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lb::policy::{
    Client, Conditions, HostSpec, KeySeed, ListenerId, PathMatch, Redirect, RequestHead, Route,
    RouteAction, TableBuilder, decide,
};
use lb::response::HeaderEdits;
use proptest::prelude::*;
use proptest::sample::select;

/// Whether a path matches.
type Meaning = fn(&str) -> bool;

/// Expressions and what they mean, so that no second engine is needed.
const EXPRESSIONS: &[(&str, Meaning)] = &[
    ("/a/.*", |path| path.starts_with("/a/")),
    ("/[ab]", |path| path == "/a" || path == "/b"),
    (".*b", |path| path.ends_with('b')),
    ("/a(/b)+", |path| {
        path.strip_prefix("/a")
            .is_some_and(|rest| !rest.is_empty() && rest.replace("/b", "").is_empty())
    }),
];

#[derive(Debug, Clone)]
enum Matching {
    Exact(&'static str),
    Expression(usize),
    Prefix(&'static str),
}

#[derive(Debug, Clone)]
struct Written {
    matching: Matching,
    methods: Vec<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

impl Written {
    fn conditions_hold(&self, request: &Asked) -> bool {
        (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.headers.iter().all(|wanted| request.headers.contains(wanted))
            && self.query.iter().all(|(name, value)| {
                request
                    .query
                    .iter()
                    .find(|(given, _)| given == name)
                    .is_some_and(|(_, given)| given == value)
            })
    }

    /// How specific the path is, if it matches: exact, then expressions in the
    /// order in which they were first written, then the longest prefix.
    fn path_rank(&self, routes: &[Self], path: &str) -> Option<(u8, Reverse<usize>, usize)> {
        match self.matching {
            Matching::Exact(exact) => (path == exact).then_some((2, Reverse(0), 0)),
            Matching::Expression(which) => {
                let same = |route: &Self| matches!(route.matching, Matching::Expression(other) if other == which);
                let first = routes.iter().position(same).unwrap();
                (EXPRESSIONS[which].1)(path).then_some((1, Reverse(first), 0))
            }
            Matching::Prefix(prefix) => {
                let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
                let below = path.strip_prefix(trimmed)?;
                (below.is_empty() || below.starts_with('/')).then_some((
                    0,
                    Reverse(0),
                    trimmed.len(),
                ))
            }
        }
    }

    fn condition_rank(&self) -> (bool, usize, usize) {
        (!self.methods.is_empty(), self.headers.len(), self.query.len())
    }
}

#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

fn expected(routes: &[Written], request: &Asked) -> Option<usize> {
    routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.conditions_hold(request))
        .filter_map(|(index, route)| {
            let path = route.path_rank(routes, request.path)?;
            Some((path, route.condition_rank(), Reverse(index)))
        })
        .max()
        .map(|(_, _, Reverse(index))| index)
}

fn found(routes: &[Written], request: &Asked) -> Option<usize> {
    let mut builder = TableBuilder::new(1, KeySeed(1, 2));
    let host =
        builder.host(HostSpec { name: "h".into(), response_headers: HeaderEdits::default() });
    builder.name(host, ListenerId(0), &"*".parse().unwrap()).unwrap();
    for route in routes {
        let path = match route.matching {
            Matching::Exact(path) => PathMatch::Exact(path.into()),
            Matching::Expression(which) => PathMatch::Regex(EXPRESSIONS[which].0.into()),
            Matching::Prefix(prefix) => PathMatch::Prefix(prefix.into()),
        };
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.as_bytes().to_vec())
        };
        let conditions = Conditions {
            methods: route.methods.iter().map(ToString::to_string).collect(),
            headers: route.headers.iter().map(header).collect(),
            query: route
                .query
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        };
        let action = RouteAction::Redirect(Redirect {
            https: None,
            host: Some("x".into()),
            port: None,
            path: None,
            status: StatusCode::FOUND,
        });
        let route = Route {
            name: "r".into(),
            host,
            conditions,
            action,
            charges: Vec::new(),
            concurrency: None,
            access_log: true,
            response_headers: HeaderEdits::default(),
        };
        builder.route(&path, route);
    }
    builder.finish(host).unwrap();
    let table = builder.build();

    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let query: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let target = format!("{}?{}", request.path, query.join("&"));
    let head = RequestHead {
        method: request.method,
        host: Some("h"),
        port: None,
        path: request.path,
        alternative_path: None,
        target: &target,
        headers: &headers,
    };
    let client = Client { address: [192, 0, 2, 1].into(), listener: ListenerId(0), tls: false };
    decide(&table, &head, &client).route.map(|route| route.index())
}

const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/b", "/b", "/ab", "/a/", "/a/c/b"];

const METHODS: &[&[&str]] = &[&[], &["GET"], &["GET", "PUT"]];

fn pairs(
    names: &'static [&'static str],
) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    // One value a name, names in order: as compilation hands them over.
    names
        .iter()
        .map(|name| (Just(*name), select(&["1", "2", ""][..])))
        .collect::<Vec<_>>()
        .prop_flat_map(|all| proptest::sample::subsequence(all.clone(), 0..=all.len()))
}

fn written() -> impl Strategy<Value = Written> {
    let matching = prop_oneof![
        select(PATHS).prop_map(Matching::Exact),
        (0..EXPRESSIONS.len()).prop_map(Matching::Expression),
        select(PATHS).prop_map(Matching::Prefix),
    ];
    let methods = select(METHODS).prop_map(<[_]>::to_vec);
    (matching, methods, pairs(&["x-a", "x-b"]), pairs(&["p", "q"])).prop_map(
        |(matching, methods, headers, query)| Written { matching, methods, headers, query },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    (select(&["GET", "PUT", "POST"][..]), select(PATHS), pairs(&["x-a", "x-b"]), pairs(&["p", "q"]))
        .prop_map(|(method, path, headers, query)| Asked { method, path, headers, query })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_index_finds_what_the_rules_say(
        routes in proptest::collection::vec(written(), 0..12),
        requests in proptest::collection::vec(asked(), 1..8),
    ) {
        for request in &requests {
            prop_assert_eq!(found(&routes, request), expected(&routes, request), "{:?}", request);
        }
    }
}
