//! New processes that come to nothing: the old one goes on.

use std::time::Duration;

use crate::family::{Family, yaml};
use crate::support::{Client, Origin, RawConnection, eventually};

/// The old process has given up on the new one, and nothing was lost.
async fn goes_on(family: &Family, connection: &mut RawConnection, why: &str) {
    let line = family.lb.logged("not handed over").await;
    assert!(line.contains(why), "{line}");
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    connection.read_until("served").await;
    assert_eq!(Client::unpooled().text(&family.lb.url("/")).await, "served");
    assert_eq!(family.pid(), Some(family.lb.pid()));
    assert_eq!(family.lb.metric("lb_handover_last_successful", &[]).await, 0.0);
    assert_eq!(children_of(family.lb.pid()), 0, "nobody is left behind");
    // And when there is a good one, it takes over.
    family.restore_program();
    let old = family.ask();
    eventually("another process to serve", || family.pid().filter(|pid| *pid != old)).await;
    assert_eq!(Client::unpooled().text(&family.lb.url("/")).await, "served");
}

fn children_of(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let children = std::fs::read_to_string(task.unwrap().path().join("children"));
            children.unwrap_or_default().split_whitespace().count()
        })
        .sum()
}

async fn scene(patience: &str) -> (Origin, Family, RawConnection) {
    let origin = Origin::named("served").await;
    let text =
        yaml(&origin).replace("handover_timeout: 20s", &format!("handover_timeout: {patience}"));
    let family = Family::start(&text).await;
    let mut connection = RawConnection::open(family.lb.address("http")).await;
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    connection.read_until("served").await;
    (origin, family, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_crashes() {
    let (_origin, family, mut connection) = scene("20s").await;
    family.replace_program("#!/bin/sh\nkill -SEGV $$\n");
    family.ask();
    goes_on(&family, &mut connection, "ended before it was ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs() {
    let (_origin, family, mut connection) = scene("1s").await;
    family.replace_program("#!/bin/sh\nexec sleep 1000\n");
    family.ask();
    goes_on(&family, &mut connection, "said nothing for 1 s and was killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_talks_nonsense() {
    let (_origin, family, mut connection) = scene("20s").await;
    family.replace_program("#!/bin/sh\necho ready >&0\nexec sleep 1000\n");
    family.ask();
    goes_on(&family, &mut connection, "could not be talked to").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there() {
    let (_origin, family, mut connection) = scene("20s").await;
    family.remove_program();
    family.ask();
    goes_on(&family, &mut connection, "cannot be started").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_the_configuration() {
    let (_origin, family, mut connection) = scene("20s").await;
    let good = std::fs::read_to_string(family.config()).unwrap();
    std::fs::write(family.config(), format!("{good}\noops: 1\n")).unwrap();
    family.ask();
    family.lb.logged("oops: unknown key").await;
    family.lb.logged("not handed over").await;
    std::fs::write(family.config(), good).unwrap();
    goes_on(&family, &mut connection, "ended before it was ready, with exit status: 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_address_is_taken() {
    let (_origin, family, mut connection) = scene("20s").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let good = std::fs::read_to_string(family.config()).unwrap();
    let more = format!("listeners:\n  taken: {{ bind: [\"{}\"] }}", taken.local_addr().unwrap());
    std::fs::write(family.config(), good.replacen("listeners:", &more, 1)).unwrap();
    family.ask();
    family.lb.logged("not handed over").await;
    std::fs::write(family.config(), good).unwrap();
    goes_on(&family, &mut connection, "ended before it was ready, with exit status: 70").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_asked_to_stop_before_it_is_ready() {
    let (_origin, family, mut connection) = scene("20s").await;
    // It says that it is there, and waits.
    let marker = family.pid_file.with_extension("heir");
    family
        .replace_program(&format!("#!/bin/sh\necho $$ > {}\nexec sleep 1000\n", marker.display()));
    family.ask();
    let heir = eventually("the new process", || {
        std::fs::read_to_string(&marker).ok()?.trim().parse::<u32>().ok()
    });
    let heir = heir.await;
    // What comes meanwhile is told to wait, and harms nobody.
    family.ask();
    family.lb.logged("the process is handing over already").await;
    crate::family::signal(family.lb.pid(), "HUP");
    family.lb.logged("a new process is about to take over").await;
    crate::family::signal(heir, "TERM");
    goes_on(&family, &mut connection, "ended before it was ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_takes_the_new_one_along() {
    let (_origin, mut family, _connection) = scene("20s").await;
    let marker = family.pid_file.with_extension("heir");
    family.replace_program(&format!("#!/bin/sh\necho $$ > {}\nexec cat\n", marker.display()));
    family.ask();
    let heir = eventually("the new process", || {
        std::fs::read_to_string(&marker).ok()?.trim().parse::<u32>().ok()
    });
    let heir = heir.await;
    family.lb.signal("INT");
    assert_eq!(family.lb.exit_code().await, Some(0));
    // Its end of the channel is closed: what reads from it comes to an end.
    crate::family::gone(heir).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// An origin whose checks take so long, and nothing else.
async fn slow_to_check(takes: Duration) -> Origin {
    Origin::start(move |request| async move {
        if request.uri().path() == "/slow-check" {
            tokio::time::sleep(takes).await;
        }
        crate::support::respond(200, "served")
    })
    .await
}

/// Another configuration, with which a new process is not ready at once.
fn slow_yaml(family: &Family) -> String {
    let config = std::fs::read_to_string(family.config()).unwrap();
    config.replace("path: /check, interval: 1s", "path: /slow-check, interval: 1h, timeout: 1h")
}

async fn only_child_of(pid: u32) -> u32 {
    eventually("a new process", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        tasks.flatten().find_map(|task| {
            let children = std::fs::read_to_string(task.path().join("children")).ok()?;
            children.trim().parse().ok()
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_old_process_ends_first_ends_with_it() {
    for signal in ["KILL", "TERM"] {
        let origin = slow_to_check(Duration::from_secs(3600)).await;
        let mut family = Family::start(&yaml(&origin)).await;
        std::fs::write(family.config(), slow_yaml(&family)).unwrap();
        let old = family.ask();
        let heir = only_child_of(old).await;
        family.lb.logged("listening listener=http").await;
        crate::family::signal(old, signal);
        family.lb.exit_code().await;
        crate::family::gone(heir).await;
        // Nobody holds the address any more.
        let address = family.lb.address("http");
        eventually(&format!("nobody to hold the address, after {signal}"), || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_meanwhile_is_done_by_the_new_process() {
    let origin = slow_to_check(Duration::from_secs(2)).await;
    let family = Family::start(&yaml(&origin)).await;
    let slow = slow_yaml(&family);
    std::fs::write(family.config(), &slow).unwrap();
    let old = family.ask();
    only_child_of(old).await;
    // The new process has compiled before this.
    eventually("the new process to listen", || {
        let log = family.lb.log();
        (log.matches(" listening listener=https").count() > 1).then_some(())
    })
    .await;
    let gone = slow.replace("path_prefix: /ws", "path_prefix: /gone");
    std::fs::write(family.config(), gone).unwrap();
    crate::family::signal(old, "HUP");
    family.lb.logged("the configuration is read again after that").await;
    eventually("another process to serve", || family.pid().filter(|pid| *pid != old)).await;
    family.lb.logged("configuration reloaded").await;
}
