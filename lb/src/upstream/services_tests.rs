//! Pods of Services as endpoints: who takes requests while they come and go.

use std::sync::Arc;
use std::time::Instant;

use super::kubernetes::testing::list as set;
use super::testing::{arrange, labels, state, upstream};
use super::{Lease, Placement, Service, Tried, Unavailable, Upstream};
use crate::snapshot::Registry;

const SERVICE: &str = "kubernetes: { namespace: a, service: b, port: c }";

fn pods_of(more: &str) -> Arc<Upstream> {
    upstream(&Registry::default(), &format!("endpoints_from: {{ {SERVICE} }}{more}"))
}

fn service(upstream: &Upstream) -> &Arc<Service> {
    upstream.services().next().unwrap()
}

/// The Service has these pods now.
fn list(upstream: &Upstream, pods: &str) {
    set(service(upstream), pods);
    arrange(upstream);
}

fn lease_after(upstream: &Upstream, tried: &Tried) -> Result<Lease, Unavailable> {
    upstream.lease(Placement { random: 0, key: 0, now: Instant::now() }, tried)
}

fn lease(upstream: &Upstream) -> Result<Lease, Unavailable> {
    lease_after(upstream, &Tried::default())
}

/// Whoever takes ten requests, one after the other.
fn taken(upstream: &Upstream) -> Vec<String> {
    let mut labels: Vec<String> =
        (0..10).map(|_| lease(upstream).unwrap().endpoint().label().to_string()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

#[test]
fn the_leaving_are_last_of_all() {
    let api = upstream(
        &Registry::default(),
        &format!(
            r#"endpoints_from: {{ {SERVICE} }}, endpoints: [{{ address: "10.9.9.9:1", backup: true }}]"#
        ),
    );
    list(&api, "10.0.0.1:1, 10.0.0.2:1 other, 10.0.0.3:1 leaving");
    assert_eq!(taken(&api), ["10.0.0.1:1"]);
    list(&api, "10.0.0.2:1 other, 10.0.0.3:1 leaving");
    assert_eq!(taken(&api), ["10.0.0.2:1"]);
    list(&api, "10.0.0.3:1 leaving");
    assert_eq!(taken(&api), ["10.9.9.9:1"]);
    // It has failed this request; the other has not.
    let mut tried = Tried::default();
    tried.insert(&state(&api, "10.9.9.9:1"));
    let second = lease_after(&api, &tried).unwrap();
    assert_eq!(&**second.endpoint().label(), "10.0.0.3:1");
}

#[test]
fn a_pod_that_is_told_to_go_keeps_what_is_open_and_gets_nothing_new() {
    let api = pods_of("");
    list(&api, "10.0.0.1:1, 10.0.0.2:1");
    let first = state(&api, "10.0.0.1:1");
    let open = (0..2).map(|_| lease(&api).unwrap()).collect::<Vec<_>>();
    list(&api, "10.0.0.1:1 leaving, 10.0.0.2:1");
    assert_eq!((first.in_flight(), first.is_retired()), (1, false));
    assert_eq!(taken(&api), ["10.0.0.2:1"]);
    // It comes back, as it was.
    list(&api, "10.0.0.1:1, 10.0.0.2:1");
    assert_eq!(state(&api, "10.0.0.1:1").id(), first.id());
    assert_eq!(taken(&api).len(), 2);
    list(&api, "10.0.0.2:1");
    assert!(first.is_retired(), "what is open there has its drain timeout now");
    drop(open);
}

#[test]
fn the_full_are_not_relieved_by_the_leaving() {
    let api = upstream(
        &Registry::default(),
        &format!("endpoints_from: {{ {SERVICE}, max_connections: 1 }}"),
    );
    list(&api, "10.0.0.1:1, 10.0.0.2:1 other, 10.0.0.3:1 leaving");
    let first = lease(&api).unwrap();
    let second = lease(&api).unwrap();
    assert_eq!(&**second.endpoint().label(), "10.0.0.2:1", "another zone does relieve");
    assert_eq!(lease(&api).unwrap_err(), Unavailable::Full);
    drop((first, second));
    list(&api, "10.0.0.3:1 leaving");
    let last = lease(&api).unwrap();
    assert_eq!(lease(&api).unwrap_err(), Unavailable::Full);
    drop(last);
}

#[test]
fn a_service_without_pods_has_no_endpoints() {
    let api = pods_of("");
    assert_eq!(lease(&api).unwrap_err(), Unavailable::NoEndpoint, "nothing is known yet");
    list(&api, "10.0.0.1:1");
    assert_eq!(taken(&api), ["10.0.0.1:1"]);
    // Others may have these addresses by now.
    list(&api, "");
    assert!(labels(&api).is_empty());
    assert_eq!(lease(&api).unwrap_err(), Unavailable::NoEndpoint);
}

#[test]
fn the_old_stay_until_one_of_the_new_is_healthy() {
    let api = pods_of(", health_check: { path: / }");
    list(&api, "10.0.0.1:1");
    state(&api, "10.0.0.1:1").health.assume_healthy();
    list(&api, "10.0.0.2:1");
    assert_eq!(labels(&api), ["10.0.0.2:1", "10.0.0.1:1"]);
    assert_eq!(taken(&api), ["10.0.0.1:1"]);
    state(&api, "10.0.0.2:1").health.assume_healthy();
    arrange(&api);
    assert_eq!(labels(&api), ["10.0.0.2:1"]);
    // While nobody is to be here, nobody is, healthy or not.
    list(&api, "");
    assert!(labels(&api).is_empty());
}

/// A reload may put a Service in the place of a list: until its pods are known, the list
/// holds.
#[test]
fn what_is_not_listed_yet_takes_nobodys_place() {
    let registry = Registry::default();
    let old = upstream(&registry, r#"endpoints: [{ address: "10.0.0.1:1" }]"#);
    let new = upstream(&registry, &format!("endpoints_from: {{ {SERVICE} }}"));
    new.take_over(&old.members().endpoints);
    assert_eq!(taken(&new), ["10.0.0.1:1"]);
    list(&new, "10.0.0.2:1");
    assert_eq!(taken(&new), ["10.0.0.2:1"]);
}

/// Not even the others of the upstream are to have all of it until then.
#[test]
fn a_source_that_is_spelled_otherwise_costs_nobody() {
    let registry = Registry::default();
    let others =
        r#"endpoints: [{ address: "10.0.0.8:1" }, { address: "10.0.0.9:1", backup: true }]"#;
    let old = upstream(&registry, &format!("endpoints_from: {{ {SERVICE} }}, {others}"));
    list(&old, "10.0.0.1:1, 10.0.0.2:1");
    let new = upstream(
        &registry,
        &format!("endpoints_from: {{ {} }}, {others}", SERVICE.replace("port: c", "port: d")),
    );
    new.take_over(&old.members().endpoints);
    let all = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.8:1"];
    assert_eq!(taken(&new), all);
    // As often as that is looked at.
    arrange(&new);
    assert_eq!(taken(&new), all);
    list(&new, "10.0.0.2:1");
    assert_eq!(taken(&new), all[1..]);
}

/// Who leaves a Service that is known does not stay for another that is not.
#[test]
fn what_is_not_listed_keeps_nobody_of_others() {
    let registry = Registry::default();
    let old = upstream(&registry, &format!("endpoints_from: {{ {SERVICE} }}"));
    list(&old, "10.0.0.1:1, 10.0.0.2:1");
    let second = SERVICE.replace("service: b", "service: x");
    let new = upstream(&registry, &format!("endpoints_from: [{{ {SERVICE} }}, {{ {second} }}]"));
    new.take_over(&old.members().endpoints);
    list(&new, "10.0.0.2:1");
    assert_eq!(taken(&new), ["10.0.0.2:1"]);
}

#[test]
fn a_backup_does_not_take_the_place_of_those_that_are_about_to_be_checked() {
    let api = upstream(
        &Registry::default(),
        &format!(
            r#"health_check: {{ path: / }}, endpoints_from: {{ {SERVICE} }}, endpoints: [{{ address: "10.9.9.9:1", backup: true }}]"#
        ),
    );
    list(&api, "10.0.0.1:1");
    state(&api, "10.9.9.9:1").health.assume_healthy();
    state(&api, "10.0.0.1:1").health.assume_healthy();
    list(&api, "10.0.0.2:1");
    assert_eq!(taken(&api), ["10.0.0.1:1"]);
    state(&api, "10.0.0.2:1").health.assume_healthy();
    arrange(&api);
    assert_eq!(taken(&api), ["10.0.0.2:1"]);
    list(&api, "");
    assert_eq!(taken(&api), ["10.9.9.9:1"], "that is what it is for");
}

#[test]
fn another_snapshot_knows_the_pods() {
    let registry = Registry::default();
    let old = upstream(&registry, &format!("endpoints_from: {{ {SERVICE} }}"));
    list(&old, "10.0.0.1:1");
    let counted = lease(&old).unwrap();
    let new = upstream(&registry, &format!("endpoints_from: {{ {SERVICE}, weight: 2 }}"));
    assert!(Arc::ptr_eq(service(&old), service(&new)));
    assert_eq!(labels(&new), ["10.0.0.1:1"]);
    assert_eq!(state(&new, "10.0.0.1:1").in_flight(), 1);
    drop(counted);
}
