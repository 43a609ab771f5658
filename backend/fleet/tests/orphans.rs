//! Servers end with the process that started them, however that ends.

#![expect(clippy::unwrap_used, reason = "clippy does not take the helpers of tests for tests")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleet::postgres::{Postgres, Server};
use fleet::redis::{NODES, RedisCluster};

/// Set for the run of this test that is killed.
const VICTIM: &str = "FLEET_TEST_VICTIM";
const PIDS: &str = "servers:";

#[test]
fn servers_end_with_a_process_that_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        be_the_victim();
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers_end_with_a_process_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let pids: Vec<u32> = output
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.split_once(PIDS).map(|(_, pids)| pids.to_owned()))
        .expect("the victim starts its servers")
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2 + NODES);
    assert!(pids.iter().all(|&pid| runs(pid)));

    // SIGKILL: nothing of its own runs any more.
    victim.kill().unwrap();
    victim.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while pids.iter().any(|&pid| runs(pid)) {
        assert!(Instant::now() < deadline, "still there after 30 s: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }

    // What it left behind goes when the next one comes.
    let prefix = format!("fleet-of-{}-", victim.id());
    assert!(is_in_temporary_files(&prefix));
    drop(Postgres::for_test(0).unwrap());
    assert!(!is_in_temporary_files(&prefix));
}

/// Starts servers, from a thread that is over before they are, and waits to be killed.
fn be_the_victim() -> ! {
    let start = || {
        (Postgres::for_test(1).unwrap(), RedisCluster::for_test(Duration::from_secs(5)).unwrap())
    };
    let (postgres, redis) = std::thread::spawn(start).join().unwrap();
    let servers = [Server::Primary, Server::Replica(1)];
    let pids = servers.map(|server| postgres.pid(server)).into_iter();
    let pids = pids.chain((1..=NODES).map(|node| redis.pid(node)));
    let pids: Vec<String> = pids.map(|pid| pid.unwrap().unwrap().to_string()).collect();
    println!("{PIDS} {}", pids.join(" "));
    // Its parent never writes: this returns only should that end before it kills us.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}

/// A zombie, which nobody may be there to reap, runs no more.
fn runs(pid: u32) -> bool {
    let mut text = String::new();
    std::fs::File::open(Path::new("/proc").join(pid.to_string()).join("stat"))
        .and_then(|mut file| file.read_to_string(&mut text))
        .is_ok()
        && !text.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"))
}

fn is_in_temporary_files(prefix: &str) -> bool {
    std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(prefix))
}
