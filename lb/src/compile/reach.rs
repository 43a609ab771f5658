//! Routes that can never match, because another takes everything they would or
//! because no path is like that.
//!
//! Sound, not complete: what is reported is certainly dead; two different
//! regular expressions are never compared.

use std::collections::HashMap;

use regex_automata::hybrid::dfa::DFA;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::policy::{Conditions, PathMatch};

/// A dead route.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// The index of the dead one.
    pub(super) route: usize,
    /// The index of the route that takes everything it would.
    pub(super) by: usize,
}

/// The routes of one virtual host.
#[derive(Debug, Default)]
pub(super) struct Reachable {
    routes: Vec<(usize, PathMatch)>,
    same_path: HashMap<PathMatch, Vec<(usize, Conditions)>>,
    /// A regular expression that takes every path, without conditions.
    every_path: Option<usize>,
    hidden: Vec<Hidden>,
}

impl Reachable {
    /// Adds a route; routes come in written order.
    pub(super) fn add(&mut self, index: usize, path: &PathMatch, conditions: &Conditions) {
        let same_path = self.same_path.entry(identity(path)).or_default();
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
            self.hidden.push(Hidden { route: index, by: *first });
            return;
        }
        same_path.push((index, conditions.clone()));
        if let PathMatch::Regex(pattern) = path
            && matches!(pattern.as_str(), ".*" | "/.*" | "^.*$" | "^/.*$" | "^/.*")
            && conditions.is_empty()
            && self.every_path.is_none()
        {
            self.every_path = Some(index);
            return;
        }
        self.routes.push((index, path.clone()));
    }

    /// The dead routes.
    pub(super) fn finish(self) -> Vec<Hidden> {
        let Self { routes, same_path: _, every_path, mut hidden } = self;
        if let Some(by) = every_path {
            // Exact paths come before every expression, prefixes after; wherever
            // they are written.
            let dead = routes.into_iter().filter(|(index, path)| match path {
                PathMatch::Exact(_) => false,
                PathMatch::Regex(_) => *index > by,
                PathMatch::Prefix(_) => true,
            });
            hidden.extend(dead.map(|(route, _)| Hidden { route, by }));
        }
        hidden
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

/// Whether an expression that compiles matches nothing that begins with `/`,
/// as one written for nginx's unanchored `~` does (`\.php$`).
pub(super) fn matches_no_path(pattern: &str) -> bool {
    // The options of the table's own automaton.
    let dfa = DFA::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build(&format!(r"\A(?:{pattern})\z"));
    // Too large for this automaton: no answer is no complaint.
    let Ok(dfa) = dfa else { return false };
    let mut cache = dfa.create_cache();
    let input = Input::new("/").anchored(Anchored::Yes);
    let Ok(start) = dfa.start_state_forward(&mut cache, &input) else { return false };
    matches!(dfa.next_state(&mut cache, start, b'/'), Ok(state) if state.is_dead())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(paths: &[PathMatch]) -> Vec<(usize, usize)> {
        let mut reachable = Reachable::default();
        for (index, path) in paths.iter().enumerate() {
            reachable.add(index, path, &Conditions::default());
        }
        reachable.finish().into_iter().map(|Hidden { route, by }| (route, by)).collect()
    }

    #[test]
    fn an_expression_for_every_path_hides_all_prefixes_and_later_expressions() {
        let paths = [
            PathMatch::Exact("/a".into()),
            PathMatch::Prefix("/b".into()),
            PathMatch::Regex("/c.*".into()),
            PathMatch::Regex("/.*".into()),
            PathMatch::Regex("/d.*".into()),
            PathMatch::Prefix("/".into()),
        ];
        assert_eq!(hidden(&paths), [(1, 3), (4, 3), (5, 3)]);
    }

    #[test]
    fn the_same_path_twice_is_dead_and_a_slash_makes_no_difference() {
        let paths = [PathMatch::Prefix("/a".into()), PathMatch::Prefix("/a/".into())];
        assert_eq!(hidden(&paths), [(1, 0)]);
    }

    #[test]
    fn expressions_that_no_path_can_match() {
        for pattern in [r"\.php$", "api/.*", "", "^$", "[^/].*", "$", "a|b"] {
            assert!(matches_no_path(pattern), "{pattern}");
        }
        for pattern in [r".*\.php", "/", "^/a$", "(/a)?", "a|/b", "[^a]+", "/a{1000}", r"(?i)/A"] {
            assert!(!matches_no_path(pattern), "{pattern}");
        }
    }
}
