//! What may be found where the configuration was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Blocking;

use serde_json::Value;
use tokio::process::Command;

use crate::scene::{Yaml, ask, origin, start};
use crate::support::{Lb, RawConnection};

fn message(report: &Value) -> &str {
    report["problems"][0]["message"].as_str().unwrap_or_default()
}

fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_lies_there_nobody_is_dropped() {
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin).to_string();
    let lb = start(&Yaml::new(&origin)).await;
    let config = lb.path("lb.yaml");
    let mut open = RawConnection::open(lb.address("http")).await;
    let half = Lb::written(&yaml);
    let half = half[..half.len() * 2 / 3].to_owned();
    type Lay<'l> = &'l dyn Fn(&Path);
    let cases: [(&str, Lay<'_>, &str); 10] = [
        ("an empty file", &|path| fs::write(path, "").unwrap(), ""),
        ("blanks", &|path| fs::write(path, "  \n\n").unwrap(), ""),
        ("nothing", &|_| {}, "cannot be read: No such file"),
        ("a directory", &|path| fs::create_dir(path).unwrap(), "cannot be read: Is a directory"),
        (
            "not UTF-8",
            &|path| fs::write(path, b"version: 1\n# \xff\xfe\n").unwrap(),
            "not UTF-8 text, from byte 13 on",
        ),
        ("NUL bytes", &|path| fs::write(path, [0; 4096]).unwrap(), ""),
        (
            "depths",
            &|path| {
                fs::write(path, format!("a: {}{}", "{a: ".repeat(1500), "}".repeat(1500))).unwrap()
            },
            "nested",
        ),
        ("half a file", &|path| fs::write(path, &half).unwrap(), ""),
        (
            "a loop of links",
            &|path| std::os::unix::fs::symlink("lb.yaml", path).unwrap(),
            "cannot be read",
        ),
        ("another version", &|path| fs::write(path, "version: 9\nlisteners: {}\n").unwrap(), ""),
    ];
    for (number, (what, lay, expected)) in cases.into_iter().enumerate() {
        clear(&config);
        lay(&config);
        let report = lb.hup().await;
        assert_eq!(report["outcome"], "failed", "{what}: {report:#}");
        assert!(!message(&report).is_empty(), "{what}: {report:#}");
        assert!(message(&report).contains(expected), "{what}: {report:#}");
        assert!(report["problems"][0]["line"].as_u64() >= Some(1), "{what}: {report:#}");
        ask(&mut open, "a.test", "/", "x").await;
        let failed = lb.metric("lb_config_reloads_total", &["outcome=\"failed\""]).await;
        assert_eq!(failed, (number + 1) as f64);
    }
    clear(&config);
    lb.reload(&yaml).await;
    ask(&mut open, "a.test", "/", "x").await;
}

/// What is named in the file is no better than the file.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_missing_or_wrong_change_nothing() {
    let (origin, _) = origin("x").await;
    let mut yaml = Yaml::new(&origin);
    let lb = start(&yaml).await;
    let mut open = RawConnection::open(lb.address("http")).await;
    for (cert, key) in [("gone.pem", "api.key"), ("api.pem", "www.key"), ("lb.yaml", "api.key")] {
        let tls = format!("tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }}");
        yaml.listener("https", &format!("{}, {tls}", crate::scene::ANY_PORT));
        let report = lb.reload_fails(&yaml.to_string()).await;
        let path = report["problems"][0]["path"].as_str().unwrap();
        assert!(path.starts_with("listeners.https.tls.certificates[0]"), "{report:#}");
        ask(&mut open, "a.test", "/", "x").await;
    }
}

