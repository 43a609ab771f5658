//! No text makes the compiler panic.

use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{certificates, compile_in, repository};

/// `config/lb.yaml` with certificates that exist.
static ORIGINAL: LazyLock<String> = LazyLock::new(|| {
    let text = std::fs::read_to_string(repository().join("config/lb.yaml")).unwrap();
    ["api", "www"]
        .iter()
        .fold(text, |text, name| text.replace(&format!("../certs/dev/{name}."), "a."))
});

/// Made once for all cases, and left for the system to clean up.
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(certificates);

/// A change to the lines of a file; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Change {
    Delete { line: usize },
    Repeat { line: usize, at: usize },
    Replace { line: usize, column: usize, with: char },
    Insert { line: usize, column: usize, text: String },
    Indent { line: usize, by: usize },
}

impl Change {
    fn apply(&self, lines: &mut Vec<String>) {
        let count = lines.len().max(1);
        let place = |line: &String, column: usize| {
            line.char_indices().nth(column % (line.chars().count() + 1)).map_or(line.len(), |c| c.0)
        };
        match self {
            Self::Delete { line } if lines.len() > 1 => drop(lines.remove(line % count)),
            Self::Delete { .. } => {}
            Self::Repeat { line, at } => {
                let repeated = lines[line % count].clone();
                lines.insert(at % count, repeated);
            }
            Self::Replace { line, column, with } => {
                let line = &mut lines[line % count];
                let at = place(line, *column);
                if at < line.len() {
                    line.remove(at);
                }
                line.insert(at, *with);
            }
            Self::Insert { line, column, text } => {
                let line = &mut lines[line % count];
                let at = place(line, *column);
                line.insert_str(at, text);
            }
            Self::Indent { line, by } => {
                let line = &mut lines[line % count];
                line.insert_str(0, &" ".repeat(*by));
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let anywhere = 0_usize..10_000;
    prop_oneof![
        anywhere.clone().prop_map(|line| Change::Delete { line }),
        (anywhere.clone(), anywhere.clone()).prop_map(|(line, at)| Change::Repeat { line, at }),
        (anywhere.clone(), anywhere.clone(), prop_oneof![any::<char>(), "[ -~]".prop_map(first)])
            .prop_map(|(line, column, with)| Change::Replace { line, column, with }),
        (
            anywhere.clone(),
            anywhere.clone(),
            prop_oneof![
                "[ -~]{0,6}",
                Just("${".to_owned()),
                Just("${A:-}".to_owned()),
                Just("&a ".to_owned()),
                Just("*a".to_owned()),
                Just("<<: ".to_owned()),
                Just("!!binary ".to_owned()),
                Just("\u{feff}".to_owned()),
                Just("1e999".to_owned()),
                Just("-170141183460469231731687303715884105729".to_owned())
            ]
        )
            .prop_map(|(line, column, text)| Change::Insert { line, column, text }),
        (anywhere, 1_usize..4).prop_map(|(line, by)| Change::Indent { line, by }),
    ]
}

fn first(text: String) -> char {
    text.chars().next().unwrap_or(' ')
}

fn compile_and_look(text: &str) -> Result<(), TestCaseError> {
    let compiled = compile_in(text, DIRECTORY.path());
    prop_assert_eq!(compiled.snapshot.is_none(), compiled.has_errors());
    let lines = text.lines().count() as u64 + 1;
    let mut last = None;
    for problem in &compiled.problems {
        let position = problem.position;
        prop_assert!(position.line >= 1 && position.column >= 1, "{}", problem);
        prop_assert!(position.line <= lines, "{} of {} lines", problem, lines);
        prop_assert!(last <= Some(position), "in the order of the file: {}", problem);
        prop_assert!(!problem.to_string().contains(char::is_control), "{}", problem);
        last = Some(position);
    }
    Ok(())
}

#[test]
fn the_original_is_sound() {
    let compiled = compile_in(&ORIGINAL, DIRECTORY.path());
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_never_panics(changes in prop::collection::vec(change(), 1..8)) {
        let mut lines: Vec<String> = ORIGINAL.lines().map(str::to_owned).collect();
        for change in &changes {
            change.apply(&mut lines);
        }
        compile_and_look(&(lines.join("\n") + "\n"))?;
    }

    #[test]
    fn any_text_never_panics(text in "([ -~\n\t]|[{}\\[\\]:,#&*!|>'\"%@`-]|\\PC){0,80}") {
        compile_and_look(&text)?;
    }
}
