//! Compiling pieces of configuration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb::compile::{Compiled, compile_text};
use lb::snapshot::Registry;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

/// Where a piece of YAML stands. Lines are those of [`SOUND`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the whole file.
    File,
    /// After everything else, from line 10 on.
    Top,
    /// The content of the listener on line 3.
    Listener,
    /// The content of `tls` of the listener on line 3.
    Tls,
    /// The content of the upstream on line 5.
    Upstream,
    /// The content of a rate limit on line 11, which the route uses.
    Limit,
    /// The first key of the virtual host on line 7.
    Host,
    /// The content of the route on line 9.
    Route,
    /// All routes, from line 9 on.
    Routes,
}

/// What pieces are put into.
pub const SOUND: &str = r#"version: 1
listeners:
  http: { bind: ["127.0.0.1:8080"] }
upstreams:
  api: { endpoints: [{ address: "127.0.0.1:9001" }] }
virtual_hosts:
  - hosts: ["*"]
    routes:
      - { match: { path_prefix: / }, upstream: api }
"#;

impl Place {
    /// The file with `piece` in it.
    fn file_with(self, piece: &str) -> String {
        let replace = |line: usize, text: String| {
            let mut lines: Vec<&str> = SOUND.lines().collect();
            lines[line - 1] = &text;
            lines.join("\n") + "\n"
        };
        match self {
            Self::File => piece.to_owned(),
            Self::Top => format!("{SOUND}{piece}\n"),
            Self::Listener => replace(3, format!("  http: {{ {piece} }}")),
            Self::Tls => {
                replace(3, format!("  http: {{ bind: [\"127.0.0.1:8443\"], tls: {{ {piece} }} }}"))
            }
            Self::Upstream => replace(5, format!("  api: {{ {piece} }}")),
            Self::Limit => {
                let route =
                    "      - { match: { path_prefix: / }, upstream: api, rate_limits: [a] }";
                replace(9, route.to_owned()) + &format!("rate_limits:\n  a: {{ {piece} }}\n")
            }
            Self::Host => replace(7, format!("  - {piece}")),
            Self::Route => replace(9, format!("      - {{ {piece} }}")),
            Self::Routes => replace(9, piece.to_owned()),
        }
    }
}

/// Asserts that each piece, put into its place, is refused with these problems
/// and no others. Reports every piece that differs.
#[track_caller]
pub fn problems_of(place: Place, table: &[(&str, &[&str])]) {
    let directory = certificates();
    let mut differences = String::new();
    for (piece, expected) in table {
        let compiled = compile_in(&place.file_with(piece), directory.path());
        let found = problems(&compiled, directory.path());
        if found != *expected || compiled.snapshot.is_some() {
            let _ = writeln!(differences, "{piece}\n  expected {expected:#?}\n  found {found:#?}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// Compiles a whole file; the certificates of the tests stand beside it.
pub fn compile(text: &str) -> (Compiled, Vec<String>) {
    let directory = certificates();
    let compiled = compile_in(text, directory.path());
    let problems = problems(&compiled, directory.path());
    (compiled, problems)
}

/// Compiles `text` as if it stood in `directory`. No variable is set but
/// `LB_UPSTREAM`.
pub fn compile_in(text: &str, directory: &Path) -> Compiled {
    let variables = |name: &str| (name == "LB_UPSTREAM").then(|| "api".to_owned());
    compile_text(text, directory, &variables, &Registry::default())
}

fn problems(compiled: &Compiled, directory: &Path) -> Vec<String> {
    let prefix = format!("{}/", directory.display());
    compiled.problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

/// A directory with an authority (`ca.pem`), a certificate with its key (`a.pem`,
/// `a.key`), another key (`b.key`), the first key under a password
/// (`encrypted.key`), and `text.pem`, which is something else.
pub fn certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (a, b) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(file("ca.pem"), authority.self_signed(&b).unwrap().pem()).unwrap();
    std::fs::write(file("a.pem"), leaf.self_signed(&a).unwrap().pem()).unwrap();
    std::fs::write(file("a.key"), a.serialize_pem()).unwrap();
    std::fs::write(file("b.key"), b.serialize_pem()).unwrap();
    std::fs::write(file("text.pem"), "not a certificate\n").unwrap();
    let encrypted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-passout", "pass:secret"])
        .arg("-in")
        .arg(file("a.key"))
        .arg("-out")
        .arg(file("encrypted.key"))
        .output()
        .expect("openssl is installed");
    assert!(encrypted.status.success(), "{encrypted:?}");
    directory
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
