//! What EndpointSlices come to.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::Problem;
use super::slices::{Counts, Merged, Slice, merge};
use crate::upstream::Tier;
use crate::values::ServicePort;

fn http() -> ServicePort {
    ServicePort::Name("http".parse().unwrap())
}

/// A slice with the ports `http` (8000) and `metrics` (9000).
fn slice(endpoints: Value) -> EndpointSlice {
    with_ports(
        json!([
            { "name": "http", "port": 8000, "protocol": "TCP" },
            { "name": "metrics", "port": 9000 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ]),
        endpoints,
    )
}

fn with_ports(ports: Value, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "a" },
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    }))
    .unwrap()
}

fn merged_at(slices: &[EndpointSlice], port: &ServicePort, zone: Option<&str>) -> Merged {
    let slices: Vec<Slice> = slices.iter().map(|slice| Slice::of(slice, port)).collect();
    merge(slices.iter(), zone)
}

fn merged(slices: &[EndpointSlice]) -> Merged {
    merged_at(slices, &http(), None)
}

fn pods(merged: &Merged) -> Vec<(String, Tier)> {
    merged.pods.iter().map(|pod| (pod.address.to_string(), pod.tier)).collect()
}

fn first(addresses: &[&str]) -> Vec<(String, Tier)> {
    addresses.iter().map(|address| ((*address).to_owned(), Tier::First)).collect()
}

#[test]
fn conditions_say_who_takes_traffic() {
    let of = |conditions: Value| {
        let merged =
            merged(&[slice(json!([{ "addresses": ["10.0.0.1"], "conditions": conditions }]))]);
        merged.pods.first().map(|pod| pod.tier)
    };
    for (conditions, tier) in [
        (json!({}), Some(Tier::First)),
        (json!({ "ready": true }), Some(Tier::First)),
        (json!({ "ready": true, "serving": true, "terminating": false }), Some(Tier::First)),
        // As of a Service that publishes addresses that are not ready.
        (json!({ "ready": true, "serving": false, "terminating": true }), Some(Tier::First)),
        (json!({ "ready": false }), None),
        (json!({ "ready": false, "serving": false, "terminating": false }), None),
        (json!({ "ready": false, "serving": true, "terminating": true }), Some(Tier::Leaving)),
        (json!({ "ready": false, "serving": false, "terminating": true }), None),
        (json!({ "ready": false, "serving": true }), None),
        (json!({ "ready": false, "terminating": true }), None),
    ] {
        assert_eq!(of(conditions.clone()), tier, "{conditions}");
    }
}

#[test]
fn slices_are_one_list_in_order() {
    let merged = merged(&[
        slice(json!([{ "addresses": ["10.0.0.3"] }, { "addresses": ["10.0.0.1"] }])),
        slice(json!([{ "addresses": ["10.0.0.2", "10.0.0.9"] }])),
        slice(json!([])),
    ]);
    assert_eq!(pods(&merged), first(&["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"]));
    assert_eq!(merged.counts, Counts { ready: 3, terminating: 0, not_ready: 0 });
    assert_eq!((merged.problem, merged.remark), (None, None));
}

#[test]
fn an_address_counts_once_in_its_best_condition() {
    let gone = json!({ "ready": false });
    let leaving = json!({ "ready": false, "serving": true, "terminating": true });
    let slices = [
        slice(json!([{ "addresses": ["10.0.0.1"], "conditions": gone }])),
        slice(json!([{ "addresses": ["10.0.0.1"] }])),
        slice(json!([{ "addresses": ["10.0.0.1"], "conditions": leaving }])),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let merged = merged(&order.map(|index| slices[index].clone()));
        assert_eq!(pods(&merged), first(&["10.0.0.1:8000"]));
        assert_eq!(merged.counts, Counts { ready: 1, terminating: 0, not_ready: 0 });
    }
    let merged = merged(&[slices[0].clone(), slices[2].clone()]);
    assert_eq!(pods(&merged), [("10.0.0.1:8000".to_owned(), Tier::Leaving)]);
}

#[test]
fn a_pod_with_addresses_of_both_kinds_is_one() {
    let pod =
        |address: &str, uid: &str| json!({ "addresses": [address], "targetRef": { "uid": uid } });
    let merged = merged(&[
        slice(json!([pod("fd00::1", "a"), pod("fd00::2", "b"), { "addresses": ["fd00::3"] }])),
        slice(json!([pod("10.0.0.1", "a"), pod("::ffff:10.0.0.4", "d")])),
    ]);
    assert_eq!(
        pods(&merged),
        first(&["10.0.0.1:8000", "10.0.0.4:8000", "[fd00::2]:8000", "[fd00::3]:8000"])
    );
    // The controller writes the slices of one kind before those of the other.
    let not_yet = json!({ "addresses": ["10.0.0.1"], "targetRef": { "uid": "a" }, "conditions": { "ready": false } });
    let merged = self::merged(&[slice(json!([not_yet])), slice(json!([pod("fd00::1", "a")]))]);
    assert_eq!(pods(&merged), first(&["[fd00::1]:8000"]));
}

