//! Nodes die, hang, move and come back: every operation ends in time, and the cache is used
//! again as soon as it can be.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use backend::cache::RedisSettings;
use backend::cache::{Cache, Loaded, OPERATION_TIMEOUT};
use backend::host::Host;
use fleet::redis::{NODES, RedisCluster, Reply, Settings};
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    BOUND, Instance, at, cluster, entry, eventually, keys, settings, stored, timed,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The longest that the cache may be of no use for some keys: node timeout, election, and
/// what it takes us to notice; on a machine with much else to do.
const RECOVERY: Duration = Duration::from_secs(20);

/// Reads all keys through the cache, as requests would; none may fail, nor wait for long.
async fn read_all(instance: &Instance) {
    let reads = keys().into_iter().map(|key| async move {
        let load =
            async { Ok::<_, Infallible>(Loaded { entry: entry(1, &key), time_to_live: MINUTE }) };
        let (read, took) = timed(instance.aside.find(&key, at(1), load)).await;
        assert_eq!(read.unwrap().value, key);
        assert!(took < BOUND, "{key}: {took:?}");
    });
    join_all(reads).await;
}

/// Whether every key can be written and read.
async fn all_work(instance: &Instance) -> bool {
    let trips = keys().into_iter().map(|key| async move {
        let written = instance.cache.replace(&key, entry(1, &key), MINUTE).await;
        written.is_ok()
            && matches!(instance.cache.find(&key).await, Ok(Some(found)) if found.value == key)
    });
    join_all(trips).await.into_iter().all(|works| works)
}

/// Reads through the cache until all keys work again.
async fn read_until_all_work(instance: &Instance) {
    let start = Instant::now();
    loop {
        read_all(instance).await;
        if all_work(instance).await {
            return;
        }
        assert!(start.elapsed() < RECOVERY, "not within {RECOVERY:?}");
    }
}

