//! The longest prefix by whole segments: a trie whose walk costs one look-up a
//! segment of the path, however many prefixes there are.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::conditions::Candidates;

/// Prefixes and the routes at each.
#[derive(Debug)]
pub(super) struct Prefixes {
    nodes: Vec<TrieNode>,
}

#[derive(Debug, Default)]
struct TrieNode {
    children: HashMap<Box<str>, usize, RandomState>,
    candidates: Option<Candidates>,
    /// The closest node above that has candidates.
    above: Option<usize>,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { nodes: vec![TrieNode::default()] }
    }
}

impl Prefixes {
    /// The candidates at a normalised prefix, made when there are none. A
    /// trailing slash makes no difference (Gateway API: `PathPrefix`).
    pub(super) fn entry(&mut self, prefix: &str) -> &mut Candidates {
        let mut node = 0;
        for segment in segments(prefix.strip_suffix('/').unwrap_or(prefix)) {
            node = match self.nodes[node].children.get(segment) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.len();
                    self.nodes[node].children.insert(segment.into(), child);
                    self.nodes.push(TrieNode::default());
                    child
                }
            };
        }
        self.nodes[node].candidates.get_or_insert_default()
    }

    /// Links every node to the closest prefix above it. Called once, at the end.
    pub(super) fn finish(&mut self) {
        let mut open = vec![0];
        while let Some(node) = open.pop() {
            let above = if self.nodes[node].candidates.is_some() {
                Some(node)
            } else {
                self.nodes[node].above
            };
            let children: Vec<usize> = self.nodes[node].children.values().copied().collect();
            for child in children {
                self.nodes[child].above = above;
                open.push(child);
            }
        }
    }

    /// The prefixes of a normalised path that have routes, longest first.
    pub(super) fn of(&self, path: &str) -> impl Iterator<Item = &Candidates> {
        let mut node = 0;
        for segment in segments(path) {
            match self.nodes[node].children.get(segment) {
                Some(child) => node = *child,
                None => break,
            }
        }
        let first =
            if self.nodes[node].candidates.is_some() { Some(node) } else { self.nodes[node].above };
        std::iter::successors(first, |node| self.nodes[*node].above)
            .filter_map(|node| self.nodes[node].candidates.as_ref())
    }
}

/// What stands between slashes after the first one.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/')
        .filter(|rest| !rest.is_empty())
        .into_iter()
        .flat_map(|rest| rest.split('/'))
}
