//! Routes that can never match, because another takes everything they would.
//!
//! Sound, not complete: what is reported is certainly dead; two different
//! regular expressions are never compared.

use std::collections::HashMap;

use crate::policy::{Conditions, PathMatch};

/// Why a route is dead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// By the route at this index of the same virtual host.
    By(usize),
}

/// The routes of one virtual host so far.
#[derive(Debug, Default)]
pub(super) struct Reachable {
    seen: HashMap<PathMatch, Vec<(usize, Conditions)>>,
    /// A regular expression that takes every path, without conditions.
    every_path: Option<usize>,
}

impl Reachable {
    /// Adds a route; says what hides it, if something does.
    pub(super) fn add(
        &mut self,
        index: usize,
        path: &PathMatch,
        conditions: &Conditions,
    ) -> Option<Hidden> {
        // Exact paths come before regular expressions, all others after.
        if let (Some(first), PathMatch::Regex(_) | PathMatch::Prefix(_)) = (self.every_path, path) {
            return Some(Hidden::By(first));
        }
        let same_path = self.seen.entry(identity(path)).or_default();
        let first = same_path.iter().find(|(_, earlier)| {
            // Among equals the more specific route wins whatever its place; so
            // an earlier one hides this one only if it asks for the same
            // fields, and for no method that this one does not.
            earlier.covers(conditions)
                && earlier.headers.len() == conditions.headers.len()
                && earlier.query.len() == conditions.query.len()
                && earlier.methods.is_empty() == conditions.methods.is_empty()
        });
        if let Some((first, _)) = first {
            return Some(Hidden::By(*first));
        }
        same_path.push((index, conditions.clone()));
        if let PathMatch::Regex(pattern) = path
            && matches!(pattern.as_str(), ".*" | "/.*" | "^.*$" | "^/.*$" | "^/.*")
            && conditions.is_empty()
        {
            self.every_path = Some(index);
        }
        None
    }
}

/// A trailing slash makes no difference to a prefix.
fn identity(path: &PathMatch) -> PathMatch {
    match path {
        PathMatch::Prefix(prefix) => {
            PathMatch::Prefix(prefix.strip_suffix('/').unwrap_or(prefix).to_owned())
        }
        other => other.clone(),
    }
}