fn keys_of(cluster: &RedisCluster, is_wanted: impl Fn(usize) -> bool) -> Vec<String> {
    let keys = keys().into_iter();
    keys.filter(|key| is_wanted(cluster.master_of(&stored(key)).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_costs_nobody_an_error() {
    let mut cluster = cluster();
    let instance = Instance::connect(&cluster).await;
    assert!(all_work(&instance).await);

    let master = cluster.masters().unwrap()[0];
    cluster.kill(master).unwrap();
    assert!(!all_work(&instance).await, "the test kills nobody");
    read_until_all_work(&instance).await;
    // And when it comes back as a replica.
    cluster.restart(master).unwrap();
    cluster.wait_until_whole().unwrap();
    assert!(all_work(&instance).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_is_left_when_its_replica_has_been_promoted() {
    let mut cluster = cluster();
    let instance = Instance::connect(&cluster).await;
    let master = cluster.masters().unwrap()[1];
    cluster.pause(master).unwrap();
    // Its connections stay: no redirect tells of the new master.
    read_until_all_work(&instance).await;

    cluster.resume(master).unwrap();
    cluster.wait_until_whole().unwrap();
    read_until_all_work(&instance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_costs_its_own_keys_only() {
    // It is not replaced as long as this takes.
    let cluster = RedisCluster::for_test(Duration::from_secs(120)).unwrap();
    let instance = Instance::connect(&cluster).await;
    let hung = cluster.masters().unwrap()[2];
    let (its, others) =
        (keys_of(&cluster, |node| node == hung), keys_of(&cluster, |node| node != hung));
    assert!(its.len() > 5 && others.len() > 20);
    cluster.pause(hung).unwrap();

    let start = Instant::now();
    let (mut times, mut refused_at_once) = (Vec::new(), 0);
    // Longer than parts rest, so that some are tried again meanwhile.
    while start.elapsed() < Duration::from_secs(4) {
        for key in &others {
            let (written, took) = timed(instance.cache.replace(key, entry(1, key), MINUTE)).await;
            written.unwrap();
            times.push(took);
        }
        let reads = its.iter().map(|key| timed(instance.cache.find(key)));
        for (read, took) in join_all(reads).await {
            assert!(read.is_err());
            assert!(took < BOUND, "{took:?}");
            refused_at_once += usize::from(took < Duration::from_millis(20));
        }
        let (ping, took) = timed(instance.cache.ping()).await;
        ping.unwrap();
        assert!(took < BOUND, "{took:?}");
    }
    assert!(refused_at_once > its.len(), "{refused_at_once}");
    // Half of them, as this machine may have pauses of its own.
    times.sort_unstable();
    let median = times[times.len() / 2];
    assert!(median < OPERATION_TIMEOUT / 10, "the keys of others are slow: {median:?}");
    assert_eq!(instance.metric("fastnext_redis_up"), 1.0);

    // Most of it: that is down.
    let other = cluster.masters().unwrap()[0];
    cluster.pause(other).unwrap();
    let (ping, took) = timed(instance.cache.ping()).await;
    ping.unwrap_err();
    assert!(took < BOUND, "{took:?}");
    assert_eq!(instance.metric("fastnext_redis_up"), 0.0);

    cluster.resume(hung).unwrap();
    cluster.resume(other).unwrap();
    read_until_all_work(&instance).await;
    instance.cache.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_found_while_their_slot_moves() {
    let cluster = cluster();
    let instance = Instance::connect(&cluster).await;
    let key = "user:1";
    let stored = stored(key);
    let Reply::Integer(slot) = cluster.ask(1, &["CLUSTER", "KEYSLOT", &stored]).unwrap() else {
        panic!("no slot");
    };
    let slot = slot.to_string();
    let id = |node| cluster.ask(node, &["CLUSTER", "MYID"]).unwrap().text().unwrap().to_owned();
    let ok = |node, command: &[&str]| {
        let reply = cluster.ask(node, command).unwrap();
        assert!(matches!(reply.text(), Some("OK" | "NOKEY")), "{command:?}: {reply:?}");
    };
    let mut position = 0;
    let mut works = async || {
        position += 1;
        instance.cache.replace(key, entry(position, "value"), MINUTE).await.unwrap();
        assert_eq!(instance.cache.find(key).await.unwrap(), Some(entry(position, "value")));
    };

    // There and back.
    for _ in 0..2 {
        works().await;
        let from = cluster.master_of(&stored).unwrap();
        let to = cluster.masters().unwrap().into_iter().find(|&node| node != from).unwrap();
        let port = cluster.address(to).unwrap().port().to_string();
        ok(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        ok(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
        works().await;
        let password = cluster.password();
        ok(from, &["MIGRATE", "127.0.0.1", &port, &stored, "0", "5000", "AUTH", password]);
        // Gone from the one, not yet the other's: ASK.
        works().await;
        ok(to, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]);
        ok(from, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]);
        // MOVED.
        works().await;
        eventually("all agree", async || (cluster.master_of(&stored).unwrap() == to).then_some(()))
            .await;
    }
    works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_away_is_used_when_it_comes() {
    let mut cluster = cluster();
    cluster.stop_all().unwrap();
    let instance = Instance::start(&settings(&cluster));
    read_all(&instance).await;
    let (ping, took) = timed(instance.cache.ping()).await;
    ping.unwrap_err();
    assert!(took < BOUND);

    for _ in 0..2 {
        for node in 1..=NODES {
            cluster.restart(node).unwrap();
        }
        cluster.wait_until_whole().unwrap();
        instance.wait_until_up().await;
        read_until_all_work(&instance).await;
        // All of it goes, and comes again.
        cluster.stop_all().unwrap();
        read_all(&instance).await;
        eventually("it is noticed", async || {
            (instance.metric("fastnext_redis_up") == 0.0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_elsewhere_is_found_through_the_nodes_of_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let place = directory.path().join(name);
        let settings =
            Settings { ports: None, node_timeout: None, lifetime: fleet::Lifetime::Ours };
        RedisCluster::start(&place, settings).unwrap()
    };
    let one = start("one");
    // One password for both.
    std::fs::create_dir(directory.path().join("two")).unwrap();
    let password_file = directory.path().join("two/redis-password");
    std::fs::copy(one.password_file(), password_file).unwrap();

    // An address that stays, as names do while what they stand for changes.
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate.local_addr().unwrap();
    let (behind, target) = tokio::sync::watch::channel(one.address(1).unwrap());
    let gate = tokio::spawn(forward(gate, target));
    let node = Host { name: address.ip().to_string(), port: address.port() };
    let settings = RedisSettings { nodes: vec![node], ..settings(&one) };

    let instance = Instance::start(&settings);
    instance.wait_until_up().await;
    assert!(all_work(&instance).await);
    drop(one);
    let two = start("two");
    behind.send(two.address(1).unwrap()).unwrap();
    read_until_all_work(&instance).await;
    instance.cache.ping().await.unwrap();
    gate.abort();
}

async fn forward(gate: TcpListener, target: tokio::sync::watch::Receiver<SocketAddr>) {
    loop {
        let (mut here, _) = gate.accept().await.unwrap();
        let target = *target.borrow();
        tokio::spawn(async move {
            if let Ok(mut there) = TcpStream::connect(target).await {
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}
