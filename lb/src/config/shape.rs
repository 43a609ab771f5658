//! Checks a document against the JSON Schema of [`super::Config`] and reports
//! everything at once: unknown keys, wrong types, unknown words, unreadable
//! leaves, missing keys.
//!
//! What is broken is pruned, so that what is left always deserialises and can
//! be compiled in the same run. The schema is derived from the very types that
//! are deserialised; there is no second list of keys.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::document::{Document, Node, Path, Position, Step, Value};
use super::problem::{Problems, closest, did_you_mean};
use crate::values::check_format;

/// The longest text that can be a leaf: a duration, an address, a name.
const LONGEST_LEAF: usize = 1000;

/// Reports the problems of `document`, prunes it in place to what is sound, and
/// returns that as JSON. `None` when nothing useful is left.
pub(super) fn check(
    document: &mut Document,
    schema: &Json,
    problems: &mut Problems,
) -> Option<Json> {
    let checker = Checker { definitions: schema.get("$defs") };
    if let Value::Null = document.root.value {
        problems.error_at(
            Position::START,
            Path::default(),
            "the file is empty; a configuration starts with \"version: 1\"",
        );
        return None;
    }
    let sound = checker.node(&document.root, schema, problems)?;
    let json = to_json(&sound);
    document.root = sound;
    Some(json)
}

/// Takes "nothing" out of what the schema allows.
pub(super) fn refuse_null(schema: &mut Json) {
    match schema {
        Json::Object(entries) => {
            if let Some(Json::Array(kinds)) = entries.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_mut_slice() {
                    let only = only.take();
                    entries.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(mut kinds)) = entries.remove("anyOf") {
                kinds.retain(|kind| kind.get("type").is_none_or(|kind| kind != "null"));
                match kinds.as_mut_slice() {
                    [Json::Object(only)] => {
                        // The key's own description says more than its type's.
                        for (name, value) in std::mem::take(only) {
                            entries.entry(name).or_insert(value);
                        }
                    }
                    _ => drop(entries.insert("anyOf".to_owned(), Json::Array(kinds))),
                }
            }
            entries.values_mut().for_each(refuse_null);
        }
        Json::Array(items) => items.iter_mut().for_each(refuse_null),
        _ => {}
    }
}

struct Checker<'s> {
    definitions: Option<&'s Json>,
}

impl<'s> Checker<'s> {
    /// The sound part of `node`, or `None` when it is broken as a whole.
    fn node(&self, node: &Node, schema: &'s Json, problems: &mut Problems) -> Option<Node> {
        if matches!(node.value, Value::Broken) {
            return None;
        }
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return self.word(node, &words, problems);
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            let alternatives: Vec<&'s Json> =
                alternatives.iter().map(|schema| self.resolve(schema)).collect();
            return match alternatives.iter().find(|schema| self.accepts(node, schema)) {
                Some(schema) => self.node(node, schema, problems),
                None => wrong_kind(node, &self.describe(schema), problems),
            };
        }
        if !self.accepts(node, schema) {
            return match written_bare(node, schema) {
                Some(advice) => error(node, advice, problems),
                None => wrong_kind(node, &self.describe(schema), problems),
            };
        }
        match &node.value {
            Value::Map(entries) => self.map(node, entries, schema, problems),
            Value::List(items) => {
                let item_schema = schema.get("items").unwrap_or(&Json::Null);
                let sound: Vec<_> = items
                    .iter()
                    .filter_map(|item| self.node(item, item_schema, problems))
                    .collect();
                let complete = sound.len() == items.len();
                Some(Node { value: Value::List(sound), complete, ..node.clone_head() })
            }
            Value::Text(text) => match schema.get("format").and_then(Json::as_str) {
                Some(_) if text.len() > LONGEST_LEAF => {
                    let length = text.len();
                    error(node, format!("this text of {length} bytes is too long"), problems)
                }
                Some(format) => match check_format(format, text) {
                    Some(Err(reason)) => error(node, reason.to_string(), problems),
                    _ => Some(node.clone()),
                },
                None => Some(node.clone()),
            },
            Value::Integer(number) => within(node, *number as f64, schema, problems),
            Value::Float(number) => within(node, *number, schema, problems),
            Value::Null | Value::Bool(_) | Value::Broken => Some(node.clone()),
        }
    }

    fn map(
        &self,
        node: &Node,
        entries: &[(String, Node)],
        schema: &'s Json,
        problems: &mut Problems,
    ) -> Option<Node> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let required: Vec<&str> = match schema.get("required") {
            Some(Json::Array(keys)) => keys.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        let mut sound: Vec<(String, Node)> = Vec::with_capacity(entries.len());
        let mut first_lines: HashMap<&str, u64> = HashMap::with_capacity(entries.len());
        let mut meant: HashSet<&str> = HashSet::new();
        let (mut complete, mut usable) = (true, true);
        for (key, value) in entries {
            if let Some(line) = first_lines.get(key.as_str()) {
                problems.error_at(
                    value.key_position,
                    value.path.clone(),
                    format!("\"{key}\" is given twice, first on line {line}"),
                );
                continue;
            }
            first_lines.insert(key, value.key_position.line);
            let Some(schema) = properties.get(key).or(others) else {
                let known = || properties.keys().map(String::as_str);
                let hint = did_you_mean(key, known());
                let hint = if hint.is_empty() {
                    format!("; known here: {}", known().collect::<Vec<_>>().join(", "))
                } else {
                    hint
                };
                meant.extend(closest(key, known()));
                complete = false;
                problems.error_at(
                    value.key_position,
                    value.path.clone(),
                    format!("unknown key \"{key}\"{hint}"),
                );
                continue;
            };
            match self.node(value, schema, problems) {
                Some(value) => sound.push((key.clone(), value)),
                None => {
                    complete = false;
                    usable &= !required.contains(&key.as_str());
                }
            }
        }
        for key in required {
            if first_lines.contains_key(key) {
                continue;
            }
            usable = false;
            // A misspelt key is reported as that.
            if !meant.contains(key) {
                problems.error_at(
                    node.key_position,
                    node.path.clone(),
                    format!("the key \"{key}\" is missing"),
                );
            }
        }
        usable.then(|| Node { value: Value::Map(sound), complete, ..node.clone_head() })
    }

    fn word(&self, node: &Node, words: &[&str], problems: &mut Problems) -> Option<Node> {
        let listed = quoted(words);
        match &node.value {
            Value::Text(text) if words.contains(&text.as_str()) => Some(node.clone()),
            Value::Text(text) => {
                let hint = did_you_mean(text, words.iter().copied());
                error(node, format!("\"{text}\" is not one of {listed}{hint}"), problems)
            }
            Value::Float(number) if words.contains(&number.to_string().as_str()) => {
                let hint = format!("\"{number}\" needs quotes, or it is a number");
                error(node, hint, problems)
            }
            _ => wrong_kind(node, &format!("one of {listed}"), problems),
        }
    }

    /// Whether the kind of `node` (not its content) fits `schema`. The words of
    /// an enumeration among alternatives fit by their content.
    fn accepts(&self, node: &Node, schema: &'s Json) -> bool {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return matches!(&node.value, Value::Text(text) if words.contains(&text.as_str()));
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            return alternatives.iter().any(|schema| self.accepts(node, schema));
        }
        let name = match &node.value {
            Value::Null | Value::Broken => "null",
            Value::Bool(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Float(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        };
        let kind = schema.get("type").and_then(Json::as_str);
        kind.is_none_or(|kind| kind == name || (kind == "number" && name == "integer"))
    }

    fn describe(&self, schema: &'s Json) -> String {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return quoted(&words);
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            let described: Vec<_> =
                alternatives.iter().map(|schema| self.describe(schema)).collect();
            return described.join(" or ");
        }
        let name = match schema.get("type").and_then(Json::as_str) {
            Some("object") => "a mapping",
            Some("array") => "a list",
            Some("string") => "text",
            Some("integer") => "a whole number",
            Some("number") => "a number",
            Some("boolean") => "true or false",
            _ => "another value",
        };
        name.to_owned()
    }

    fn resolve(&self, schema: &'s Json) -> &'s Json {
        let name =
            schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
        match (name, self.definitions) {
            (Some(name), Some(definitions)) => definitions.get(name).unwrap_or(schema),
            _ => schema,
        }
    }
}

