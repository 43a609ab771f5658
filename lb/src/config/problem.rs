//! Problems of a configuration, each with its position, collected in one run.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use super::document::{Path, Position};

/// The longest message. What is quoted in it may be anything up to the whole
/// file; the beginning and the advice at the end are kept.
const LONGEST_MESSAGE: usize = 500;

/// The longest word that is compared with known words.
const LONGEST_COMPARED: usize = 64;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing runs with it.
    Error,
    /// Worth a look; everything runs.
    Warning,
}

/// One problem. Its text is `LINE:COL: yaml.path: message`; the file's name is
/// the caller's to put in front.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub position: Position,
    /// What it is about; empty for the file as a whole.
    pub path: Path,
    /// Lower case, one sentence, one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.position.line, self.position.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}

/// All problems found so far.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    known: HashSet<Problem>,
}

impl Problems {
    /// Records an error.
    pub fn error_at(&mut self, position: Position, path: Path, message: impl Into<String>) {
        self.push(Severity::Error, position, path, message.into());
    }

    /// Records a warning.
    pub fn warning_at(&mut self, position: Position, path: Path, message: impl Into<String>) {
        self.push(Severity::Warning, position, path, message.into());
    }

    /// Whether any error was recorded. Warnings do not count.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// In the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.position);
        self.found
    }

    fn push(&mut self, severity: Severity, position: Position, path: Path, message: String) {
        let message = on_one_line(&shortened(&message, LONGEST_MESSAGE));
        let problem = Problem { severity, position, path, message };
        if self.known.insert(problem.clone()) {
            self.found.push(problem);
        }
    }
}

/// `text` with its middle left out when it has more than `most` characters.
pub(super) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    // No text has more characters than bytes.
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let half = most / 2;
    let head: String = text.chars().take(half).collect();
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    let tail: String = tail.into_iter().rev().collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// A problem is one line for whoever reads it by lines, and what an operator
/// copied from somewhere cannot speak to the terminal.
fn on_one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// `; did you mean "x"?` when one of `known` is close to `word`, else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known)
        .map(|candidate| format!("; did you mean \"{candidate}\"?"))
        .unwrap_or_default()
}

/// The one of `known` that `word` was probably meant to be: a few letters off,
/// or cut short (`least_conn`).
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_COMPARED {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['_', '-'], "");
    let word = plain(word);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST_COMPARED)
        .filter_map(|candidate| {
            let plain = plain(candidate);
            let distance = strsim::damerau_levenshtein(&word, &plain);
            // A third of the word may be wrong, and at least one letter.
            let near = distance <= 1.max(word.len().max(plain.len()) / 3);
            let cut_short = word.len() >= 4 && plain.starts_with(&word);
            (near || cut_short).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_close_and_only_that() {
        for (word, expected) in [
            ("lisener", Some("listeners")),
            ("upstream", Some("upstreams")),
            ("Rate-Limits", Some("rate_limits")),
            ("least_conn", Some("least_connections")),
            ("zebra", None),
            ("", None),
        ] {
            let known = ["listeners", "upstreams", "rate_limits", "least_connections"];
            assert_eq!(closest(word, known), expected, "{word}");
        }
        assert_eq!(did_you_mean("method", ["methods"]), "; did you mean \"methods\"?");
        assert_eq!(did_you_mean("zebra", ["methods"]), "");
    }

    #[test]
    fn a_message_is_one_short_line() {
        let mut problems = Problems::default();
        let text = format!("\"{}\n\u{1b}[2J\" is not a rate", "é".repeat(1000));
        problems.error_at(Position::START, Path::default(), text);
        let message = &problems.into_sorted()[0].message;
        assert!(message.chars().count() < 520, "{message}");
        assert!(message.ends_with(r#"é\n\u{1b}[2J" is not a rate"#), "{message}");
    }

    #[test]
    fn the_same_problem_is_reported_once() {
        let mut problems = Problems::default();
        for message in ["a", "b", "a"] {
            problems.error_at(Position::START, Path::default(), message);
        }
        assert_eq!(problems.into_sorted().len(), 2);
    }
}
