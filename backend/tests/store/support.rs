//! A PostgreSQL for a test, and users to put into it.

use std::future::Future;
use std::time::{Duration, Instant};

use backend::domain::{EmailAddress, NewUser, Role, UserId, UserName};
use backend::host::Host;
use backend::secret::Secret;
use backend::store::{
    Position, PostgresSettings, PostgresStore, ServerStatus, StoreStatus, UserStore,
};
use fleet::postgres::{Postgres, Server};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use sqlx::{ConnectOptions, PgConnection};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Behind this, a replica takes no reads: long enough for a busy machine, short
/// enough to wait for.
pub(crate) const MAX_LAG: Duration = Duration::from_secs(2);

/// A primary with two replicas, none of which has a table.
pub(crate) fn servers() -> Postgres {
    let mut postgres = Postgres::for_test(2).unwrap();
    postgres.wait_for_replicas().unwrap();
    postgres
}

pub(crate) fn settings(postgres: &Postgres) -> PostgresSettings {
    let host = |server| {
        let address = postgres.address(server).unwrap();
        Host { name: address.ip().to_string(), port: address.port() }
    };
    PostgresSettings {
        primary: host(Server::Primary),
        replicas: postgres.replicas().map(host).collect(),
        user: "fastnext".to_owned(),
        password: Secret::new(postgres.password().to_owned()),
        database: "fastnext".to_owned(),
        max_replica_lag: MAX_LAG,
        max_connections: 10,
        replica_max_connections: 5,
    }
}

/// A store on it, all of whose servers are good.
pub(crate) async fn store(postgres: &Postgres) -> PostgresStore {
    open(&settings(postgres)).await
}

/// The same with settings of its own.
pub(crate) async fn open(settings: &PostgresSettings) -> PostgresStore {
    let store = PostgresStore::open(settings);
    status(&store, "all servers are good", |status| {
        status.is_migrated && status.servers.iter().all(|server| server.takes_reads)
    })
    .await;
    store
}

/// Connects to the primary beside all stores.
pub(crate) async fn connect(settings: &PostgresSettings) -> PgConnection {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&settings.primary.name)
        .port(settings.primary.port)
        .username(&settings.user)
        .password(settings.password.expose())
        .database(&settings.database);
    options.connect().await.unwrap()
}

/// The status, once it is as it should become.
pub(crate) async fn status(
    store: &dyn UserStore,
    what: &str,
    is_so: impl Fn(&StoreStatus) -> bool,
) -> StoreStatus {
    let mut last = None;
    let reached = eventually(async || {
        let status = store.status().await;
        let found = is_so(&status).then(|| status.clone());
        last = Some(status);
        found
    })
    .await;
    reached.unwrap_or_else(|| panic!("not in time: {what}; it is {last:?}"))
}

pub(crate) fn server<'a>(status: &'a StoreStatus, name: &str) -> &'a ServerStatus {
    status.servers.iter().find(|server| server.name == name).unwrap()
}

/// Asks again and again until the answer is `Some`; `None` after [`PATIENCE`].
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// What must end, ends.
pub(crate) async fn ends<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

pub(crate) fn user(number: usize) -> NewUser {
    NewUser {
        email: EmailAddress::parse(&format!("User{number}@example.com")).unwrap(),
        name: UserName::parse("Robert'); DROP TABLE users;--").unwrap(),
        role: Role::User,
        password_hash: Secret::new("$argon2id$".to_owned()),
    }
}

/// Reads often enough that chance cannot spare a replica.
pub(crate) async fn read_often(store: &PostgresStore, id: UserId, at_least: Position) {
    for _ in 0..64 {
        let read = ends(store.find(id, at_least)).await.unwrap();
        assert!(read.value.is_some() && read.position >= at_least);
    }
}

/// Stops a server, or lets it go on.
pub(crate) fn halt(postgres: &Postgres, server: Server, signal: Signal) {
    // The postmaster and all that it has started: the connections hang too.
    let pid = postgres.pid(server).unwrap().unwrap();
    let postmaster = Pid::from_raw(i32::try_from(pid).unwrap());
    for child in children(pid) {
        // Some may have just ended.
        let _ = signal::kill(Pid::from_raw(child), signal);
    }
    signal::kill(postmaster, signal).unwrap();
}

fn children(pid: u32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