/// The words of an enumeration, when `schema` is one.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Some(words.iter().filter_map(Json::as_str).collect());
    }
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![word]);
    }
    let variants = schema.get("oneOf")?.as_array()?;
    let words: Vec<_> = variants.iter().filter_map(words).flatten().collect();
    (!words.is_empty()).then_some(words)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// What to say about a number where a leaf such as a duration belongs: what is
/// wrong with `10`, rather than that it is a number.
fn written_bare(node: &Node, schema: &Json) -> Option<String> {
    let text = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => return None,
    };
    let format = schema.get("format")?.as_str()?;
    check_format(format, &text)?.err().map(|reason| reason.to_string())
}

fn error(node: &Node, message: String, problems: &mut Problems) -> Option<Node> {
    problems.error_at(node.position, node.path.clone(), message);
    None
}

fn wrong_kind(node: &Node, expected: &str, problems: &mut Problems) -> Option<Node> {
    let hint = match &node.value {
        // Words among alternatives stand in quotes.
        Value::Text(text) if expected.contains('"') => {
            did_you_mean(text, expected.split('"').skip(1).step_by(2))
        }
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) if expected == "text" => {
            "; put it in quotes".to_owned()
        }
        Value::Text(word) if expected == "true or false" => match word.to_lowercase().as_str() {
            "yes" | "on" => "; did you mean true?".to_owned(),
            "no" | "off" => "; did you mean false?".to_owned(),
            _ => String::new(),
        },
        Value::Text(text) if expected == "a list" && text.len() <= 100 => {
            format!("; write [{text:?}]")
        }
        Value::Null => match node.path.last() {
            Some(Step::Key(_)) => "; remove the key or fill it in".to_owned(),
            _ => "; remove the item or fill it in".to_owned(),
        },
        _ => String::new(),
    };
    error(node, format!("expected {expected}, found {}{hint}", node.kind()), problems)
}

/// A number in the range that the schema gives.
fn within(node: &Node, number: f64, schema: &Json, problems: &mut Problems) -> Option<Node> {
    let bound = |key| schema.get(key).and_then(Json::as_f64);
    // schemars gives bounds for the shorter types only.
    let widest = match schema.get("format").and_then(Json::as_str) {
        Some("uint32") => Some(f64::from(u32::MAX)),
        _ => None,
    };
    let (low, high) = (bound("minimum"), bound("maximum").or(widest));
    // Written so that NaN is out of every range.
    let inside = low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high);
    if inside && number.is_finite() {
        return Some(node.clone());
    }
    let range = match (low, high) {
        (Some(low), Some(high)) => format!("from {low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "finite".to_owned(),
    };
    error(node, format!("must be {range}, found {}", node.kind()), problems)
}

fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Broken => Json::Null,
        Value::Bool(value) => json!(value),
        // The range check has run: what is left fits.
        Value::Integer(value) => {
            i64::try_from(*value).map_or_else(|_| json!(*value as f64), |v| json!(v))
        }
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.clone(), to_json(value))).collect())
        }
    }
}
