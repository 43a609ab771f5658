//! What is in the cache: newer never gives way to older, and all of it ends.

use std::time::Duration;

use backend::cache::{Cache, Entry, Loaded};
use fleet::redis::{RedisCluster, Reply};

use crate::support::{Instance, at, cluster, entry, eventually, stored, time_left};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values() {
    // One cluster for all that does it no harm.
    let cluster = cluster();
    let instance = Instance::connect(&cluster).await;
    what_is_older_never_replaces_what_is_newer(&instance).await;
    what_is_not_ours_counts_as_nothing(&cluster, &instance).await;
    a_value_ends_when_it_should(&cluster, &instance).await;
    what_is_read_is_kept_for_its_time_at_most(&cluster, &instance).await;
    every_node_learns_the_script_by_itself(&cluster, &instance).await;
}

async fn what_is_older_never_replaces_what_is_newer(instance: &Instance) {
    let cache = &instance.cache;
    // The last pair differs in the number of its digits, and in those that are letters.
    for (number, (low, high)) in [(5, 6), (9, 10), (0xff, 0x100), (0x9f, 0xa0)].iter().enumerate() {
        let key = |case: &str| format!("order:{number}:{case}");
        let (old, new) = (entry(*low, "old"), entry(*high, "new"));
        let again = entry(*high, "again");

        // (key, what is there, what comes, by fill?, what is there then)
        for (case, there, comes, is_fill, then) in [
            ("fill older", &new, &old, true, &new),
            ("fill newer", &old, &new, true, &new),
            ("fill same", &new, &again, true, &new),
            ("replace older", &new, &old, false, &new),
            ("replace newer", &old, &new, false, &new),
            ("replace same", &new, &again, false, &again),
        ] {
            let key = key(case);
            cache.replace(&key, there.clone(), MINUTE).await.unwrap();
            if is_fill {
                cache.fill(&key, comes.clone(), MINUTE).await.unwrap();
            } else {
                cache.replace(&key, comes.clone(), MINUTE).await.unwrap();
            }
            assert_eq!(cache.find(&key).await.unwrap().as_ref(), Some(then), "{case}");
        }
        let key = key("fill nothing");
        cache.fill(&key, old.clone(), MINUTE).await.unwrap();
        assert_eq!(cache.find(&key).await.unwrap(), Some(old));
    }
}

async fn what_is_not_ours_counts_as_nothing(cluster: &RedisCluster, instance: &Instance) {
    let cache = &instance.cache;
    for (number, command) in [
        &["SET", "short"][..],
        &["SET", "00000000000000FF{}"],
        &["SET", "zzzzzzzzzzzzzzzz{}"],
        &["RPUSH", "a list"],
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("foreign:{number}");
        let stored = stored(&key);
        cluster.ask_for_key(&stored, &[command[0], &stored, command[1]]).unwrap();
        assert_eq!(cache.find(&key).await.unwrap(), None, "{command:?}");
        cache.fill(&key, entry(1, "ours"), MINUTE).await.unwrap();
        assert_eq!(cache.find(&key).await.unwrap(), Some(entry(1, "ours")), "{command:?}");
    }
    // The longest and the emptiest.
    for value in ["", &"x".repeat(100_000)] {
        cache.replace("size", entry(u64::MAX, value), MINUTE).await.unwrap();
        assert_eq!(cache.find("size").await.unwrap(), Some(entry(u64::MAX, value)));
    }
}

async fn a_value_ends_when_it_should(cluster: &RedisCluster, instance: &Instance) {
    let cache = &instance.cache;
    cache.fill("short-lived", entry(1, "1"), Duration::from_millis(50)).await.unwrap();
    eventually("its end", async || {
        cache.find("short-lived").await.unwrap().is_none().then_some(())
    })
    .await;

    cache.fill("over", entry(1, "1"), Duration::ZERO).await.unwrap();
    assert_eq!(cache.find("over").await.unwrap(), None);

    cache.fill("long-lived", entry(1, "1"), MINUTE).await.unwrap();
    let left = time_left(cluster, "long-lived");
    assert!((30_000..=60_000).contains(&left), "{left}");
    // What is not written does not live longer either.
    cache.replace("steady", entry(1, "1"), Duration::from_secs(30)).await.unwrap();
    cache.fill("steady", entry(1, "1"), Duration::from_secs(600)).await.unwrap();
    assert!(time_left(cluster, "steady") <= 30_000);
}

async fn what_is_read_is_kept_for_its_time_at_most(cluster: &RedisCluster, instance: &Instance) {
    let mut times = Vec::new();
    for number in 0..30 {
        let key = format!("aside:{number}");
        let load = async {
            Ok::<_, ()>(Loaded { entry: entry(3, ""), time_to_live: Duration::from_secs(60) })
        };
        let read = instance.aside.find(&key, at(3), load).await.unwrap();
        assert_eq!(read, Entry { position: at(3), value: Default::default() });
        // It is put there beside the answer.
        let found = eventually("it is kept", async || instance.cache.find(&key).await.unwrap());
        assert_eq!(found.await, entry(3, ""));
        times.push(time_left(cluster, &key));
    }
    assert!(times.iter().all(|left| (40_000..=60_000).contains(left)), "{times:?}");
    assert!(times.iter().max().unwrap() - times.iter().min().unwrap() > 2_000, "{times:?}");
    assert!(instance.metric("fastnext_cache_lookups_total{result=\"miss\"}") >= 30.0);
    assert!(instance.metric("fastnext_cache_operation_duration_seconds_count") > 60.0);
}

/// As a replica that has been promoted has to.
async fn every_node_learns_the_script_by_itself(cluster: &RedisCluster, instance: &Instance) {
    for node in cluster.masters().unwrap() {
        assert_eq!(cluster.ask(node, &["SCRIPT", "FLUSH"]).unwrap(), Reply::Text("OK".to_owned()));
    }
    // Not by way of a node that does not answer.
    let [first, ..] = cluster.masters().unwrap()[..] else { panic!("no masters") };
    let key = (0..).map(|number| format!("script:{number}"));
    let key = key.into_iter().find(|key| cluster.master_of(&stored(key)).unwrap() != first);
    let key = key.unwrap();
    cluster.pause(first).unwrap();
    let written = instance.cache.fill(&key, entry(1, "1"), MINUTE).await;
    cluster.resume(first).unwrap();
    written.unwrap();
    assert_eq!(instance.cache.find(&key).await.unwrap(), Some(entry(1, "1")));
}
