//! `docs/configuration.md` and the schema name the same keys.
//!
//! A key is documented where its path stands in backticks in the first cell of a
//! table row, or in a heading. Names that the operator chooses are `*`, items of
//! a list `[]`: `upstreams.*.endpoints[].address`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::repository;

fn documentation() -> String {
    std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap()
}

#[test]
fn every_key_is_documented() {
    let docs = documentation();
    let documented: BTreeSet<&str> = docs
        .lines()
        .filter_map(|line| match line.strip_prefix('|') {
            Some(row) => row.split('|').next(),
            None => line.starts_with('#').then_some(line),
        })
        .flat_map(in_backticks)
        .collect();
    let missing: Vec<_> =
        keys().into_iter().filter(|key| !documented.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/configuration.md:\n{}", missing.join("\n"));
}

#[test]
fn every_documented_key_exists() {
    let docs = documentation();
    let keys = keys();
    let mut in_table_of_keys = false;
    let mut unknown = Vec::new();
    let mut rows = 0;
    for line in docs.lines() {
        let Some(row) = line.strip_prefix('|') else {
            in_table_of_keys = false;
            continue;
        };
        let first = row.split('|').next().unwrap_or_default().trim();
        // The tables of keys are those whose first column is named so.
        in_table_of_keys |= first.eq_ignore_ascii_case("key");
        if in_table_of_keys && first.starts_with('`') {
            rows += 1;
            unknown.extend(in_backticks(first).filter(|key| !keys.contains(*key)));
        }
    }
    assert!(unknown.is_empty(), "not in the schema:\n{}", unknown.join("\n"));
    assert!(rows > 0, "no table of keys was found");
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The path of every key of the schema.
fn keys() -> BTreeSet<String> {
    let schema = lb::compile::schema();
    let mut keys = BTreeSet::new();
    collect(&schema, &schema, "", &mut keys);
    assert!(keys.contains("upstreams.*.health_check.interval"));
    assert!(keys.contains("virtual_hosts[].routes[].match.path"));
    keys
}

fn collect(schema: &Value, root: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        collect(&root["$defs"][name], root, path, keys);
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        collect(alternative, root, path, keys);
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(property, root, &path, keys);
        keys.insert(path);
    }
    if schema["additionalProperties"].is_object() {
        collect(&schema["additionalProperties"], root, &format!("{path}.*"), keys);
        keys.insert(format!("{path}.*"));
    }
    if schema["items"].is_object() {
        collect(&schema["items"], root, &format!("{path}[]"), keys);
    }
}