#[test]
fn a_port_is_found_by_name_or_by_number() {
    let endpoints = json!([{ "addresses": ["10.0.0.1"] }]);
    let slices = [slice(endpoints.clone())];
    let at = |port| pods(&merged_at(&slices, &port, None));
    assert_eq!(at(http()), first(&["10.0.0.1:8000"]));
    assert_eq!(at(ServicePort::Number(9000)), first(&["10.0.0.1:9000"]));
    // Pods may listen elsewhere, by the same name: each slice has its own number.
    let other = with_ports(
        json!([{ "name": "http", "port": 8001 }]),
        json!([{ "addresses": ["10.0.0.2"] }]),
    );
    let merged = merged(&[slices[0].clone(), other]);
    assert_eq!(pods(&merged), first(&["10.0.0.1:8000", "10.0.0.2:8001"]));
    // A port without a name has an empty one.
    let unnamed = [with_ports(json!([{ "name": "", "port": 80 }]), endpoints)];
    assert_eq!(pods(&merged_at(&unnamed, &ServicePort::Number(80), None)), first(&["10.0.0.1:80"]));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(merged(&[]).problem, Some(Problem::NoService));
    let slices = [slice(json!([{ "addresses": ["10.0.0.1"] }]))];
    for port in [
        ServicePort::Name("web".parse().unwrap()),
        ServicePort::Number(80),
        // It is there, but not over TCP.
        ServicePort::Number(53),
    ] {
        let merged = merged_at(&slices, &port, None);
        assert!(merged.pods.is_empty());
        let have = vec!["http (8000)".to_owned(), "metrics (9000)".to_owned()];
        assert_eq!(merged.problem, Some(Problem::NoPort(have)), "{port}");
    }
    // Pods, but nothing that they listen at, or not over TCP.
    for ports in [Value::Null, json!([{ "name": "http", "port": 8000, "protocol": "UDP" }])] {
        let merged = merged(&[with_ports(ports, json!([{ "addresses": ["10.0.0.1"] }]))]);
        assert_eq!(merged.problem, Some(Problem::NoPort(Vec::new())));
    }
    // What a Service without pods has.
    let empty = with_ports(Value::Null, json!([]));
    assert_eq!(merged(std::slice::from_ref(&empty)).problem, None);
    assert_eq!(merged(&[empty, slices[0].clone()]).problem, None);
}

#[test]
fn what_cannot_be_connected_to_is_left_out() {
    let merged = merged(&[slice(json!([
        { "addresses": ["10.0.0.1"] },
        { "addresses": [] },
        { "addresses": ["pod.example.com"] },
        { "addresses": ["0.0.0.0"] },
        { "addresses": ["224.0.0.1"] },
    ]))]);
    assert_eq!(pods(&merged), first(&["10.0.0.1:8000"]));
    assert_eq!(merged.remark.as_deref(), Some("4 of its endpoints have no address of use"));
    for port in [json!(0), json!(-1), json!(70_000), Value::Null] {
        let ports = json!([{ "name": "http", "port": port }]);
        let merged = self::merged(&[with_ports(ports, json!([{ "addresses": ["10.0.0.1"] }]))]);
        assert!(merged.pods.is_empty());
    }
}

#[test]
fn hints_count_if_everybody_has_them_and_one_is_for_us() {
    let hinted = |address: &str, zones: &[&str]| {
        let zones: Vec<Value> = zones.iter().map(|zone| json!({ "name": zone })).collect();
        json!({ "addresses": [address], "hints": { "forZones": zones } })
    };
    let tiers = |endpoints: Value, zone: Option<&str>| {
        let merged = merged_at(&[slice(endpoints)], &http(), zone);
        merged.pods.iter().map(|pod| pod.tier).collect::<Vec<_>>()
    };
    let all = json!([
        hinted("10.0.0.1", &["a"]),
        hinted("10.0.0.2", &["b"]),
        hinted("10.0.0.3", &["b", "a"])
    ]);
    assert_eq!(tiers(all.clone(), Some("a")), [Tier::First, Tier::OtherZone, Tier::First]);
    assert_eq!(tiers(all.clone(), Some("b")), [Tier::OtherZone, Tier::First, Tier::First]);
    for zone in [None, Some("c")] {
        assert_eq!(tiers(all.clone(), zone), [Tier::First; 3], "{zone:?}");
    }
    let some = json!([hinted("10.0.0.1", &["a"]), { "addresses": ["10.0.0.2"] }]);
    assert_eq!(tiers(some, Some("a")), [Tier::First; 2]);
    // One that is not ready has no say: the controller gives it no hint.
    let leaving = json!({ "ready": false, "serving": true, "terminating": true });
    let mixed = json!([
        hinted("10.0.0.1", &["a"]),
        hinted("10.0.0.2", &["b"]),
        { "addresses": ["10.0.0.3"], "conditions": leaving },
    ]);
    assert_eq!(tiers(mixed, Some("a")), [Tier::First, Tier::OtherZone, Tier::Leaving]);
}

#[test]
fn there_is_a_most() {
    let many: Vec<Value> = (0..10_500u32)
        .map(
            |n| json!({ "addresses": [std::net::Ipv4Addr::from(0x0a00_0000 + n + 1).to_string()] }),
        )
        .collect();
    let slices: Vec<_> = many.chunks(1000).map(|endpoints| slice(json!(endpoints))).collect();
    let merged = merged(&slices);
    assert_eq!(merged.pods.len(), 10_000);
    assert_eq!(merged.remark.as_deref(), Some("only 10000 of its 10500 pods are used"));
    // Those that leave go first.
    let mut conditions = many;
    for pod in &mut conditions[..700] {
        pod["conditions"] = json!({ "ready": false, "serving": true, "terminating": true });
    }
    let slices: Vec<_> = conditions.chunks(1000).map(|pods| slice(json!(pods))).collect();
    let merged = self::merged(&slices);
    let leaving = merged.pods.iter().filter(|pod| pod.tier == Tier::Leaving).count();
    assert_eq!((merged.pods.len(), leaving), (10_000, 200));
    assert!(merged.pods.is_sorted_by_key(|pod| pod.address));
}
