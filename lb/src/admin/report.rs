//! What came of a reload: one report, whoever asked for it.

use std::fmt;

use serde::Serialize;

use crate::config::{Problem, Severity};

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// Whether the file is in use now.
    pub outcome: Outcome,
    /// Who asked: `SIGHUP`, `file changed`, `POST /api/reload`.
    pub trigger: &'static str,
    /// The file.
    pub file: String,
    /// When, in seconds since 1970.
    pub time: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it is not in use, beside problems of the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Everything that is to be said of the file; only warnings when it is in use.
    pub problems: Vec<ReportedProblem>,
    /// What is other than before, one line each.
    pub changes: Vec<String>,
    /// What the file says and only a new process can do.
    pub needs_new_process: Vec<String>,
}

/// Whether the file is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is.
    Applied,
    /// Nothing has changed.
    Failed,
}

/// A problem of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedProblem {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// The YAML path; empty for the file as a whole.
    pub path: String,
    /// One sentence.
    pub message: String,
}

impl From<&Problem> for ReportedProblem {
    fn from(problem: &Problem) -> Self {
        let Problem { severity, position, path, message } = problem;
        Self {
            severity: match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: position.line,
            column: position.column,
            path: path.to_string(),
            message: message.clone(),
        }
    }
}

impl ReloadReport {
    /// Whether the file is in use now.
    pub fn is_applied(&self) -> bool {
        self.outcome == Outcome::Applied
    }
}

/// As `lb check` writes it.
impl fmt::Display for ReportedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, line, column, path, message } = self;
        write!(f, "{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        if *severity == "warning" {
            f.write_str("warning: ")?;
        }
        f.write_str(message)
    }
}
