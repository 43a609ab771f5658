//! The conditions of a route beside its path, and the index over the routes
//! that share one path.
//!
//! The index keeps a decision's cost independent of the number of routes:
//! routes with the same shape (which header names, which query names, a method
//! or not) form a group whose values are hashed, and groups are found through
//! the names that the request actually carries.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use http::HeaderName;

use super::head::{HeaderFields, RequestHead};
use super::table::{Route, RouteId};

/// What must hold beside the path. Lists are sorted by name and free of
/// duplicates; header values compare as bytes, query values after decoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// One of these; empty for every method.
    pub methods: Vec<String>,
    /// The first value of each field must be this.
    pub headers: Vec<(HeaderName, Vec<u8>)>,
    /// The first value of each parameter must be this.
    pub query: Vec<(String, String)>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.query.is_empty()
    }

    /// Whether a request that meets `other` always meets these as well.
    pub fn covers(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other.methods.iter().all(|method| self.methods.contains(method)));
        methods
            && self.headers.iter().all(|header| other.headers.contains(header))
            && self.query.iter().all(|parameter| other.query.contains(parameter))
    }

    /// More specific conditions rank higher: method, then headers, then query.
    pub(super) fn rank(&self) -> (bool, usize, usize) {
        (!self.methods.is_empty(), self.headers.len(), self.query.len())
    }

    fn hold<H: HeaderFields + ?Sized>(&self, head: &RequestHead<'_, H>) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|method| method == head.method))
            && self.headers.iter().all(|(name, value)| head.headers.first(name) == Some(value))
            && self.query.iter().all(|(name, value)| {
                query_value(head.query(), name).is_some_and(|found| found == value.as_str())
            })
    }
}

/// The routes that share one path.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    groups: Vec<Group>,
    /// Groups without header and query conditions.
    unnamed: Vec<usize>,
    /// Groups by their first header name.
    by_header: HashMap<HeaderName, Vec<usize>, RandomState>,
    /// Groups without header conditions, by their first query name.
    by_query: HashMap<String, Vec<usize>, RandomState>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Group {
    by_method: bool,
    headers: Vec<HeaderName>,
    query: Vec<String>,
    /// Routes by the hash of their values, each list in written order.
    routes: HashMap<u64, Vec<RouteId>, RandomState>,
}

type Rank = ((bool, usize, usize), Reverse<RouteId>);

impl Candidates {
    /// Adds a route. Routes are added in written order.
    pub(super) fn insert(&mut self, id: RouteId, conditions: &Conditions) {
        let headers: Vec<HeaderName> =
            conditions.headers.iter().map(|(name, _)| name.clone()).collect();
        let query: Vec<String> = conditions.query.iter().map(|(name, _)| name.clone()).collect();
        let by_method = !conditions.methods.is_empty();
        let group = self.group(by_method, headers, query);
        let mut insert = |method: Option<&str>| {
            let hash = hash_values(
                &self.hasher,
                method,
                conditions.headers.iter().map(|(_, value)| value.as_slice()),
                conditions.query.iter().map(|(_, value)| value.as_bytes()),
            );
            self.groups[group].routes.entry(hash).or_default().push(id);
        };
        if by_method {
            conditions.methods.iter().for_each(|method| insert(Some(method)));
        } else {
            insert(None);
        }
    }

    fn group(&mut self, by_method: bool, headers: Vec<HeaderName>, query: Vec<String>) -> usize {
        let listed = match (headers.first(), query.first()) {
            (Some(name), _) => self.by_header.entry(name.clone()).or_default(),
            (None, Some(name)) => self.by_query.entry(name.clone()).or_default(),
            (None, None) => &mut self.unnamed,
        };
        let same = |group: &Group| {
            group.by_method == by_method && group.headers == headers && group.query == query
        };
        if let Some(found) = listed.iter().find(|index| same(&self.groups[**index])) {
            return *found;
        }
        let index = self.groups.len();
        listed.push(index);
        self.groups.push(Group { by_method, headers, query, routes: HashMap::default() });
        index
    }

    /// The most specific route whose conditions hold.
    pub(super) fn best<H: HeaderFields + ?Sized>(
        &self,
        routes: &[Route],
        head: &RequestHead<'_, H>,
    ) -> Option<RouteId> {
        let mut best: Option<Rank> = None;
        let mut consider = |index: &usize| {
            if let Some(id) = self.groups[*index].find(&self.hasher, routes, head) {
                let rank = (routes[id.index()].conditions.rank(), Reverse(id));
                if best.is_none_or(|best| rank > best) {
                    best = Some(rank);
                }
            }
        };
        self.unnamed.iter().for_each(&mut consider);
        if !self.by_header.is_empty() {
            head.headers.names(&mut |name| {
                if let Some(groups) = self.by_header.get(name) {
                    groups.iter().for_each(&mut consider);
                }
            });
        }
        if let (false, Some(query)) = (self.by_query.is_empty(), head.query()) {
            for (name, _) in form_urlencoded::parse(query.as_bytes()) {
                if let Some(groups) = self.by_query.get(name.as_ref()) {
                    groups.iter().for_each(&mut consider);
                }
            }
        }
        best.map(|(_, Reverse(id))| id)
    }
}

impl Group {
    fn find<H: HeaderFields + ?Sized>(
        &self,
        hasher: &RandomState,
        routes: &[Route],
        head: &RequestHead<'_, H>,
    ) -> Option<RouteId> {
        // A missing field hashes like an empty one; `hold` sorts that out.
        let query: &mut dyn Iterator<Item = Cow<'_, str>> =
            &mut self.query.iter().map(|name| query_value(head.query(), name).unwrap_or_default());
        let mut state = hasher.build_hasher();
        if self.by_method {
            head.method.hash(&mut state);
        }
        for name in &self.headers {
            head.headers.first(name).unwrap_or_default().hash(&mut state);
        }
        for value in query {
            value.as_bytes().hash(&mut state);
        }
        let same_values = self.routes.get(&state.finish())?;
        same_values.iter().copied().find(|id| routes[id.index()].conditions.hold(head))
    }
}

fn hash_values<'v>(
    hasher: &RandomState,
    method: Option<&str>,
    headers: impl Iterator<Item = &'v [u8]>,
    query: impl Iterator<Item = &'v [u8]>,
) -> u64 {
    let mut state = hasher.build_hasher();
    if let Some(method) = method {
        method.hash(&mut state);
    }
    headers.for_each(|value| value.hash(&mut state));
    query.for_each(|value| value.hash(&mut state));
    state.finish()
}

/// The first value of a query parameter, decoded.
fn query_value<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
}
