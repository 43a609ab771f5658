//! The normal form of a path, in which routes are matched.
//!
//! Unreserved characters are percent-decoded, other escapes upper-cased,
//! `.` and `..` resolved, duplicate slashes merged (RFC 3986 §6.2.2). What is
//! forwarded is still the path that the client sent.
//!
//! Origins read paths in more ways than one. Some decode `%2F`, take `\` for
//! `/`, or cut `;parameters` off a segment, so a path can mean one route to us
//! and another to the origin. Where such a second reading exists,
//! [`NormalPath::alternative`] has it, and the limits of its route are charged
//! too: no spelling of a limited path slips past its limit.

use std::borrow::Cow;

/// A path that can be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'p> {
    /// The normal form; begins with `/` (or is `*`).
    pub path: Cow<'p, str>,
    /// How a more liberal origin may read the same path, when that differs.
    pub alternative: Option<String>,
}

/// The path is refused: a broken escape, an encoded NUL, or a climb above the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path has a broken escape, an encoded NUL, or climbs above the root")]
pub struct BadPath;

/// Normalises `path`, which has no query.
pub fn normalise_path(path: &str) -> Result<NormalPath<'_>, BadPath> {
    if !needs_work(path) {
        return Ok(NormalPath { path: Cow::Borrowed(path), alternative: None });
    }
    let decoded = decode(path, false)?;
    let normal = resolve(&decoded, false)?;
    // Only these can be read in another way.
    let ambiguous = decoded.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b';'));
    let alternative = if ambiguous {
        // The climb above the root that only a liberal reader sees is refused
        // as well: it is an attack or a defect, never a path.
        Some(resolve(&decode(path, true)?, true)?).filter(|alternative| *alternative != normal)
    } else {
        None
    };
    Ok(NormalPath { path: Cow::Owned(normal), alternative })
}

/// Whether a path may differ from its normal form. Almost none does.
fn needs_work(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut after_slash = false;
    for &byte in bytes {
        match byte {
            b'%' | b'\\' | b';' => return true,
            b'/' | b'.' if after_slash => return true,
            _ => after_slash = byte == b'/',
        }
    }
    false
}

/// Decodes unreserved characters, or with `all` every escape.
fn decode(path: &str, all: bool) -> Result<String, BadPath> {
    let bytes = path.as_bytes();
    let mut decoded = String::with_capacity(path.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        if byte != b'%' {
            // Request targets are ASCII; anything else has been refused before.
            decoded.push(char::from(byte));
            index += 1;
            continue;
        }
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(index + 1), digit(index + 2)) else {
            return Err(BadPath);
        };
        let value = (high * 16 + low) as u8;
        if value == 0 {
            return Err(BadPath);
        }
        let unreserved =
            value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~');
        if unreserved || (all && value.is_ascii()) {
            decoded.push(char::from(value));
        } else {
            decoded.push('%');
            decoded.push(char::from(bytes[index + 1]).to_ascii_uppercase());
            decoded.push(char::from(bytes[index + 2]).to_ascii_uppercase());
        }
        index += 3;
    }
    Ok(decoded)
}

/// Resolves dots and merges slashes; with `liberal`, `\` is a slash and what
/// follows `;` in a segment is dropped.
fn resolve(path: &str, liberal: bool) -> Result<String, BadPath> {
    let mut resolved = String::with_capacity(path.len());
    let slash = |c: char| c == '/' || (liberal && c == '\\');
    let mut segments = path.split(slash).peekable();
    // What stands before the first slash is nothing, or this is no path ("*").
    match segments.next() {
        Some("") => {}
        _ => return Ok(path.to_owned()),
    }
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let segment = match segment.split_once(';') {
            Some((name, _)) if liberal => name,
            _ => segment,
        };
        match segment {
            "" | "." => {
                if last {
                    resolved.push('/');
                }
            }
            ".." => {
                let parent = resolved.rfind('/').ok_or(BadPath)?;
                resolved.truncate(parent);
                if last {
                    resolved.push('/');
                }
            }
            name => {
                resolved.push('/');
                resolved.push_str(name);
            }
        }
    }
    if resolved.is_empty() {
        resolved.push('/');
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> String {
        normalise_path(path).unwrap().path.into_owned()
    }

    #[test]
    fn ordinary_paths_are_borrowed() {
        for path in ["/", "/api/v1/users", "/a/", "/a.b/c..d", "/~x/-_", "*"] {
            assert!(matches!(normalise_path(path).unwrap().path, Cow::Borrowed(_)), "{path}");
        }
    }

    #[test]
    fn spellings_of_one_path_are_one() {
        for spelling in [
            "/api/v1/auth/login",
            "//api/v1/auth/login",
            "/api//v1/auth///login",
            "/api/./v1/auth/login",
            "/api/x/../v1/auth/login",
            "/api/v1/auth/%6Cogin",
            "/api/v1/auth/%6cogin",
            "/%61pi/v1/auth/login",
            "/api/v1/%2e/auth/login",
            "/api/v1/x/%2E%2e/auth/login",
        ] {
            assert_eq!(normal(spelling), "/api/v1/auth/login", "{spelling}");
        }
        assert_eq!(normal("/a/b/.."), "/a/");
        assert_eq!(normal("/a/."), "/a/");
        assert_eq!(normal("/a/%2f%3a"), "/a/%2F%3A");
    }

    #[test]
    fn refuses_broken_escapes_nul_and_climbing() {
        for path in
            ["/%", "/%2", "/%zz", "/a%00b", "/..", "/a/../..", "/%2e%2e/x", "/a%2F..%2F..%2F..%2Fx"]
        {
            assert_eq!(normalise_path(path), Err(BadPath), "{path}");
        }
    }

    #[test]
    fn liberal_readings_are_found() {
        for spelling in [
            "/api/v1%2Fauth/login",
            "/api/v1\\auth/login",
            "/api/v1/auth%5clogin",
            "/api/v1/auth/login;x=1",
            "/api/v1;a/auth;b/login",
            "/api/v1/public%2F..%2Fauth/login",
        ] {
            let path = normalise_path(spelling).unwrap();
            assert_eq!(path.alternative.as_deref(), Some("/api/v1/auth/login"), "{spelling}");
        }
        assert_eq!(normalise_path("/a%20b").unwrap().alternative.as_deref(), Some("/a b"));
        assert_eq!(normalise_path("/a//b").unwrap().alternative, None);
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent(path in "/[a-z/.%;\\\\0-9A-F]{0,40}") {
            if let Ok(once) = normalise_path(&path) {
                let twice = normalise_path(&once.path).unwrap();
                prop_assert_eq!(&twice.path, &once.path);
            }
        }

        #[test]
        fn a_normal_path_has_no_dots_or_double_slashes(path in "/[a-c/.%2efEF]{0,40}") {
            if let Ok(normal) = normalise_path(&path) {
                prop_assert!(normal.path.starts_with('/'));
                prop_assert!(!normal.path.contains("//"));
                prop_assert!(normal.path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }
    }
}
