//! The engine that a suite runs with.
//!
//! Suites stand twice in `Cargo.toml`, from the same source: `NAME` runs with
//! `engine: auto`, the default, and `NAME_pingora` with `engine: pingora`.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

/// What carries the requests of a suite's listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The lane, where it can; HTTP/2 on either side by Pingora.
    Auto,
    Pingora,
}

/// The engine of the suite that this is compiled into.
pub fn engine() -> Engine {
    if env!("CARGO_CRATE_NAME").ends_with("_pingora") { Engine::Pingora } else { Engine::Auto }
}

/// The part of a configuration that engines are named in.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    listeners: HashMap<String, Spanned<HashMap<String, IgnoredAny>>>,
}

impl Engine {
    /// A configuration with this engine on every listener that names none.
    /// Everything else stays as it is written.
    pub fn carries(self, yaml: &str) -> String {
        let mut yaml = yaml.to_owned();
        if self == Self::Auto {
            return yaml;
        }
        let written: Written = serde_saphyr::from_str(&yaml)
            .unwrap_or_else(|error| panic!("a test's configuration: {error}\n{yaml}"));
        let mappings: BTreeSet<usize> = written
            .listeners
            .values()
            .filter(|listener| !listener.value.contains_key("engine"))
            .map(|listener| offset(&yaml, listener.defined))
            .collect();
        // From the last to the first, so that those before stay where they are.
        for start in mappings.into_iter().rev() {
            if yaml[start..].starts_with('{') {
                yaml.insert_str(start + 1, " engine: pingora,");
            } else {
                let line = yaml[..start].rfind('\n').map_or(0, |end| end + 1);
                let indentation = yaml[line..start].to_owned();
                yaml.insert_str(start, &format!("engine: pingora\n{indentation}"));
            }
        }
        yaml
    }
}

fn offset(yaml: &str, location: serde_saphyr::Location) -> usize {
    let before = usize::try_from(location.line()).unwrap() - 1;
    let line: usize = yaml.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(location.column()).unwrap() - 1;
    line + yaml[line..].chars().take(column).map(char::len_utf8).sum::<usize>()
}
