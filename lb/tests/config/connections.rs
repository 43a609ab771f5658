//! Connections of a listener: sockets, limits, deadlines, the PROXY protocol.

use std::time::Duration;

use lb::config::Engine;
use lb::snapshot::{Connections, Pace};

use crate::support::{Place, SOUND, compile, problems_of};

#[track_caller]
fn connections(listener: &str) -> Connections {
    let text = SOUND.replace(r#"{ bind: ["127.0.0.1:8080"] }"#, listener);
    let (compiled, problems) = compile(&text);
    assert_eq!(problems, [""; 0]);
    compiled.snapshot.unwrap().listeners.iter().next().unwrap().connections.clone()
}

#[test]
fn what_holds_when_nothing_is_said() {
    let Connections { socket, limits, deadlines, http2_streams, engine, proxy_protocol } =
        connections(r#"{ bind: ["127.0.0.1:8080"] }"#);
    assert_eq!(socket.backlog, 4096);
    let probes = socket.keepalive.unwrap();
    assert_eq!((probes.idle.as_secs(), probes.interval.as_secs(), probes.count), (60, 10, 3));
    assert!(socket.user_timeout.is_none() && socket.defer_accept.is_none());
    assert!(limits.connections.is_none() && limits.per_client.is_none());
    assert!(limits.requests.is_none());
    assert_eq!(deadlines.proxy_header, Duration::from_secs(3));
    assert_eq!(deadlines.tls_handshake, Duration::from_secs(10));
    assert_eq!(deadlines.http2_handshake, Duration::from_secs(10));
    assert_eq!(deadlines.head, Duration::from_secs(10));
    assert_eq!(deadlines.idle, Duration::from_secs(75));
    let Pace { min_rate, grace } = deadlines.pace;
    assert_eq!((min_rate, grace), (500, Duration::from_secs(10)));
    assert_eq!(http2_streams, 128);
    assert!(proxy_protocol.is_none());
    assert_eq!(engine, Engine::Auto);
}

#[test]
fn what_is_said_holds() {
    let Connections { socket, limits, deadlines, proxy_protocol, .. } = connections(
        r#"{ bind: ["127.0.0.1:8080"], backlog: 7,
    tcp: { keepalive: { idle: 0s }, user_timeout: 250ms, defer_accept: 2s },
    limits: { connections: 1, connections_per_client: 2, requests_per_connection: 3 },
    deadlines: { proxy_header: 1s, tls_handshake: 2s, http2_handshake: 3s, head: 4s, idle: 5s, min_rate: 0B, grace: 6s },
    proxy_protocol: { mode: optional, trusted: [10.0.0.0/8] } }"#,
    );
    assert_eq!(socket.backlog, 7);
    assert!(socket.keepalive.is_none());
    assert_eq!(socket.user_timeout, Some(Duration::from_millis(250)));
    assert_eq!(socket.defer_accept, Some(Duration::from_secs(2)));
    assert_eq!(
        (limits.connections, limits.per_client, limits.requests),
        (Some(1), Some(2), Some(3))
    );
    assert_eq!(deadlines.head, Duration::from_secs(4));
    assert_eq!(deadlines.pace.min_rate, 0);
    let proxy = proxy_protocol.unwrap();
    assert!(!proxy.required && proxy.trusted.len() == 1);
}

#[test]
fn how_many_connections_the_process_takes() {
    let (compiled, _) = compile(&format!("{SOUND}max_connections: 1000\n"));
    assert_eq!(compiled.snapshot.unwrap().process.max_connections, Some(1000));
    let (compiled, _) = compile(&format!("{SOUND}max_connections: auto\n"));
    assert_eq!(compiled.snapshot.unwrap().process.max_connections, None);
    problems_of(
        Place::Top,
        &[(
            "max_connections: 0",
            &["10:18: max_connections: must be from 1 to 10000000, found the number 0"],
        )],
    );
}

#[test]
fn what_cannot_hold() {
    problems_of(
        Place::Listener,
        &[
            (
                r#"bind: ["127.0.0.1:80"], deadlines: { head: 0s }"#,
                &["3:54: listeners.http.deadlines.head: must be longer than 0s"],
            ),
            (
                r#"bind: ["127.0.0.1:80"], deadlines: { grace: 0s }"#,
                &[
                    "3:55: listeners.http.deadlines.grace: must be longer than 0s; \"min_rate: 0B\" lets clients be as slow as they like",
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], tcp: { defer_accept: 1500ms }"#,
                &["3:56: listeners.http.tcp.defer_accept: must be whole seconds"],
            ),
            (
                r#"bind: ["127.0.0.1:80"], tcp: { keepalive: { interval: 0s } }"#,
                &[
                    "3:65: listeners.http.tcp.keepalive.interval: must be longer than 0s; \"idle: 0s\" turns probes off",
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], http2: { concurrent_streams: 10 }"#,
                &[
                    "3:35: listeners.http.http2: http2 only goes with tls: in clear, HTTP/1.1 is spoken",
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], proxy_protocol: { mode: required, trusted: [] }"#,
                &[
                    "3:69: listeners.http.proxy_protocol.trusted: name whose PROXY headers are believed: anybody could claim any address otherwise",
                ],
            ),
            (
                r#"bind: ["127.0.0.1:80"], proxy_protocol: { mode: required }"#,
                &["3:35: listeners.http.proxy_protocol: the key \"trusted\" is missing"],
            ),
        ],
    );
}
