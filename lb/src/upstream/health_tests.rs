//! Health, second by second.

use std::time::{Duration, Instant};

use super::check::Due;
use super::health::*;
use super::outlier::Reason;

fn check(unhealthy_after: u8, healthy_after: u8) -> CheckSettings {
    CheckSettings {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(10),
        failing_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        unhealthy_after,
        healthy_after,
    }
}

const PASSIVE: PassiveSettings = PassiveSettings {
    max_fails: 3,
    fail_timeout: Duration::from_secs(30),
    min_healthy_percent: 50,
};

#[test]
fn no_traffic_before_the_first_success() {
    let health = Health::new(Instant::now());
    assert!(!health.is_checked_healthy());
    assert_eq!(
        health.record_check(false, Due::BySchedule, Instant::now(), &check(3, 1)),
        Some(Transition::Down)
    );
    assert_eq!(
        health.record_check(true, Due::BySchedule, Instant::now(), &check(3, 1)),
        Some(Transition::Up)
    );
    assert!(health.is_checked_healthy());
}

#[test]
fn thresholds_count_results_in_a_row() {
    let settings = check(3, 2);
    let health = Health::new(Instant::now());
    health.record_check(true, Due::BySchedule, Instant::now(), &settings);
    for result in [false, false, true, false, false] {
        assert_eq!(health.record_check(result, Due::BySchedule, Instant::now(), &settings), None);
        assert!(health.is_checked_healthy());
    }
    assert!(health.is_failing());
    assert_eq!(
        health.record_check(false, Due::BySchedule, Instant::now(), &settings),
        Some(Transition::Down)
    );
    assert_eq!(health.record_check(true, Due::BySchedule, Instant::now(), &settings), None);
    assert_eq!(
        health.record_check(true, Due::BySchedule, Instant::now(), &settings),
        Some(Transition::Up)
    );
    assert!(!health.is_failing());
}

#[test]
fn three_failures_within_the_time_take_out_for_that_time() {
    let start = Instant::now();
    let health = Health::new(start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(!health.record_failure(at(0), &PASSIVE, || true));
    assert!(!health.record_failure(at(31), &PASSIVE, || true));
    assert!(!health.record_failure(at(32), &PASSIVE, || true), "the first one is too old");
    assert!(health.record_failure(at(33), &PASSIVE, || true));
    assert!(health.is_ejected(at(62)));
    assert!(!health.is_ejected(at(63)));
    assert!(!health.record_failure(at(64), &PASSIVE, || true), "it starts afresh");
}

#[test]
fn a_check_that_a_failure_asked_for_does_not_bring_it_back() {
    let start = Instant::now();
    let health = Health::new(start);
    health.record_check(true, Due::BySchedule, start, &check(3, 1));
    for _ in 0..3 {
        health.record_failure(start, &PASSIVE, || true);
    }
    health.record_check(true, Due::OnFailure, start, &check(3, 1));
    assert!(health.is_ejected(start));
    health.record_check(true, Due::BySchedule, start, &check(3, 1));
    assert!(!health.is_ejected(start));
}

#[test]
fn an_active_success_brings_it_back_early() {
    let start = Instant::now();
    let health = Health::new(start);
    for _ in 0..3 {
        health.record_failure(start, &PASSIVE, || true);
    }
    assert!(health.is_ejected(start));
    health.record_check(true, Due::BySchedule, start, &check(3, 1));
    assert!(!health.is_ejected(start));
}

#[test]
fn zero_turns_it_off_and_a_veto_keeps_it_in() {
    let start = Instant::now();
    let health = Health::new(start);
    let off = PassiveSettings { max_fails: 0, ..PASSIVE };
    for _ in 0..10 {
        assert!(!health.record_failure(start, &off, || true));
        assert!(!health.record_failure(start, &PASSIVE, || false));
    }
    assert!(!health.is_ejected(start));
    assert!(
        health.record_failure(start, &PASSIVE, || true),
        "once the veto falls, the next failure counts"
    );
}

#[test]
fn an_outlier_is_out_for_longer_each_time_and_no_check_brings_it_back() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let base = Duration::from_secs(30);
    let reason = Reason::ErrorRate { errors: 1, requests: 1 };
    let health = Health::new(start);
    assert_eq!(health.eject(at(0), base, reason).as_secs(), 30);
    health.record_check(true, Due::BySchedule, at(1), &check(3, 1));
    assert!(health.is_ejected(at(29)), "it answers its checks, as it did before");
    assert!(!health.take_end_of_ejection(at(29)));
    assert!(!health.is_ejected(at(30)));
    assert!(health.take_end_of_ejection(at(30)));
    assert!(!health.take_end_of_ejection(at(30)), "said once");
    assert_eq!(health.up_for(at(40)), Some(Duration::from_secs(10)));
    for expected in [60, 120, 240, 480, 480, 480] {
        assert_eq!(health.eject(at(100), base, reason).as_secs(), expected);
    }
    for expected in [240, 120, 60] {
        health.forgive();
        health.forgive();
        assert_eq!(health.eject(at(100), base, reason).as_secs(), expected);
    }
    assert_eq!(health.ejections()[1], ("error_rate", 10));
}

#[test]
fn who_comes_back_is_known_since_when() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let up_for = |health: &Health, seconds| health.up_for(at(seconds)).map(|up| up.as_secs());
    let health = Health::new(start);
    health.record_check(true, Due::BySchedule, at(1), &check(1, 1));
    assert_eq!(up_for(&health, 2), None, "it was there from the beginning");
    health.record_check(false, Due::BySchedule, at(10), &check(1, 1));
    health.record_check(true, Due::BySchedule, at(20), &check(1, 1));
    assert_eq!(up_for(&health, 25), Some(5));
    for _ in 0..3 {
        health.record_failure(at(30), &PASSIVE, || true);
    }
    assert_eq!(up_for(&health, 40), Some(0), "it is still out");
    assert_eq!(up_for(&health, 65), Some(5), "it came back by time");
    for _ in 0..3 {
        health.record_failure(at(100), &PASSIVE, || true);
    }
    health.record_check(true, Due::BySchedule, at(110), &check(1, 1));
    assert_eq!(up_for(&health, 115), Some(5), "a check brought it back early");
    let new = Health::new(start);
    new.come_back(at(1));
    new.record_check(true, Due::BySchedule, at(3), &check(1, 1));
    assert_eq!(up_for(&new, 5), Some(2), "new to a running process");
}
