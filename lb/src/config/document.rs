//! The text of a configuration as a tree whose every node knows where it stands.
//!
//! Reading the text is `parse`'s business.
//!
//! Paths name nodes the way the operator reads them
//! (`upstreams.api.endpoints[2].address`); nodes keep the path they were
//! written at even after broken neighbours were pruned from the tree.

use std::fmt;

use super::problem::shortened;

/// The longest key that a path shows in full. No key of the contract is longer;
/// names given by operators are.
const LONGEST_SHOWN_KEY: usize = 100;

/// A place in the file; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Position {
    /// The first character of the file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One step from a node to a child.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The way from the root to a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// This path and one step more.
    pub fn join(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    /// The step to the node itself; `None` for the root.
    pub fn last(&self) -> Option<&Step> {
        self.0.last()
    }

    /// Whether this is the root.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(item) => write!(f, "[{item}]")?,
                Step::Key(key) => {
                    if index > 0 {
                        f.write_str(".")?;
                    }
                    let plain =
                        key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                    let key = shortened(key, LONGEST_SHOWN_KEY);
                    if plain && !key.is_empty() {
                        f.write_str(&key)?
                    } else {
                        write!(f, "{key:?}")?
                    }
                }
            }
        }
        Ok(())
    }
}

/// A node: what it is, where it stands, what it is called.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// Where its key begins; the value's position for list items.
    pub key_position: Position,
    /// The path it was written at.
    pub path: Path,
    /// Whether all that was written here is still here. Not so where something
    /// broken was reported and left out: what seems to be missing may not be.
    pub complete: bool,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in written order; keys may repeat.
    Map(Vec<(String, Node)>),
    /// Something that could not be understood and was reported.
    Broken,
}

impl Node {
    /// This node without its value.
    pub(super) fn clone_head(&self) -> Self {
        let Self { position, key_position, path, complete, value: _ } = self;
        Self {
            position: *position,
            key_position: *key_position,
            path: path.clone(),
            complete: *complete,
            value: Value::Null,
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn key(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(value) => format!("the truth value {value}"),
            Value::Integer(value) => format!("the number {value}"),
            // 20.0 is not a whole number, and must not look like one.
            Value::Float(value) => format!("the number {value:?}"),
            Value::Text(text) => format!("the text {:?}", shortened(text, LONGEST_SHOWN_KEY)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Broken => "something broken".into(),
        }
    }
}

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    /// The outermost node.
    pub root: Node,
}

impl Document {
    /// The node at `steps`, or the closest one above it that exists.
    pub fn closest(&self, steps: &Path) -> (&Node, bool) {
        let mut node = &self.root;
        for step in &steps.0 {
            let child = match (step, &node.value) {
                (Step::Key(key), Value::Map(_)) => node.key(key),
                (Step::Index(index), Value::List(items)) => items.get(*index),
                _ => None,
            };
            match child {
                Some(child) => node = child,
                None => return (node, false),
            }
        }
        (node, true)
    }
}
