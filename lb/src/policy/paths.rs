//! From a path to its routes: exact, then regular expressions in written
//! order, then the longest prefix.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};

use super::conditions::{Candidates, Conditions};
use super::prefixes::Prefixes;
use super::table::RouteId;

/// How a route matches the path. Exact paths and prefixes are normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path and no other.
    Exact(String),
    /// The whole path matches.
    Regex(String),
    /// This path and what lies below it, by whole segments.
    Prefix(String),
}

/// A regular expression could not be compiled.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PathRegexError {
    message: String,
}

impl PathMatch {
    /// Whether a regular expression compiles by itself.
    pub fn check_regex(pattern: &str) -> Result<(), PathRegexError> {
        compile(&[pattern], MatchKind::LeftmostFirst).map(drop).map_err(|error| PathRegexError {
            message: match error.syntax_error() {
                // The library shows the pattern and a caret over several
                // lines; its last line is the reason.
                Some(syntax) => {
                    let text = syntax.to_string();
                    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
                }
                None => "the expression is too large".to_owned(),
            },
        })
    }
}

/// The routes of one virtual host by path.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    exact: HashMap<Box<str>, Candidates, RandomState>,
    patterns: Vec<String>,
    /// Where each expression stands in `patterns`.
    places: HashMap<Box<str>, usize, RandomState>,
    pattern_candidates: Vec<Candidates>,
    /// Gives the first written expression that matches, without allocating.
    first: Option<Regex>,
    /// Gives every expression that matches; only where one may be passed over
    /// because its other conditions fail.
    every: Option<Regex>,
    conditional: bool,
    prefixes: Prefixes,
}

impl PathIndex {
    /// Adds a route; routes come in written order.
    pub(super) fn insert(&mut self, id: RouteId, path: &PathMatch, conditions: &Conditions) {
        let candidates = match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            PathMatch::Prefix(prefix) => self.prefixes.entry(prefix),
            PathMatch::Regex(pattern) => {
                self.conditional |= !conditions.is_empty();
                // An expression written again is an equal of the first, and has
                // its place.
                let place = *self.places.entry(pattern.as_str().into()).or_insert_with(|| {
                    self.patterns.push(pattern.clone());
                    self.pattern_candidates.push(Candidates::default());
                    self.patterns.len() - 1
                });
                &mut self.pattern_candidates[place]
            }
        };
        candidates.insert(id, conditions);
    }

    /// Compiles what [`insert`](Self::insert) gathered.
    pub(super) fn finish(&mut self) -> Result<(), PathRegexError> {
        self.prefixes.finish();
        if !self.patterns.is_empty() {
            let too_large = |_| PathRegexError {
                message: "the expressions of this virtual host are too large together".to_owned(),
            };
            self.first =
                Some(compile(&self.patterns, MatchKind::LeftmostFirst).map_err(too_large)?);
            if self.conditional {
                self.every = Some(compile(&self.patterns, MatchKind::All).map_err(too_large)?);
            }
        }
        Ok(())
    }

    /// The first of `pick`'s answers, asked from the most specific candidates
    /// to the least.
    pub(super) fn find(
        &self,
        path: &str,
        mut pick: impl FnMut(&Candidates) -> Option<RouteId>,
    ) -> Option<RouteId> {
        if let Some(found) = self.exact.get(path).and_then(&mut pick) {
            return Some(found);
        }
        if let Some(regex) = &self.first
            && let Some(found) = self.find_regex(regex, path, &mut pick)
        {
            return Some(found);
        }
        self.prefixes.of(path).find_map(pick)
    }

    fn find_regex(
        &self,
        regex: &Regex,
        path: &str,
        pick: &mut impl FnMut(&Candidates) -> Option<RouteId>,
    ) -> Option<RouteId> {
        let input = Input::new(path).anchored(Anchored::Yes).earliest(false);
        // Every pattern is anchored at both ends, so leftmost-first means the
        // first written that matches.
        let first = regex.search_half(&input)?.pattern().as_usize();
        if let Some(found) = pick(&self.pattern_candidates[first]) {
            return Some(found);
        }
        // Its other conditions failed: ask the later ones, in order. Rare, so
        // the set may be allocated.
        let every = self.every.as_ref()?;
        let mut matching = PatternSet::new(every.pattern_len());
        every.which_overlapping_matches(&input, &mut matching);
        matching
            .iter()
            .map(|pattern| pattern.as_usize())
            .filter(|index| *index > first)
            .find_map(|index| pick(&self.pattern_candidates[index]))
    }
}

/// All patterns in one automaton, each anchored at both ends.
fn compile<P: AsRef<str>>(patterns: &[P], kind: MatchKind) -> Result<Regex, Box<BuildError>> {
    let anchored: Vec<String> =
        patterns.iter().map(|pattern| format!(r"\A(?:{})\z", pattern.as_ref())).collect();
    Regex::builder()
        // Normal paths are ASCII. Without Unicode classes ten thousand
        // expressions stay small enough for one lazy DFA.
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(
            Regex::config()
                .match_kind(kind)
                .utf8_empty(false)
                // Ten thousand expressions fit; one that explodes does not.
                .nfa_size_limit(Some(64 << 20))
                .onepass_size_limit(Some(1 << 20))
                .hybrid_cache_capacity(16 << 20),
        )
        .build_many(&anchored)
        .map_err(Box::new)
}
