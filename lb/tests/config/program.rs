//! `lb` as a process: exit codes, and what is said where.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::SOUND;

fn lb(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lb"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const BROKEN: &str = "version: 1\nworkers: 0\nlisteners: {}\nadmin: {}\n";

const PROBLEMS: &str = r#"broken.yaml:2:10: workers: must be from 1 to 1024, found the number 0
broken.yaml:3:1: listeners: there are no listeners; add one under "listeners"
broken.yaml:4:1: admin: the key "address" is missing
"#;

/// An empty directory with a sound file and a broken one.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sound.yaml"), SOUND).unwrap();
    std::fs::write(directory.path().join("broken.yaml"), BROKEN).unwrap();
    directory
}

#[test]
fn check_says_on_stdout_that_a_file_is_sound() {
    let files = files();
    let output = lb(files.path(), &["check", "--config", "sound.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "sound.yaml: the configuration is sound\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn check_prints_every_problem_on_stdout_and_exits_1() {
    let files = files();
    let output = lb(files.path(), &["check", "--config", "broken.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let without_warnings: String =
        text(&output.stdout).split_inclusive('\n').filter(|l| !l.contains(" warning: ")).collect();
    assert_eq!(without_warnings, PROBLEMS);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn warnings_are_printed_and_exit_0() {
    let files = files();
    let unused = format!("{SOUND}rate_limits:\n  login: {{ rate: 5/m }}\n");
    std::fs::write(files.path().join("unused.yaml"), unused).unwrap();
    let output = lb(files.path(), &["check", "--config", "unused.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "unused.yaml:11:3: rate_limits.login: warning: no route uses the rate limit \"login\"\n\
         unused.yaml: the configuration is sound\n"
    );
}

#[test]
fn run_refuses_to_start_with_the_problems_on_stderr() {
    let files = files();
    let output = lb(files.path(), &["run", "--config", "broken.yaml", "--pid-file", "lb.pid"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    for problem in PROBLEMS.lines() {
        assert!(stderr.lines().any(|line| line == problem), "{problem}\nnot in\n{stderr}");
    }
    assert!(stderr.ends_with("lb: not started: the configuration has errors\n"), "{stderr}");
    assert!(!files.path().join("lb.pid").exists());
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_like_others() {
    let files = files();
    std::fs::write(files.path().join("latin1.yaml"), b"version: 1\n# caf\xe9\n").unwrap();
    for (file, expected) in [
        ("none.yaml", "none.yaml:1:1: cannot be read: No such file or directory (os error 2)\n"),
        (
            "latin1.yaml",
            "latin1.yaml:1:1: cannot be read: the file is not UTF-8 text, from byte 16 on\n",
        ),
    ] {
        let output = lb(files.path(), &["check", "--config", file]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(lb(files.path(), &["run", "--config", file]).status.code(), Some(1));
    }
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let files = files();
    let sub = files.path().join("etc");
    std::fs::create_dir(&sub).unwrap();
    let tls = "tls: { certificates: [{ cert: none.pem, key: none.key }] }";
    let listener = format!("\"127.0.0.1:8080\"], {tls}");
    std::fs::write(sub.join("lb.yaml"), SOUND.replace("\"127.0.0.1:8080\"]", &listener)).unwrap();
    let output = lb(files.path(), &["check", "--config", "etc/lb.yaml"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("cert: etc/none.pem cannot be read"), "{stdout}");
}

#[test]
fn wrong_arguments_exit_2() {
    let files = files();
    for arguments in [
        &[][..],
        &["check"],
        &["run"],
        &["chekc", "--config", "sound.yaml"],
        &["check", "--config", "sound.yaml", "--verbose"],
        &["check", "sound.yaml"],
        &["schema", "--config", "sound.yaml"],
    ] {
        let output = lb(files.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage: lb"), "{arguments:?}");
    }
}

#[test]
fn schema_prints_json_with_descriptions() {
    let files = files();
    let output = lb(files.path(), &["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["version"]["type"], "integer");
    let definitions = schema["$defs"].as_object().unwrap();
    assert!(definitions.len() > 20);
    for (name, definition) in definitions {
        assert!(definition["description"].is_string(), "{name}");
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{key}");
        }
    }
    // Editors refuse what we refuse.
    assert!(!text(&output.stdout).contains("\"null\""), "no key may be empty");
}
