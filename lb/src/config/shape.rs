//! Checks a document against the JSON Schema of [`super::Config`] and reports
//! everything at once: unknown keys, wrong types, unknown words, unreadable
//! leaves, missing keys.
//!
//! What is broken is pruned, so that what is left always deserialises and can
//! be compiled in the same run. The schema is derived from the very types that
//! are deserialised; there is no second list of keys.

use serde_json::{Map, Value as Json, json};

use super::document::{Document, Node, Path, Value};
use super::problem::{Problems, did_you_mean};
use crate::values::check_format;

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
            document.root.position,
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

struct Checker<'s> {
    definitions: Option<&'s Json>,
}

impl<'s> Checker<'s> {
    /// The sound part of `node`, or `None` when it is broken as a whole.
    fn node(&self, node: &Node, schema: &'s Json, problems: &mut Problems) -> Option<Node> {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return self.word(node, &words, problems);
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            let alternatives: Vec<&Json> =
                alternatives.iter().map(|schema| self.resolve(schema)).collect();
            let some: Vec<&Json> = alternatives
                .iter()
                .copied()
                .filter(|schema| schema.get("type") != Some(&json!("null")))
                .collect();
            let fitting = match some.as_slice() {
                // An optional value: its own check has the better words.
                [only] if !matches!(node.value, Value::Null) => Some(*only),
                _ => alternatives.iter().copied().find(|schema| self.accepts_kind(node, schema)),
            };
            return match fitting {
                Some(schema) => self.node(node, schema, problems),
                None => {
                    let expected: Vec<_> = some.iter().map(|schema| describe(schema)).collect();
                    wrong_kind(node, &expected.join(" or "), problems)
                }
            };
        }
        if !self.accepts_kind(node, schema) {
            return wrong_kind(node, &describe(schema), problems);
        }
        match &node.value {
            Value::Map(entries) => self.map(node, entries, schema, problems),
            Value::List(items) => {
                let item_schema = schema.get("items").unwrap_or(&Json::Null);
                let items = items
                    .iter()
                    .filter_map(|item| self.node(item, item_schema, problems))
                    .collect();
                Some(Node { value: Value::List(items), ..node.clone() })
            }
            Value::Text(text) => {
                match schema.get("format").and_then(Json::as_str).map(|f| check_format(f, text)) {
                    Some(Some(Err(error))) => {
                        problems.error_at(node.position, node.path.clone(), error.to_string());
                        None
                    }
                    _ => Some(node.clone()),
                }
            }
            Value::Integer(number) => {
                let bound = |key| schema.get(key).and_then(Json::as_f64);
                let (low, high) = (bound("minimum"), bound("maximum"));
                let value = *number as f64;
                if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
                    return out_of_range(node, low, high, problems);
                }
                Some(node.clone())
            }
            Value::Float(value) => {
                let bound = |key| schema.get(key).and_then(Json::as_f64);
                let (low, high) = (bound("minimum"), bound("maximum"));
                // Written so that NaN is out of every range.
                let inside =
                    low.is_none_or(|low| *value >= low) && high.is_none_or(|high| *value <= high);
                if inside { Some(node.clone()) } else { out_of_range(node, low, high, problems) }
            }
            Value::Null | Value::Bool(_) => Some(node.clone()),
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
        let mut broken = false;
        for (index, (key, value)) in entries.iter().enumerate() {
            if let Some((_, first)) = entries[..index].iter().find(|(other, _)| other == key) {
                let line = first.key_position.line;
                problems.error_at(
                    value.key_position,
                    value.path.clone(),
                    format!("\"{key}\" is given twice, first on line {line}"),
                );
                continue;
            }
            let Some(schema) = properties.get(key).or(others) else {
                let mut known: Vec<_> = properties.keys().map(String::as_str).collect();
                known.sort_unstable();
                let hint = did_you_mean(key, known.iter().copied());
                let hint = if hint.is_empty() {
                    format!("; known here: {}", known.join(", "))
                } else {
                    hint
                };
                problems.error_at(
                    value.key_position,
                    value.path.clone(),
                    format!("unknown key \"{key}\"{hint}"),
                );
                continue;
            };
            match self.node(value, schema, problems) {
                Some(value) => sound.push((key.clone(), value)),
                None => broken |= required.contains(&key.as_str()),
            }
        }
        for key in required {
            if !entries.iter().any(|(other, _)| other == key) {
                problems.error_at(
                    node.key_position,
                    node.path.clone(),
                    format!("the key \"{key}\" is missing"),
                );
                broken = true;
            }
        }
        (!broken).then(|| Node { value: Value::Map(sound), ..node.clone() })
    }

    fn word(&self, node: &Node, words: &[&str], problems: &mut Problems) -> Option<Node> {
        let listed = || {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            quoted.join(", ")
        };
        match &node.value {
            Value::Text(text) if words.contains(&text.as_str()) => Some(node.clone()),
            Value::Text(text) => {
                let hint = did_you_mean(text, words.iter().copied());
                problems.error_at(
                    node.position,
                    node.path.clone(),
                    format!("\"{text}\" is not one of {}{hint}", listed()),
                );
                None
            }
            Value::Float(_) | Value::Integer(_) => {
                problems.error_at(
                    node.position,
                    node.path.clone(),
                    format!("expected one of {} in quotes, found {}", listed(), node.kind()),
                );
                None
            }
            _ => wrong_kind(node, &format!("one of {}", listed()), problems),
        }
    }

    /// Whether the kind of `node` (not its content) fits `schema`.
    fn accepts_kind(&self, node: &Node, schema: &Json) -> bool {
        if words(schema).is_some() {
            return matches!(node.value, Value::Text(_));
        }
        let name = match &node.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Float(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        };
        let fits = |kind: &Json| kind == name || (kind == "number" && name == "integer");
        match schema.get("type") {
            Some(Json::Array(kinds)) => kinds.iter().any(fits),
            Some(kind) => fits(kind),
            None => true,
        }
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

fn describe(schema: &Json) -> String {
    if let Some(words) = words(schema) {
        return words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    }
    let name = |kind: &Json| match kind.as_str() {
        Some("object") => "a mapping",
        Some("array") => "a list",
        Some("string") => "text",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "nothing",
    };
    match schema.get("type") {
        Some(Json::Array(kinds)) => {
            kinds.iter().filter(|kind| *kind != "null").map(name).collect::<Vec<_>>().join(" or ")
        }
        Some(kind) => name(kind).to_owned(),
        None => "another value".to_owned(),
    }
}

fn wrong_kind(node: &Node, expected: &str, problems: &mut Problems) -> Option<Node> {
    let hint = match &node.value {
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) if expected == "text" => {
            "; put it in quotes"
        }
        Value::Null if expected == "a mapping" || expected == "a list" => {
            "; remove the key or fill it in"
        }
        _ => "",
    };
    problems.error_at(
        node.position,
        node.path.clone(),
        format!("expected {expected}, found {}{hint}", node.kind()),
    );
    None
}

fn out_of_range(
    node: &Node,
    low: Option<f64>,
    high: Option<f64>,
    problems: &mut Problems,
) -> Option<Node> {
    let range = match (low, high) {
        (Some(low), Some(high)) => format!("from {low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "finite".to_owned(),
    };
    problems.error_at(
        node.position,
        node.path.clone(),
        format!("must be {range}, found {}", node.kind()),
    );
    None
}

fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
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
