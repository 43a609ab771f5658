//! A primary with replicas, some of which are slow, hang or are dead.

use backend::store::{Position, PostgresStore, StoreError, UserStore};
use fleet::postgres::{Postgres, Server};
use nix::sys::signal::Signal;

use crate::support::{
    connect, ends, halt, open, read_often, server, servers, settings, status, store, user,
};

const ONE: Server = Server::Replica(1);
const TWO: Server = Server::Replica(2);

fn pause(postgres: &Postgres, server: Server) {
    postgres.admin_sql(server, "SELECT pg_wal_replay_pause()").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_hit_only_replicas_while_they_are_good() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();

    read_often(&store, written.value.id, Position::START).await;
    read_often(&store, written.value.id, written.position).await;
    store.list(None, 10, Position::START).await.unwrap();
    let counts = store.read_counts();
    assert_eq!((counts.replica, counts.primary), (129, 0), "{counts:?}");

    // Each of them, says PostgreSQL: its own count of scans of the table.
    for replica in [ONE, TWO] {
        let scans = "SELECT coalesce(sum(idx_scan + seq_scan), 0) FROM pg_stat_user_tables
                     WHERE relname = 'users'";
        let mut seen = String::new();
        let counted = crate::support::eventually(async || {
            seen = postgres.sql(replica, scans).unwrap();
            (seen.trim() != "0").then_some(())
        })
        .await;
        assert!(counted.is_some(), "{replica}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_reads_what_was_written() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();
    pause(&postgres, ONE);
    pause(&postgres, TWO);

    let written = store.create(user(2)).await.unwrap();
    let id = written.value.id;
    assert!(
        ends(store.find(id, Position::START)).await.unwrap().value.is_none(),
        "replicas are behind"
    );
    assert!(ends(store.find(id, written.position)).await.unwrap().value.is_some());
    let users = store.list(None, 10, written.position).await.unwrap();
    assert_eq!(users.len(), 2);
    let counts = store.read_counts();
    assert_eq!((counts.not_replayed, counts.primary), (2, 2), "{counts:?}");

    // Another instance knows as well, by nothing but the position.
    let other = crate::support::store(&postgres).await;
    assert!(ends(other.find(id, written.position)).await.unwrap().value.is_some());

    // One replica that has it is enough.
    postgres.admin_sql(TWO, "SELECT pg_wal_replay_resume()").unwrap();
    let before = store.read_counts();
    let replayed = crate::support::eventually(async || {
        store.find(id, written.position).await.unwrap();
        (store.read_counts().replica > before.replica).then_some(())
    });
    assert!(replayed.await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_falls_behind_is_left_alone_until_it_catches_up() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();

    pause(&postgres, ONE);
    store.create(user(2)).await.unwrap();
    let behind =
        status(&store, "replica 1 is behind", |status| !server(status, "replica-1").takes_reads)
            .await;
    let one = server(&behind, "replica-1");
    assert!(one.is_up && one.lag.unwrap() > crate::support::MAX_LAG, "{one:?}");
    assert_eq!(one.reason, Some("is too far behind the primary"));
    assert!(server(&behind, "replica-2").takes_reads && behind.can_read());

    // Both users are there for everybody: the only replica in use has them.
    postgres.admin_sql(TWO, "SELECT 1").unwrap();
    let two = crate::support::eventually(async || {
        let users = store.list(None, 10, Position::START).await.unwrap();
        (users.len() == 2).then_some(())
    });
    assert!(two.await.is_some());
    read_often(&store, written.value.id, Position::START).await;
    assert_eq!(store.list(None, 10, Position::START).await.unwrap().len(), 2);

    postgres.admin_sql(ONE, "SELECT pg_wal_replay_resume()").unwrap();
    let good =
        status(&store, "replica 1 is back", |status| server(status, "replica-1").takes_reads);
    assert_eq!(server(&good.await, "replica-1").lag, Some(std::time::Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replica_costs_no_read() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();
    read_often(&store, written.value.id, Position::START).await;

    postgres.kill(ONE).unwrap();
    read_often(&store, written.value.id, Position::START).await;
    status(&store, "replica 1 is down", |status| !server(status, "replica-1").is_up).await;
    postgres.kill(TWO).unwrap();
    read_often(&store, written.value.id, Position::START).await;
    let down = status(&store, "both are down", |status| status.replicas().all(|r| !r.is_up)).await;
    assert!(down.can_read() && down.can_write());
    assert_eq!(server(&down, "replica-1").reason, Some("does not answer"));
    assert!(store.read_counts().primary > 0 && store.read_counts().no_replica > 0);

    postgres.restart(ONE).unwrap();
    status(&store, "replica 1 is back", |status| server(status, "replica-1").takes_reads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_primary_reads_go_on_and_writes_say_so() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();

    postgres.kill(Server::Primary).unwrap();
    for _ in 0..3 {
        let refused = ends(store.create(user(2))).await;
        assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    }
    read_often(&store, written.value.id, written.position).await;
    // What is checked at the primary as a rule.
    assert!(ends(store.credentials(&written.value.email)).await.unwrap().is_some());
    assert!(ends(store.account(written.value.id)).await.unwrap().value.is_some());
    // A position that nobody can have any more.
    let lost = Position::from_bytes(written.position.bytes() + (1 << 40));
    assert!(ends(store.find(written.value.id, lost)).await.unwrap().value.is_some());
    assert!(store.read_counts().primary_down > 0);
    let down = status(&store, "the primary is down", |status| !status.can_write()).await;
    assert!(down.can_read() && down.is_migrated, "{down:?}");

    // An instance that starts meanwhile serves reads.
    let late = PostgresStore::open(&settings(&postgres));
    status(&late, "it can be read", |status| status.can_read() && status.is_migrated).await;
    assert!(ends(late.find(written.value.id, Position::START)).await.unwrap().value.is_some());

    postgres.restart(Server::Primary).unwrap();
    for store in [&store, &late] {
        status(store, "the primary is back", |status| status.can_write()).await;
    }
    assert!(ends(store.create(user(2))).await.is_ok());
    status(&store, "replicas follow again", |status| status.replicas().all(|r| r.is_streaming))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_nobody_up_for_long() {
    let mut postgres = servers();
    let store = store(&postgres).await;
    let written = store.create(user(1)).await.unwrap();
    postgres.wait_for_replay().unwrap();
    read_often(&store, written.value.id, Position::START).await;

    halt(&postgres, ONE, Signal::SIGSTOP);
    read_often(&store, written.value.id, Position::START).await;
    let hung = status(&store, "replica 1 hangs", |status| !server(status, "replica-1").is_up).await;
    assert!(hung.can_write());
    halt(&postgres, ONE, Signal::SIGCONT);
    status(&store, "replica 1 is back", |status| server(status, "replica-1").takes_reads).await;

    halt(&postgres, Server::Primary, Signal::SIGSTOP);
    let refused = ends(store.create(user(2))).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    read_often(&store, written.value.id, Position::START).await;
    status(&store, "the primary hangs", |status| !status.can_write()).await;
    halt(&postgres, Server::Primary, Signal::SIGCONT);
    status(&store, "the primary is back", |status| status.can_write()).await;
    assert!(ends(store.create(user(3))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_together_migrate_once() {
    let postgres = servers();
    let settings = settings(&postgres);
    let stores: Vec<_> = (0..3).map(|_| PostgresStore::open(&settings)).collect();
    for store in &stores {
        status(store, "it is migrated", |status| status.is_migrated && status.can_write()).await;
    }
    for (number, store) in stores.iter().enumerate() {
        ends(store.create(user(number))).await.unwrap();
    }
    let applied = postgres.sql(Server::Primary, "SELECT count(*) FROM _sqlx_migrations").unwrap();
    assert_eq!(applied.trim(), "1");

    // One that is older than the database works with it.
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a later version', true, '', 0)";
    postgres.sql(Server::Primary, newer).unwrap();
    let older = store(&postgres).await;
    ends(older.create(user(9))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_makes_no_server_look_dead() {
    use sqlx::{Connection, Executor};

    let postgres = servers();
    let settings = backend::store::PostgresSettings { max_connections: 1, ..settings(&postgres) };
    let store = std::sync::Arc::new(open(&settings).await);

    // Holds the table, so that the first write holds the only connection.
    let mut holder = connect(&settings).await;
    holder.execute("BEGIN; LOCK TABLE users").await.unwrap();
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.create(user(1)).await }
    });
    let busy = crate::support::eventually(async || {
        let status = store.known_status();
        (server(&status, "primary").pool.checked_out == 1).then_some(())
    });
    assert!(busy.await.is_some());

    let second = ends(store.create(user(2))).await;
    assert!(matches!(second, Err(StoreError::Unavailable(_))), "{second:?}");
    let status = store.status().await;
    assert!(status.can_write(), "{status:?}");
    assert!(server(&status, "primary").pool.timeouts > 0, "{status:?}");

    holder.execute("ROLLBACK").await.unwrap();
    holder.close().await.unwrap();
    ends(first).await.unwrap().unwrap();
    assert!(ends(store.create(user(2))).await.is_ok());
}
