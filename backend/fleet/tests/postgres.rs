//! PostgreSQL with replicas: writes arrive, servers fail and come back, nothing is left.

use std::path::Path;

use fleet::postgres::{Postgres, Server};

const REPLICA: Server = Server::Replica(1);

#[test]
fn a_write_is_read_on_every_replica() {
    let mut postgres = Postgres::for_test(2).unwrap();
    postgres
        .sql(Server::Primary, "CREATE TABLE t (n int, s text); INSERT INTO t VALUES (1, 'one')")
        .unwrap();
    postgres.wait_for_replay().unwrap();
    for replica in postgres.replicas() {
        assert_eq!(postgres.sql(replica, "SELECT * FROM t").unwrap(), "1|one");
        let error = postgres.sql(replica, "INSERT INTO t VALUES (2, 'two')").unwrap_err();
        assert!(error.to_string().contains("read-only transaction"), "{error}");
    }
    // As in config/postgresql/postgresql.conf.
    assert_eq!(postgres.sql(REPLICA, "SHOW max_connections").unwrap(), "200");
    assert_eq!(postgres.sql(REPLICA, "SHOW hot_standby_feedback").unwrap(), "on");
}

#[test]
fn a_replica_that_was_killed_catches_up() {
    let mut postgres = Postgres::for_test(1).unwrap();
    postgres.sql(Server::Primary, "CREATE TABLE t (n int)").unwrap();
    postgres.kill(REPLICA).unwrap();
    assert!(postgres.sql(REPLICA, "SELECT 1").is_err());
    postgres.sql(Server::Primary, "INSERT INTO t VALUES (7)").unwrap();

    postgres.restart(REPLICA).unwrap();
    postgres.wait_for_replay().unwrap();
    assert_eq!(postgres.sql(REPLICA, "SELECT n FROM t").unwrap(), "7");
}

#[test]
fn a_primary_that_was_killed_keeps_what_it_had() {
    let mut postgres = Postgres::for_test(1).unwrap();
    postgres.sql(Server::Primary, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").unwrap();
    postgres.kill(Server::Primary).unwrap();
    assert_eq!(postgres.sql(REPLICA, "SELECT 1").unwrap(), "1");

    postgres.restart(Server::Primary).unwrap();
    postgres.wait_for_replicas().unwrap();
    postgres.sql(Server::Primary, "INSERT INTO t VALUES (2)").unwrap();
    postgres.wait_for_replay().unwrap();
    assert_eq!(postgres.sql(REPLICA, "SELECT sum(n) FROM t").unwrap(), "3");
}

#[test]
fn a_wrong_password_is_refused() {
    let postgres = Postgres::for_test(0).unwrap();
    let port = postgres.address(Server::Primary).unwrap().port();
    let uri = format!("postgresql://fastnext:wrong@127.0.0.1:{port}/fastnext");
    let output =
        std::process::Command::new("psql").args([&uri, "-c", "SELECT 1"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("password authentication failed"), "{said}");
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let postgres = Postgres::for_test(1).unwrap();
    let directory = postgres.password_file().parent().unwrap().to_owned();
    let pids: Vec<u32> = [Server::Primary, REPLICA]
        .into_iter()
        .map(|server| postgres.pid(server).unwrap().unwrap())
        .collect();
    assert!(pids.iter().all(|&pid| runs(pid)));
    drop(postgres);
    assert!(!pids.iter().any(|&pid| runs(pid)));
    assert!(!directory.exists());
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
