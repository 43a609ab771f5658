//! Where compilation stands: problems by path, names, files.

use std::path::{Path as FilePath, PathBuf};

use crate::config::{Document, Loaded, Node, Path, Position, Problems, Value, did_you_mean};
use crate::values::Span;

/// As many names as an error lists before it only counts.
const LISTED_NAMES: usize = 10;

/// What every part of the compiler needs.
pub(super) struct Context<'c> {
    document: &'c Document,
    written: &'c Document,
    directory: &'c FilePath,
    problems: &'c mut Problems,
}

/// A path of steps, written `at!["upstreams", name, "endpoints", 3]`.
macro_rules! at {
    ($($step:expr),* $(,)?) => {
        [$($crate::config::Step::from($step)),*].into_iter().collect::<$crate::config::Path>()
    };
}
pub(super) use at;

impl<'c> Context<'c> {
    pub(super) fn new(
        loaded: &'c Loaded,
        directory: &'c FilePath,
        problems: &'c mut Problems,
    ) -> Self {
        Self { document: &loaded.document, written: &loaded.written, directory, problems }
    }

    /// Records an error about the value at `path`.
    pub(super) fn error(&mut self, path: Path, message: impl Into<String>) {
        let (position, path) = self.locate(&path);
        self.problems.error_at(position, path, message);
    }

    /// Records a warning about the value at `path`.
    pub(super) fn warn(&mut self, path: Path, message: impl Into<String>) {
        let (position, path) = self.locate(&path);
        self.problems.warning_at(position, path, message);
    }

    /// Records an error about a name that nothing has. Silent when the name is
    /// written but its section is broken: that was reported already.
    pub(super) fn unknown_name(&mut self, path: Path, section: &str, what: &str, name: &str) {
        let whole_section_is_broken =
            self.written.root.key(section).is_some() && self.document.root.key(section).is_none();
        let written = self.written.root.key(section).and_then(|section| section.key(name));
        if whole_section_is_broken || written.is_some() {
            return;
        }
        // As written: a name whose section is broken is still one to point at.
        let known: Vec<&str> = match self.written.root.key(section).map(|section| &section.value) {
            Some(Value::Map(entries)) => entries.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        };
        let hint = did_you_mean(name, known.iter().copied());
        let hint = match (hint.is_empty(), known.len()) {
            (false, _) => hint,
            (true, 0) => format!("; there is none under {section}"),
            (true, 1..=LISTED_NAMES) => format!("; known: {}", known.join(", ")),
            (true, more) => {
                let (listed, more) = (known[..LISTED_NAMES].join(", "), more - LISTED_NAMES);
                format!("; known: {listed} and {more} more")
            }
        };
        self.error(path, format!("there is no {what} \"{name}\"{hint}"));
    }

    /// Whether everything written at `path` and one level below it could be
    /// understood. If not, what seems to be missing there has been reported.
    pub(super) fn is_complete(&self, path: &Path) -> bool {
        self.document.closest(path).0.complete
    }

    /// Records an error about something missing from the value at `path`,
    /// unless it is only missing because it was broken.
    pub(super) fn missing(&mut self, path: Path, message: impl Into<String>) {
        if self.is_complete(&path) {
            self.error(path, message);
        }
    }

    /// Refuses a time in which nothing can happen.
    pub(super) fn positive(&mut self, path: Path, span: Option<Span>, message: &str) {
        if span.is_some_and(|span| span.duration().is_zero()) {
            self.error(path, message);
        }
    }

    /// Whether any error has been found.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.has_errors()
    }

    /// A file named in the configuration: relative to the configuration file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The position and the written path of a value, or of what is closest.
    fn locate(&self, path: &Path) -> (Position, Path) {
        let (node, exact): (&Node, bool) = self.document.closest(path);
        let block = matches!(node.value, Value::Map(_) | Value::List(_));
        let position = if exact && !block { node.position } else { node.key_position };
        (position, node.path.clone())
    }

    /// Where the value at `path` begins, for messages that point elsewhere.
    pub(super) fn line(&self, path: &Path) -> u64 {
        self.document.closest(path).0.key_position.line
    }
}
