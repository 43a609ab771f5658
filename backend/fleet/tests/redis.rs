//! A Redis Cluster: it serves, it fails over, nothing is left.

use std::path::Path;
use std::time::{Duration, Instant};

use fleet::redis::{NODES, RedisCluster, Reply};

const NODE_TIMEOUT: Duration = Duration::from_secs(1);

#[test]
fn six_nodes_are_one_cluster() {
    let redis = RedisCluster::for_test(NODE_TIMEOUT).unwrap();
    assert_eq!(redis.masters().unwrap(), [1, 2, 3]);
    assert_eq!(redis.replicas().unwrap(), [4, 5, 6]);
    for number in 0..20 {
        let (key, value) = (format!("key-{number}"), number.to_string());
        redis.ask_for_key(&key, &["SET", &key, &value]).unwrap();
        assert_eq!(redis.ask_for_key(&key, &["GET", &key]).unwrap(), Reply::Text(value));
    }
    let setting = redis.ask(6, &["CONFIG", "GET", "cluster-require-full-coverage"]).unwrap();
    let text = |text: &str| Reply::Text(text.to_owned());
    assert_eq!(setting, Reply::Array(vec![text("cluster-require-full-coverage"), text("no")]));
}

#[test]
fn a_replica_takes_over_from_a_master_that_was_killed() {
    let mut redis = RedisCluster::for_test(NODE_TIMEOUT).unwrap();
    let master = redis.master_of("key").unwrap();
    let [replica] = redis.replicas_of(master).unwrap()[..] else { panic!("not one replica") };
    redis.ask_for_key("key", &["SET", "key", "value"]).unwrap();
    // Replicas copy afterwards.
    assert_eq!(redis.ask(master, &["WAIT", "1", "5000"]).unwrap(), Reply::Integer(1));

    redis.kill(master).unwrap();
    let left: Vec<usize> = (1..=NODES).filter(|&node| node != master).collect();
    until("another master", || redis.master_of("key").is_ok_and(|node| node == replica));
    redis.wait_until_serving(&left).unwrap();
    let value = redis.ask_for_key("key", &["GET", "key"]).unwrap();
    assert_eq!(value, Reply::Text("value".to_owned()));

    redis.restart(master).unwrap();
    redis.wait_until_whole().unwrap();
    until("the old master as a replica", || {
        redis.replicas_of(replica).is_ok_and(|replicas| replicas == [master])
    });
}

#[test]
fn a_paused_node_answers_nobody_until_it_goes_on() {
    let redis = RedisCluster::for_test(Duration::from_secs(30)).unwrap();
    redis.pause(2).unwrap();
    assert!(redis.ask(2, &["PING"]).is_err());
    redis.resume(2).unwrap();
    assert_eq!(redis.ask(2, &["PING"]).unwrap(), Reply::Text("PONG".to_owned()));
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let redis = RedisCluster::for_test(NODE_TIMEOUT).unwrap();
    // Also of those that hear nothing.
    redis.pause(1).unwrap();
    let directory = redis.password_file().parent().unwrap().to_owned();
    let pids: Vec<u32> = (1..=NODES).map(|node| redis.pid(node).unwrap().unwrap()).collect();
    assert!(pids.iter().all(|&pid| runs(pid)));
    drop(redis);
    assert!(!pids.iter().any(|&pid| runs(pid)));
    assert!(!directory.exists());
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn until(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
