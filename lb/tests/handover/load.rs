//! Under load: whoever connects is served, by one process or the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::family::{Family, gone, signal, yaml};
use crate::support::{Client, Origin, RawConnection};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hand_overs_and_no_request_fails() {
    let origin = Origin::named("served").await;
    let family = Family::start(&yaml(&origin)).await;
    let first = family.pid().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for number in 0..6 {
        let client = match number % 3 {
            // A connection for each request; one that is kept; HTTP/2.
            0 => (Client::unpooled(), family.lb.url("/")),
            1 => (Client::plain(), family.lb.url("/")),
            _ => (family.lb.client(), family.lb.secure_url("api.test", "/")),
        };
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        clients.push(tokio::spawn(async move {
            let (client, url) = client;
            while !stop.load(Ordering::Relaxed) {
                // An idempotent request on a connection that closes before its
                // answer is sent again by the client itself, as by any other.
                let response = client.0.get(&url).send().await;
                let response = response.unwrap_or_else(|error| panic!("{number}: {error:?}"));
                assert_eq!(response.status(), 200);
                assert_eq!(response.text().await.unwrap(), "served");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut before = first;
    for _ in 0..5 {
        let target = answered.load(Ordering::Relaxed) + 50;
        let new = family.hand_over().await;
        gone(before).await;
        before = new;
        while answered.load(Ordering::Relaxed) < target {
            assert!(clients.iter().all(|client| !client.is_finished()), "a client has failed");
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_the_accept_queue_is_served() {
    let origin = Origin::named("served").await;
    let family = Family::start(&yaml(&origin)).await;
    let old = family.pid().unwrap();
    // Nobody accepts while it is stopped: the kernel completes the handshakes, and
    // the connections wait, in the queues of both workers.
    signal(old, "STOP");
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut connection = RawConnection::open(family.lb.address("http")).await;
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        waiting.push(connection);
    }
    signal(old, "USR2");
    signal(old, "CONT");
    for mut connection in waiting {
        let answer = connection.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer}");
    }
    gone(old).await;
    assert_ne!(family.pid(), Some(old));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_sockets_and_other_numbers_of_workers() {
    let origin = Origin::named("served").await;
    let binds: Vec<String> = (0..120).map(|_| "\"127.0.0.1:0\"".to_owned()).collect();
    let text = yaml(&origin).replacen(
        "http: { bind: [\"127.0.0.1:0\"] }",
        &format!("http: {{ bind: [{}] }}", binds.join(", ")),
        1,
    );
    let family = Family::start(&text).await;
    let addresses: Vec<std::net::SocketAddr> = family
        .lb
        .log()
        .lines()
        .filter(|line| line.contains(" listening ") && line.contains("listener=http "))
        .map(|line| line.rsplit("address=").next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(addresses.len(), 120);
    for workers in [5, 1, 3] {
        let config = std::fs::read_to_string(family.config()).unwrap();
        let start = config.find("workers: ").unwrap();
        let end = start + config[start..].find('\n').unwrap();
        let config = format!("{}workers: {workers}{}", &config[..start], &config[end..]);
        std::fs::write(family.config(), config).unwrap();
        let old = family.pid().unwrap();
        family.hand_over().await;
        gone(old).await;
        for address in &addresses {
            // More than one: each queue has its turn.
            for _ in 0..4 {
                let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                let answer = RawConnection::exchange(*address, get).await;
                assert!(answer.ends_with("served"), "{answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_process_reads_the_configuration_of_today() {
    let origin = Origin::named("served").await;
    let family = Family::start(&yaml(&origin)).await;
    let config = std::fs::read_to_string(family.config()).unwrap();
    let config = config.replace("  https: {", "  more: { bind: [\"127.0.0.1:0\"] }\n  https: {");
    std::fs::write(family.config(), config).unwrap();
    family.hand_over().await;
    let line = family.lb.logged("listener=more ").await;
    let address = line.rsplit("address=").next().unwrap().parse().unwrap();
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(RawConnection::exchange(address, get).await.ends_with("served"));
    // And it hands over in its turn, less of it this time.
    let config = std::fs::read_to_string(family.config()).unwrap();
    let config = config.replace("  more: { bind: [\"127.0.0.1:0\"] }\n", "");
    std::fs::write(family.config(), config).unwrap();
    let second = family.pid().unwrap();
    family.hand_over().await;
    family.lb.logged("is no listener's; it is closed").await;
    gone(second).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(Client::plain().text(&family.lb.url("/")).await, "served");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_the_process_stops_is_served_too() {
    let origin = Origin::named("served").await;
    let mut lb = crate::support::Lb::start(&yaml(&origin)).await;
    signal(lb.pid(), "STOP");
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut connection = RawConnection::open(lb.address("http")).await;
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        waiting.push(connection);
    }
    signal(lb.pid(), "TERM");
    signal(lb.pid(), "CONT");
    for mut connection in waiting {
        let answer = connection.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer}");
    }
    assert_eq!(lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_version_is_followed() {
    let origin = Origin::named("served").await;
    let family = Family::start(&yaml(&origin)).await;
    let next = family.deploy();
    let new = family.hand_over().await;
    assert_eq!(std::fs::read_link(format!("/proc/{new}/exe")).unwrap(), next);
}