fn is_root() -> bool {
    let output = Blocking::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// Root may read everything, so for root's tests `lb` is somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_changes_nothing() {
    let program = env!("CARGO_BIN_EXE_lb");
    let command = if is_root() {
        let drop = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut other = Command::new("setpriv");
        other.args(drop).arg(program);
        let may_run = Blocking::new("setpriv").args(drop).args([program, "--version"]).output();
        if !may_run.is_ok_and(|output| output.status.success()) {
            eprintln!("not tested: nobody may not run {program}, or there is no setpriv");
            return;
        }
        other
    } else {
        Command::new(program)
    };
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin).to_string();
    let lb = Lb::start_through(command, &yaml).await;
    let mut open = RawConnection::open(lb.address("http")).await;
    let config = lb.path("lb.yaml");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o000)).unwrap();
    let report = lb.hup().await;
    assert_eq!(report["outcome"], "failed", "{report:#}");
    assert!(message(&report).contains("Permission denied"), "{report:#}");
    ask(&mut open, "a.test", "/", "x").await;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(lb.hup().await["outcome"], "applied");
    ask(&mut open, "a.test", "/", "x").await;
}

/// A pipe that nobody writes to: opening it would wait for ever, and with it every
/// later reload and every signal.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_no_file() {
    let (origin, _) = origin("x").await;
    let yaml = Yaml::new(&origin).to_string();
    let mut lb = start(&Yaml::new(&origin)).await;
    let config = lb.path("lb.yaml");
    clear(&config);
    assert!(Blocking::new("mkfifo").arg(&config).status().unwrap().success());
    let report = lb.hup().await;
    assert_eq!(report["outcome"], "failed", "{report:#}");
    clear(&config);
    lb.reload(&yaml).await;
    lb.signal("TERM");
    assert_eq!(lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_never_taken_for_a_socket_that_was_left_over() {
    let (origin, _) = origin("x").await;
    let lb = start(&Yaml::new(&origin)).await;
    let precious = lb.path("precious");
    fs::write(&precious, "data").unwrap();
    let address = format!("\"unix:{}\"", precious.display());
    let mut listener = Yaml::new(&origin);
    listener.listener("more", &format!("bind: [{address}]"));
    let mut admin = Yaml::new(&origin);
    admin.top("admin", &format!("{{ address: {address} }}"));
    for yaml in [listener, admin] {
        let report = lb.reload_fails(&yaml.to_string()).await;
        assert!(report["error"].as_str().unwrap().contains("in use"), "{report:#}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    }
    // A socket that nobody listens at is.
    let left_over = lb.path("left-over");
    drop(std::os::unix::net::UnixListener::bind(&left_over).unwrap());
    let mut yaml = Yaml::new(&origin);
    yaml.listener("more", &format!("bind: [\"unix:{}\"]", left_over.display()));
    lb.reload(&yaml.to_string()).await;
}

fn pipe(path: &Path) {
    assert!(Blocking::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_is_refused() {
    let (origin, _) = origin("x").await;
    let lb = start(&Yaml::new(&origin)).await;
    let log = lb.path("log.pipe");
    pipe(&log);
    let mut yaml = Yaml::new(&origin);
    yaml.top("access_log", &format!("{{ path: \"{}\" }}", log.display()));
    let report = lb.reload_fails(&yaml.to_string()).await;
    assert!(report["error"].as_str().unwrap().contains("cannot be opened"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_waited_for_makes_nobody_deaf() {
    let (origin, _) = origin("x").await;
    let mut lb = start(&Yaml::new(&origin)).await;
    pipe(&lb.path("never.pem"));
    let mut yaml = Yaml::new(&origin);
    yaml.listener(
        "https",
        r#"bind: ["127.0.0.1:0"], tls: { certificates: [{ cert: never.pem, key: api.key }] }"#,
    );
    lb.rewrite(&yaml.to_string());
    lb.signal("HUP");
    // It waits for the certificate, and serves and hears meanwhile.
    let mut open = RawConnection::open(lb.address("http")).await;
    ask(&mut open, "a", "/", "x").await;
    lb.signal("TERM");
    assert_eq!(lb.exit_code().await, Some(0));
}
