//! `lb upgrade`, as operators call it.

use std::process::Output;

use tokio::process::Command;

use crate::family::{Family, gone, yaml};
use crate::support::Origin;

async fn upgrade(pid_file: &std::path::Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lb"));
    command.args(["upgrade", "--pid-file"]).arg(pid_file).args(more).kill_on_drop(true);
    command.output().await.unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_who_serves_now_or_that_nobody_else_does() {
    let origin = Origin::named("x").await;
    let family = Family::start(&yaml(&origin)).await;
    let old = family.pid().unwrap();
    let output = upgrade(&family.pid_file, &[]).await;
    let new = family.pid().unwrap();
    assert_ne!(new, old);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("process {old} has handed over to process {new}\n"));
    gone(old).await;

    family.replace_program("#!/bin/sh\nexit 3\n");
    let said = error(&upgrade(&family.pid_file, &[]).await);
    assert!(said.contains(&format!("process {new} has not handed over and goes on")), "{said}");
    assert_eq!(family.pid(), Some(new));

    family.replace_program("#!/bin/sh\nexec sleep 1000\n");
    let said = error(&upgrade(&family.pid_file, &["--timeout", "1"]).await);
    assert!(said.contains("within 1 s"), "{said}");
    family.restore_program();
}

#[tokio::test]
async fn strangers_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let said = error(&upgrade(&file, &[]).await);
    assert!(said.contains("cannot be read"), "{said}");
    for (text, expected) in [
        ("", "holds no process id"),
        ("-7\n", "holds no process id"),
        ("lb\n", "holds no process id"),
        ("1\n", "process 1 cannot hand over"),
        ("4194303\n", "does not look like \"lb run\""),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = error(&upgrade(&file, &[]).await);
        assert!(said.contains(expected), "{text:?}: {said}");
    }
    let mut stranger = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    std::fs::write(&file, stranger.id().unwrap().to_string()).unwrap();
    let said = error(&upgrade(&file, &[]).await);
    assert!(said.contains("it was left alone"), "{said}");
    assert!(stranger.try_wait().unwrap().is_none());
}
