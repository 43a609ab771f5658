//! Which requests a route takes, checked.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::context::Context;
use super::reach;
use crate::config::{self, Path};
use crate::policy::{Conditions, PathMatch};
use crate::request::normalise_path;

pub(super) fn path_match(
    written: &config::Match,
    at: &Path,
    context: &mut Context<'_>,
) -> Option<PathMatch> {
    let given: Vec<(&str, &String)> = [
        ("path", &written.path),
        ("path_prefix", &written.path_prefix),
        ("path_regex", &written.path_regex),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value.as_ref()?)))
    .collect();
    let (key, value) = match given.as_slice() {
        [one] => *one,
        [] => {
            context
                .missing(at.clone(), "a match needs \"path\", \"path_prefix\" or \"path_regex\"");
            return None;
        }
        [_, (second, _), ..] => {
            context.error(
                at.join(*second),
                "a match has only one of \"path\", \"path_prefix\" and \"path_regex\"",
            );
            return None;
        }
    };
    let at = at.join(key);
    if key == "path_regex" {
        return match PathMatch::check_regex(value) {
            Ok(()) if reach::matches_no_path(value) => {
                context.error(
                    at,
                    "this route can never match: the expression has to match the whole path, and every path starts with \"/\"",
                );
                None
            }
            Ok(()) => Some(PathMatch::Regex(value.clone())),
            Err(error) => {
                context.error(at, format!("the regular expression does not compile: {error}"));
                None
            }
        };
    }
    let never = if !value.starts_with('/') {
        Some("a path starts with \"/\"")
    } else if value.contains(['?', '#']) {
        Some("a path has no query or fragment; conditions on the query go under \"query\"")
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(
            "a path has no spaces or other scripts; write them percent-encoded, as clients send them",
        )
    } else {
        None
    };
    if let Some(reason) = never {
        context.error(at, format!("\"{value}\" can never match: {reason}"));
        return None;
    }
    match normalise_path(value) {
        Ok(normal) => Some(match key {
            "path" => PathMatch::Exact(normal.path.into_owned()),
            _ => PathMatch::Prefix(normal.path.into_owned()),
        }),
        Err(error) => {
            context.error(at, format!("\"{value}\" can never match: {error}"));
            None
        }
    }
}

pub(super) fn conditions(
    written: &config::Match,
    at: &Path,
    context: &mut Context<'_>,
) -> Option<Conditions> {
    let mut sound = true;
    let mut methods = Vec::new();
    for (index, method) in written.methods.iter().flatten().enumerate() {
        let path = at.join("methods").join(index);
        if method.parse::<http::Method>().is_err() {
            context.error(path, format!("\"{method}\" is not a method"));
            sound = false;
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = method.to_ascii_uppercase();
            context.error(
                path,
                format!("methods are case-sensitive, so \"{method}\" can never match; did you mean \"{upper}\"?"),
            );
            sound = false;
        } else if !methods.contains(method) {
            methods.push(method.clone());
        }
    }
    if written.methods.as_ref().is_some_and(Vec::is_empty) {
        context
            .missing(at.join("methods"), "name at least one method, or leave the key out for all");
        sound = false;
    }
    methods.sort();
    let mut headers: BTreeMap<String, (HeaderName, Vec<u8>)> = BTreeMap::new();
    for (name, value) in &written.headers {
        let path = at.join("headers").join(name.as_str());
        match (name.parse::<HeaderName>(), HeaderValue::try_from(value.as_str())) {
            (Ok(parsed), Ok(value)) => {
                let entry = (parsed.clone(), value.as_bytes().to_vec());
                if headers.insert(parsed.as_str().to_owned(), entry).is_some() {
                    context.error(
                        path,
                        format!("the header \"{name}\" is given twice; names are case-insensitive"),
                    );
                    sound = false;
                }
            }
            (Err(_), _) => {
                context.error(path, format!("\"{name}\" is not a header name"));
                sound = false;
            }
            (_, Err(_)) => {
                context.error(path, "a header value has no line breaks or control characters");
                sound = false;
            }
        }
    }
    let query = written.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    sound.then(|| Conditions { methods, headers: headers.into_values().collect(), query })
}
