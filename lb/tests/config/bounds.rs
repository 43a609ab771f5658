//! Files that are meant to hurt: a problem, soon, and no panic.

use std::time::{Duration, Instant};

use crate::support::{SOUND, compile};

/// Asserts that `text` is refused, soon and with lines that fit a terminal;
/// returns the problems.
#[track_caller]
fn refused_soon(text: &str) -> Vec<String> {
    let start = Instant::now();
    let (compiled, problems) = compile(text);
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    assert!(compiled.has_errors());
    for problem in &problems {
        assert!(problem.chars().count() < 1000, "{} characters", problem.chars().count());
    }
    problems
}

#[test]
fn aliases_that_multiply() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (anchor, alias) in ('b'..='j').zip('a'..) {
        let aliases = vec![format!("*{alias}"); 9].join(", ");
        bomb += &format!("{anchor}: &{anchor} [{aliases}]\n");
    }
    let problems = refused_soon(&bomb);
    assert_eq!(problems, ["7:8: the file is too large: too many values, or aliases that multiply"]);
}

#[test]
fn texts_of_twenty_megabytes() {
    let long = "x".repeat(20_000_000);
    let problems = refused_soon(&format!("{SOUND}workers: {long}\n"));
    assert!(problems[0].starts_with("10:10: workers: expected \"auto\" or a whole number, found"));
    let problems = refused_soon(&format!("{SOUND}shutdown: {{ delay: {long} }}\n"));
    assert_eq!(problems, ["10:20: shutdown.delay: this text of 20000000 bytes is too long"]);
    refused_soon(&format!("{SOUND}{long}: 1\n"));
    refused_soon(&SOUND.replace("upstream: api", &format!("upstream: {long}")));
    refused_soon(&"#".repeat(20_000_000));
}

#[test]
fn a_long_key_does_not_make_a_long_line() {
    let long = "x".repeat(900);
    let problems = refused_soon(&format!("{SOUND}{long}: 1\n"));
    assert!(problems[0].starts_with("10:1: xxxxx"), "{problems:?}");
}

#[test]
fn deep_nesting() {
    for text in [
        "[".repeat(100_000),
        format!("a: {}{}", "[".repeat(1_500), "]".repeat(1_500)),
        format!("a: {}{}", "{a: ".repeat(1_500), "}".repeat(1_500)),
        "- ".repeat(5_000) + "a",
        (0..1_500).map(|depth| " ".repeat(depth) + "a:\n").collect(),
    ] {
        let problems = refused_soon(&text);
        assert!(problems[0].contains("nested"), "{problems:?}");
    }
}

#[test]
fn very_many_problems() {
    let keys: String = (0..20_000).map(|key| format!("key{key}: 1\n")).collect();
    assert_eq!(refused_soon(&format!("{SOUND}{keys}")).len(), 20_000);
    assert_eq!(refused_soon(&format!("{SOUND}{}", "key: 1\n".repeat(20_000))).len(), 20_000);
    let items = "1, ".repeat(20_000);
    assert_eq!(
        refused_soon(&format!("{SOUND}client_ip: {{ trusted_proxies: [{items}] }}")).len(),
        20_000
    );
}

#[test]
fn a_problem_is_one_line_whatever_was_quoted() {
    let problems = refused_soon(&SOUND.replace("\"*\"", r#""a\nb\e[2J""#));
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].contains(char::is_control), "{problems:?}");
}
