//! `${VAR}` and `${VAR:-default}` inside text scalars.
//!
//! Expansion happens on the parsed tree, never on the text of the file: a value
//! can hold anything without becoming structure. `$${` stands for `${`.

use super::document::{Document, Node, Value};
use super::problem::Problems;

/// Expands every text scalar of `document`. A variable that is unset and has
/// no default is an error at the scalar.
pub(super) fn expand(
    document: &mut Document,
    variables: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    expand_node(&mut document.root, variables, problems);
}

fn expand_node(
    node: &mut Node,
    variables: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match expand_text(text, variables) {
            Ok(expanded) => *text = expanded,
            Err(message) => {
                problems.error_at(node.position, node.path.clone(), message);
                node.value = Value::Broken;
            }
        },
        Value::List(items) => {
            items.iter_mut().for_each(|item| expand_node(item, variables, problems))
        }
        Value::Map(entries) => {
            entries.iter_mut().for_each(|(_, value)| expand_node(value, variables, problems));
        }
        _ => {}
    }
}

fn expand_text(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &reference[2..];
            continue;
        }
        expanded.push_str(before);
        let Some(end) = reference.find('}') else {
            return Err(
                "\"${\" has no closing \"}\"; write \"$${\" for a literal \"${\"".to_owned()
            );
        };
        let (name, default) = match reference[2..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&reference[2..end], None),
        };
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !valid {
            return Err(format!(
                "\"{name}\" is not the name of a variable; write \"$${{\" for a literal \"${{\""
            ));
        }
        // An empty variable takes the default too, as in the shell's ":-".
        match (variables(name).filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the variable {name} is not set; write ${{{name}:-default}} to give a default"
                ));
            }
        }
        rest = &reference[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::expand_text;

    fn variables(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("backend".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn expands_values_and_defaults() {
        for (text, expected) in [
            ("${HOST}:80", "backend:80"),
            ("${PORT:-8000}", "8000"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("$HOST ^/a$", "$HOST ^/a$"),
            ("$${HOST}", "${HOST}"),
            ("a${HOST}b${HOST}", "abackendbbackend"),
        ] {
            assert_eq!(expand_text(text, &variables).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn unset_and_malformed_references_are_errors() {
        for text in ["${UNSET}", "${HOST", "${}", "${1A}", "${A B}", "$${A}${"] {
            assert!(expand_text(text, &variables).is_err(), "{text}");
        }
    }
}
