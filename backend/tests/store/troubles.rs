//! Servers that lose what they had, hang in the middle, or are slow for a reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::domain::UserChanges;
use backend::store::{Position, PostgresSettings, StoreError, UserStore};
use fleet::postgres::Server;
use nix::sys::signal::Signal;
use sqlx::{Connection, Executor};

use crate::support::{
    MAX_LAG, connect, ends, eventually, halt, open, read_often, server, servers, settings, status,
    user,
};

const ONE: Server = Server::Replica(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_comes_back_with_less_is_not_taken_for_what_it_was() {
    let mut postgres = servers();
    let max_replica_lag = Duration::from_secs(600);
    let store = open(&PostgresSettings { max_replica_lag, ..settings(&postgres) }).await;
    store.create(user(1)).await.unwrap();
    // Up to here it has everything on disk.
    postgres.admin_sql(Server::Primary, "CHECKPOINT").unwrap();
    postgres.wait_for_replay().unwrap();
    postgres.admin_sql(ONE, "CHECKPOINT").unwrap();

    let written = store.create(user(2)).await.unwrap();
    postgres.wait_for_replay().unwrap();
    read_often(&store, written.value.id, written.position).await;

    // It crashes, and does not replay the rest for a while.
    postgres.admin_sql(ONE, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'").unwrap();
    postgres.kill(ONE).unwrap();
    status(&store, "replica 1 is down", |status| !server(status, "replica-1").is_up).await;
    postgres.restart(ONE).unwrap();
    let users = postgres.sql(ONE, "SELECT count(*) FROM users").unwrap();
    assert_eq!(users.trim(), "1", "it has come back with less");
    status(&store, "replica 1 is back", |status| server(status, "replica-1").takes_reads).await;
    read_often(&store, written.value.id, written.position).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_primary_told_nobody_takes_no_replica_away() {
    let mut postgres = servers();
    let max_replica_lag = 3 * MAX_LAG;
    let store = open(&PostgresSettings { max_replica_lag, ..settings(&postgres) }).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();

    for replica in postgres.replicas() {
        postgres.admin_sql(replica, "ALTER SYSTEM SET primary_conninfo = ''").unwrap();
        postgres.admin_sql(replica, "SELECT pg_reload_conf()").unwrap();
    }
    status(&store, "nothing is received", |status| status.replicas().all(|it| !it.is_streaming))
        .await;
    store.create(user(2)).await.unwrap();
    status(&store, "it is missing", |status| {
        status.replicas().all(|it| it.lag.is_some_and(|lag| lag > Duration::ZERO))
    })
    .await;
    postgres.kill(Server::Primary).unwrap();

    let killed_at = Instant::now();
    while killed_at.elapsed() < max_replica_lag + MAX_LAG {
        let status = store.status().await;
        assert!(status.can_read(), "{status:?}");
        read_often(&store, written.value.id, Position::START).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_in_the_middle_keeps_no_connection() {
    let postgres = servers();
    let settings = PostgresSettings { replicas: Vec::new(), ..settings(&postgres) };
    let store = Arc::new(open(&settings).await);
    let id = store.create(user(1)).await.unwrap().value.id;

    let mut holder = connect(&settings).await;
    holder.execute("BEGIN; LOCK TABLE users").await.unwrap();
    let reads: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.find(id, Position::START).await })
        })
        .collect();
    let checked_out = || server(&store.known_status(), "primary").pool.checked_out;
    assert!(eventually(async || (checked_out() == 3).then_some(())).await.is_some());
    halt(&postgres, Server::Primary, Signal::SIGSTOP);
    for read in reads {
        let read = ends(read).await.unwrap();
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    }

    // There is room for whoever takes its place under this name, while it still hangs.
    let is_free = eventually(async || (checked_out() == 0).then_some(())).await;
    halt(&postgres, Server::Primary, Signal::SIGCONT);
    assert!(is_free.is_some(), "{} are kept", checked_out());
    holder.execute("ROLLBACK").await.unwrap();
    status(&*store, "it is back", |status| status.can_write()).await;
    assert!(ends(store.find(id, Position::START)).await.unwrap().value.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_a_lock_makes_no_server_look_dead() {
    let postgres = servers();
    let settings = settings(&postgres);
    let store = open(&settings).await;
    let id = store.create(user(1)).await.unwrap().value.id;

    let mut holder = connect(&settings).await;
    holder.execute("BEGIN; UPDATE users SET name = name").await.unwrap();
    let refused = ends(store.update(id, UserChanges::default())).await;
    let known = store.known_status();
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(server(&known, "primary").is_up, "{known:?}");

    holder.execute("ROLLBACK").await.unwrap();
    holder.close().await.unwrap();
    assert!(ends(store.update(id, UserChanges::default())).await.unwrap().value.is_some());
}
