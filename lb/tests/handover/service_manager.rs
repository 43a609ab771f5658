//! Under systemd, as far as a process sees of it; and as process 1 of a container.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::family::{Family, gone, yaml};
use crate::support::{Client, Lb, Origin, RawConnection, eventually};

/// What a service manager hears.
struct Notices(UnixDatagram);

impl Notices {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// The next notice that says this.
    async fn hear(&self, text: &str) -> String {
        eventually(&format!("a notice of {text}"), || {
            let mut buffer = [0; 4096];
            let length = self.0.recv(&mut buffer).ok()?;
            let heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heard.contains(text).then_some(heard)
        })
        .await
    }
}

/// Opens a listening socket as descriptor 3 and gives its place to a program, as
/// systemd does with socket activation.
const ACTIVATE: &str = r#"
import os, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="lb.socket")
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_the_service_manager_is_used() {
    let origin = Origin::named("served").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let text = yaml(&origin).replacen("127.0.0.1:0", &address.to_string(), 1);
    let mut python = Command::new("python3");
    python.args(["-c", ACTIVATE, &address.port().to_string(), env!("CARGO_BIN_EXE_lb")]);
    let lb = Lb::launch_as(&text, python).await;
    lb.ready().await;
    for _ in 0..8 {
        let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert!(RawConnection::exchange(address, get).await.ends_with("served"));
    }
    assert!(!lb.log().contains("is no listener's"), "{}", lb.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_no_listener_names_is_closed_with_a_word() {
    let origin = Origin::named("served").await;
    let mut python = Command::new("python3");
    python.args(["-c", ACTIVATE, "0", env!("CARGO_BIN_EXE_lb")]);
    let lb = Lb::launch_as(&yaml(&origin), python).await;
    lb.logged("is no listener's; it is closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told() {
    let origin = Origin::named("x").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let notices = Notices::at(&path);
    let mut lb = Command::new(env!("CARGO_BIN_EXE_lb"));
    lb.env("NOTIFY_SOCKET", &path);
    let mut lb = Lb::launch_as(&yaml(&origin), lb).await;
    notices.hear("READY=1").await;
    lb.signal("HUP");
    assert!(notices.hear("RELOADING=1").await.contains("MONOTONIC_USEC="));
    notices.hear("READY=1").await;
    lb.signal("TERM");
    notices.hear("STOPPING=1").await;
    assert_eq!(lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_who_takes_over() {
    let origin = Origin::named("x").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let notices = Notices::at(&path);
    let family = Family::start_notifying(&yaml(&origin), &path).await;
    notices.hear("READY=1").await;
    let old = family.pid().unwrap();
    let new = family.hand_over().await;
    notices.hear(&format!("MAINPID={new}")).await;
    gone(old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn process_1_hands_nothing_over_and_drains_when_told() {
    let origin = Origin::named("served").await;
    let text = yaml(&origin).replace("drain_timeout: 20s", "delay: 1500ms, drain_timeout: 20s");
    // A PID namespace of its own, as a container has; with one of users where that
    // is what it takes.
    let mut unshare = Command::new("unshare");
    let us = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    if us != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_lb")]);
    let mut lb = Lb::launch_as(&text, unshare).await;
    lb.ready().await;
    // unshare waits for its child, which is process 1 in there.
    let pid = eventually("process 1", || {
        let task = format!("/proc/{0}/task/{0}/children", lb.pid());
        std::fs::read_to_string(task).ok()?.trim().parse::<u32>().ok()
    });
    let pid = pid.await;
    crate::family::signal(pid, "USR2");
    lb.logged("process 1 cannot hand over").await;
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "served");

    crate::family::signal(pid, "TERM");
    lb.logged("stopping").await;
    let ready = Client::plain().get(&format!("http://{}/readyz", lb.status)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let response = Client::unpooled().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "served", "until the delay is over");
    assert_eq!(lb.exit_code().await, Some(0));
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The value of a key of a unit, as it stands in the file.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_that_is_shipped_says_what_the_program_understands() {
    let unit = include_str!("../../../config/systemd/lb.service");
    assert_eq!(values(unit, "Type"), ["notify"]);
    let commands: Vec<_> = ["ExecStart", "ExecReload"]
        .iter()
        .flat_map(|key| values(unit, key))
        .filter_map(|line| line.strip_prefix("/usr/local/bin/"))
        .collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let words = command.split_whitespace();
        <lb::cli::Arguments as clap::Parser>::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    // The defaults of shutdown.delay and shutdown.drain_timeout.
    let stop: u64 = values(unit, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > 30, "{stop}");
}
