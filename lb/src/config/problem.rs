//! Problems of a configuration, each with its position, collected in one run.

use std::fmt;

use super::document::{Path, Position};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs with it.
    Error,
    /// Worth a look; everything runs.
    Warning,
}

/// One problem. Its text is `LINE:COL: yaml.path: message`; the file's name is
/// the caller's to put in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub position: Position,
    /// What it is about; empty for the file as a whole.
    pub path: Path,
    /// Lower case, one sentence.
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

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.position);
        self.found
    }

    fn push(&mut self, severity: Severity, position: Position, path: Path, message: String) {
        let problem = Problem { severity, position, path, message };
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }
}

/// ` (did you mean "x"?)` when one of `known` is close to `word`, else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate)
        })
        // A third of the word may be wrong, and at least one letter.
        .filter(|(distance, candidate)| *distance <= 1.max(word.len().max(candidate.len()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("; did you mean \"{candidate}\"?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn suggests_what_is_close_and_only_that() {
        assert_eq!(
            did_you_mean("lisener", ["listeners", "upstreams"]),
            "; did you mean \"listeners\"?"
        );
        assert_eq!(did_you_mean("method", ["methods", "path"]), "; did you mean \"methods\"?");
        assert_eq!(did_you_mean("zebra", ["listeners", "upstreams"]), "");
    }
}
