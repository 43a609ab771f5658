//! Header edits, checked.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};

use super::context::Context;
use crate::config::{self, Path};
use crate::response::HeaderEdits;

/// Fields that frame or route a message; editing them would break it.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Compiles the edits at `path`.
pub(super) fn edits(
    written: Option<&config::HeaderEdits>,
    path: &Path,
    context: &mut Context<'_>,
) -> HeaderEdits {
    let Some(config::HeaderEdits { set, add, remove }) = written else {
        return HeaderEdits::default();
    };
    let mut edits = HeaderEdits::default();
    for (key, fields) in [("set", set), ("add", add)] {
        let mut names = HashSet::new();
        for (name, value) in fields {
            let path = path.join(key).join(name.as_str());
            let parsed = header_name(name, &path, context);
            let value = HeaderValue::try_from(value.as_str());
            if value.is_err() {
                context.error(path, "a header value has no line breaks or control characters");
            } else if let (Some(name), Ok(value)) = (parsed, value) {
                // YAML sees two keys, HTTP one field.
                if !names.insert(name.clone()) {
                    context.error(
                        path,
                        format!("the header \"{name}\" is given twice; names are case-insensitive"),
                    );
                }
                let list = if key == "set" { &mut edits.set } else { &mut edits.add };
                list.push((name, value));
            }
        }
    }
    for (index, name) in remove.iter().enumerate() {
        edits.remove.extend(header_name(name, &path.join("remove").join(index), context));
    }
    edits
}

/// A field name that may be edited.
fn header_name(name: &str, path: &Path, context: &mut Context<'_>) -> Option<HeaderName> {
    match name.parse::<HeaderName>() {
        Err(_) => context.error(path.clone(), format!("\"{name}\" is not a header name")),
        Ok(name) if FRAMING.contains(&name.as_str()) => context.error(
            path.clone(),
            format!(
                "\"{name}\" belongs to the connection, not to the message; it cannot be edited"
            ),
        ),
        Ok(name) => return Some(name),
    }
    None
}
