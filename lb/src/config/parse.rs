//! YAML text into a [`Document`], and the library's errors into our words.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, NonFiniteFloatPolicy, Spanned};

use super::document::{Document, Node, Path, Position, Value};

/// How deep mappings and lists may nest; the contract needs a dozen levels.
/// Everything that walks the tree may recurse.
const DEEPEST: usize = 64;

impl Document {
    /// Parses YAML 1.2. On failure the position and the reason.
    pub fn parse(text: &str) -> Result<Self, (Position, String)> {
        let options = serde_saphyr::options! {
            // Reported by the shape check, all of them and in our words.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            // `X-Accel-Buffering: no` is text, as YAML 1.2 has it.
            strict_booleans: true,
            with_snippet: false,
            // Ten thousand routes of a dozen keys fit; a bomb does not.
            budget: serde_saphyr::budget! {
                max_nodes: 5_000_000,
                max_events: 20_000_000,
                max_depth: DEEPEST,
            },
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
}

/// What an operator is told. The library's words stay where they are about
/// YAML, without its position and hints about its API.
fn message_of(error: &Error) -> String {
    use serde_saphyr::budget::BudgetBreach;
    match error.without_snippet() {
        Error::AliasError { error, .. } => return message_of(error),
        Error::MultipleDocuments { .. } => {
            "a configuration is one YAML document; remove what follows the second \"---\""
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            "mappings and lists are nested more than 64 deep"
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            "the file is too large: too many values, or aliases that multiply"
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias cannot stand inside the value that it repeats"
        }
        Error::UnknownAnchor { .. } => {
            "this is an alias of an anchor that does not exist; a text that begins with \"*\" needs quotes"
        }
        Error::NullIntoString { .. } | Error::Unexpected { .. } => "a key must be text",
        error => return library_words(error),
    }
    .to_owned()
}

fn library_words(error: &Error) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let text = match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => text,
    };
    let text = text.split(" at line ").next().unwrap_or(text);
    match text {
        "" => "this is not valid YAML".to_owned(),
        "recursion limit exceeded" => "mappings and lists are nested too deep".to_owned(),
        _ if text.contains("anchor or alias") => format!(
            "this is not valid YAML: {text}; a text that begins with \"*\" or \"&\" needs quotes"
        ),
        _ => format!("this is not valid YAML: {text}"),
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
    Node { position, key_position: key_position.unwrap_or(position), path, complete: true, value }
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
