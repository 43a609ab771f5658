//! The text of a configuration as a tree whose every node knows where it stands.
//!
//! Paths name nodes the way the operator reads them
//! (`upstreams.api.endpoints[2].address`); nodes keep the path they were
//! written at even after broken neighbours were pruned from the tree.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

/// A place in the file; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// This path and one step more.
    pub fn join(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
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
                    if plain && !key.is_empty() { f.write_str(key)? } else { write!(f, "{key:?}")? }
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
}

impl Node {
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
            Value::Float(value) => format!("the number {value}"),
            Value::Text(text) if text.len() <= 40 => format!("the text {text:?}"),
            Value::Text(_) => "a text".into(),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
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
    /// Parses YAML 1.2. On failure the position and the reason.
    pub fn parse(text: &str) -> Result<Self, (Position, String)> {
        let options = serde_saphyr::options! {
            // Reported by the shape check, all of them and in our words.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            // Ten thousand routes of a dozen keys fit; a bomb does not.
            budget: serde_saphyr::budget! { max_nodes: 5_000_000, max_events: 20_000_000 },
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(raw) => Ok(Self { root: node(raw, None, Path::default()) }),
            Err(error) => {
                let position = error
                    .location()
                    .filter(|location| location.line() > 0)
                    .map_or(Position::START, |l| Position { line: l.line(), column: l.column() });
                Err((position, message_of(&error)))
            }
        }
    }

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

/// The library's words without its own position and hints about its API.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => text,
    };
    match text {
        "" => "this is not valid YAML".to_owned(),
        _ if text.starts_with("multiple YAML documents") => {
            "a configuration is one YAML document; remove what follows the second \"---\""
                .to_owned()
        }
        _ => format!("this is not valid YAML: {}", text.split(" at line ").next().unwrap_or(text)),
    }
}

fn node(raw: Spanned<Raw>, key_position: Option<Position>, path: Path) -> Node {
    let position =
        Position { line: raw.referenced.line().max(1), column: raw.referenced.column().max(1) };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Integer(value) => Value::Integer(value),
        Raw::Float(value) => Value::Float(value),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| node(item, None, path.join(index)))
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key_position = Position {
                        line: key.referenced.line().max(1),
                        column: key.referenced.column().max(1),
                    };
                    let path = path.join(key.value.as_str());
                    (key.value, node(value, Some(key_position), path))
                })
                .collect(),
        ),
    };
    Node { position, key_position: key_position.unwrap_or(position), path, value }
}

/// What the YAML library hands over, before paths are known.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
