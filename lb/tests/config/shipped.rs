//! The files that operators copy.

use std::process::Command;

use lb::compile::compile_file;
use lb::snapshot::Registry;

use crate::support::repository;

#[test]
fn every_shipped_configuration_is_sound() {
    let root = repository();
    // They name the certificates of certs/dev; the script keeps good ones.
    let made = Command::new(root.join("certs/make-dev.sh")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("config")).unwrap() {
        let path = entry.unwrap().path();
        let ours = path.extension().is_some_and(|extension| extension == "yaml")
            && std::fs::read_to_string(&path).unwrap().lines().any(|line| line == "listeners:");
        // What else stands there belongs to Prometheus, Grafana and so on.
        if !ours {
            continue;
        }
        let compiled = compile_file(&path, &Registry::default());
        let problems: Vec<_> = compiled.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, [""; 0], "{}", path.display());
        assert!(compiled.snapshot.is_some());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for name in ["demo.yaml", "lb.yaml", "load-test.yaml"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing from {names:?}");
    }
}
