//! What admins see of databases that are down or behind.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::bearer;
use crate::domain::Role;
use crate::store::{PoolUsage, Position, ServerStatus, StoreStatus};
use crate::testing::{Api, FakeStore};

const DEEP: &str = "/api/v1/scaling/health/deep";
const REPLICATION: &str = "/api/v1/scaling/replication/status";

fn server(name: &str, reason: Option<&'static str>, is_up: bool) -> ServerStatus {
    let is_primary = name == "primary";
    ServerStatus {
        name: name.to_owned(),
        host: format!("{name}:5432"),
        is_primary,
        is_up,
        takes_reads: reason.is_none(),
        reason,
        latency: is_up.then_some(Duration::from_millis(2)),
        lag: (is_up && !is_primary).then_some(Duration::from_millis(1500)),
        position: Position::from_bytes(0x16B_3748),
        is_streaming: is_up && !is_primary,
        pool: PoolUsage { size: 3, checked_out: 1, max: 60, timeouts: 2 },
    }
}

fn status(primary_is_up: bool, replicas: &[(Option<&'static str>, bool)]) -> StoreStatus {
    let down = (!primary_is_up).then_some("does not answer");
    let mut servers = vec![server("primary", down, primary_is_up)];
    for (index, (reason, is_up)) in replicas.iter().enumerate() {
        servers.push(server(&format!("replica-{}", index + 1), *reason, *is_up));
    }
    StoreStatus { is_migrated: true, servers }
}

#[tokio::test]
async fn admins_see_the_servers() {
    let store = FakeStore::new();
    let admin = store.put("root@example.com", Role::Admin);
    let replicas =
        [(None, true), (Some("is too far behind"), true), (Some("does not answer"), false)];
    store.set_status(status(true, &replicas));
    let api = Api::new(store).await;
    let token = bearer(&api, &admin);
    let token = &[("authorization", &*token)];

    let answer = api.send("GET", REPLICATION, token, None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let replica = |id: usize, status: &str, lag: Option<f64>, error: Option<&str>| {
        let mut replica = json!({
            "id": id,
            "status": status,
            "host": format!("replica-{id}:5432"),
            "latency_ms": lag.map(|_| 2.0),
            "lag_seconds": lag,
            "streaming": lag.is_some(),
            "takes_reads": error.is_none(),
            "position": "0/16B3748",
            "pool_size": 3,
            "checked_out": 1,
        });
        if let Some(error) = error {
            replica["error"] = json!(error);
        }
        replica
    };
    let replicas = json!([
        replica(1, "healthy", Some(1.5), None),
        replica(2, "lagging", Some(1.5), Some("is too far behind")),
        replica(3, "unhealthy", None, Some("does not answer")),
    ]);
    let primary = json!({"status": "healthy", "host": "primary:5432", "position": "0/16B3748"});
    assert_eq!(answer.body, json!({"primary": primary, "replicas": replicas}));

    let answer = api.send("GET", DEEP, token, None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["status"], "degraded");
    assert!(answer.body["timestamp"].as_f64().unwrap() > 1.7e9);
    let components = &answer.body["components"];
    assert_eq!(components["replication"], json!({"status": "degraded", "replicas": replicas}));
    assert_eq!(
        components["database"],
        json!({
            "status": "healthy",
            "host": "primary:5432",
            "migrated": true,
            "latency_ms": 2.0,
            "pool_size": 3,
            "checked_out": 1,
            "pool_max": 60,
            "pool_timeouts": 2,
        })
    );
    assert_eq!(components["redis"]["status"], "healthy");
    assert_eq!(components["redis"]["connected"], true);
    assert_eq!(components["redis"]["hit_ratio"], 0.0);
    assert!(components["redis"]["latency_ms"].as_f64().is_some());
}

#[tokio::test]
async fn the_whole_is_as_well_as_its_requests_are_served() {
    let store = FakeStore::new();
    let admin = store.put("root@example.com", Role::Admin);
    let api = Api::new(store.clone()).await;
    let token = bearer(&api, &admin);
    let good = (None, true);
    let bad = (Some("does not answer"), false);
    for (primary, replicas, whole, database, replication) in [
        (true, &[][..], "healthy", "healthy", "healthy"),
        (true, &[good], "healthy", "healthy", "healthy"),
        (true, &[good, bad], "degraded", "healthy", "degraded"),
        (true, &[bad, bad], "degraded", "healthy", "unhealthy"),
        (false, &[good], "degraded", "unhealthy", "healthy"),
        (false, &[bad], "unhealthy", "unhealthy", "unhealthy"),
    ] {
        store.set_status(status(primary, replicas));
        let answer = api.send("GET", DEEP, &[("authorization", &*token)], None).await;
        let is_unhealthy = whole == "unhealthy";
        let expected = if is_unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        assert_eq!(answer.status, expected);
        assert_eq!(answer.body["status"], whole);
        assert_eq!(answer.body["components"]["database"]["status"], database);
        assert_eq!(answer.body["components"]["replication"]["status"], replication);
        assert_eq!(
            answer.body["components"]["database"].get("error").is_some(),
            !primary,
            "{}",
            answer.body
        );
    }

    store.set_status(StoreStatus { is_migrated: false, ..status(true, &[good]) });
    let answer = api.send("GET", DEEP, &[("authorization", &*token)], None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["components"]["database"]["migrated"], false);
}

#[tokio::test]
async fn others_see_nothing() {
    let store = FakeStore::new();
    let user = store.put("ann@example.com", Role::User);
    store.set_status(status(true, &[]));
    let api = Api::new(store.clone()).await;
    let token = bearer(&api, &user);
    for path in [DEEP, REPLICATION] {
        let answer = api.send("GET", path, &[], None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");

        let answer = api.send("GET", path, &[("authorization", &*token)], None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"insufficient_scope\"");
        assert!(!answer.body.to_string().contains("primary"), "{}", answer.body);
    }

    // It cannot be found out who asks: nobody is let in, and told why not.
    store.break_down();
    let answer = api.send("GET", DEEP, &[("authorization", &*token)], None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(!answer.body.to_string().contains("internal"), "{}", answer.body);
}
