//! Tickets on clocks of the tests' own.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls_pki_types::CertificateDer;

use super::*;

const HOUR: u64 = 60 * 60;

struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    fn at(hours: u64) -> Self {
        Self(Arc::new(AtomicU64::new(hours * HOUR)))
    }

    fn set(&self, hours: u64) {
        self.0.store(hours * HOUR, Ordering::SeqCst);
    }

    fn handle(&self) -> TicketClock {
        let now = Arc::clone(&self.0);
        Arc::new(move || now.load(Ordering::SeqCst))
    }
}

fn ticketer(policy: TicketPolicy, source: &TicketSource, clock: &FakeClock) -> Ticketer {
    Ticketer::with_clock(policy, source.clone(), clock.handle())
        .expect("keys are derived")
        .expect("there are tickets")
}

fn open_policy() -> TicketPolicy {
    TicketPolicy::new(false, None)
}

fn process() -> TicketSource {
    TicketSource::Process(Arc::new(ProcessSecret::random().expect("random bytes")))
}

fn file(byte: u8) -> TicketSecret {
    TicketSecret::new(&[byte; 48])
}

#[test]
fn every_part_of_a_policy_tells_policies_apart() {
    let authority = |byte| CertificateDer::from(vec![byte; 8]);
    let auth = |authorities: &[u8], mode| ClientAuth {
        authorities: authorities.iter().copied().map(authority).collect(),
        mode,
    };
    let policies = [
        TicketPolicy::new(false, None),
        TicketPolicy::new(true, None),
        TicketPolicy::new(false, Some(&auth(&[1], ClientAuthMode::Require))),
        TicketPolicy::new(false, Some(&auth(&[1], ClientAuthMode::Request))),
        TicketPolicy::new(true, Some(&auth(&[1], ClientAuthMode::Require))),
        TicketPolicy::new(false, Some(&auth(&[2], ClientAuthMode::Require))),
        TicketPolicy::new(false, Some(&auth(&[1, 2], ClientAuthMode::Require))),
    ];
    for source in [process(), TicketSource::Files(vec![file(1)])] {
        let clock = FakeClock::at(100);
        for (one, policy) in policies.iter().enumerate() {
            let ticket = ticketer(*policy, &source, &clock).encrypt(b"session").expect("a ticket");
            for (other, accepting) in policies.iter().enumerate() {
                let read = ticketer(*accepting, &source, &clock).decrypt(&ticket);
                assert_eq!(read.is_some(), one == other, "{one} read by {other}");
            }
        }
    }
    assert_eq!(
        TicketPolicy::new(false, Some(&auth(&[1, 2], ClientAuthMode::Require))),
        TicketPolicy::new(false, Some(&auth(&[2, 1, 2], ClientAuthMode::Require))),
    );
}

#[test]
fn tickets_live_through_the_next_period_and_no_longer() {
    for source in [process(), TicketSource::Files(vec![file(1)])] {
        let clock = FakeClock::at(0);
        let ticketer = ticketer(open_policy(), &source, &clock);
        clock.set(600);
        let ticket = ticketer.encrypt(b"session").expect("a ticket");
        for (hours, accepted) in [(600, true), (605, true), (611, true), (612, false)] {
            clock.set(hours);
            // In use meanwhile, as it would be.
            assert!(ticketer.encrypt(b"another").is_some());
            assert_eq!(ticketer.decrypt(&ticket).is_some(), accepted, "{hours} {source:?}");
        }
        let lifetime = u64::from(ticketer.lifetime());
        assert_eq!(lifetime, 12 * HOUR);
    }
}

#[test]
fn a_reload_keeps_the_tickets_of_the_process() {
    let (source, clock) = (process(), FakeClock::at(7));
    let ticket = ticketer(open_policy(), &source, &clock).encrypt(b"session").expect("a ticket");
    clock.set(13);
    let after = ticketer(open_policy(), &source, &clock);
    assert_eq!(after.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(ticketer(open_policy(), &process(), &clock).decrypt(&ticket), None);
}

#[test]
fn nodes_with_the_same_files_read_each_others_tickets() {
    let source = TicketSource::Files(vec![file(1)]);
    // Within the same six hours, the same six hours less a little, and after.
    for (ours, theirs) in [(600, 600), (606, 605), (605, 606)] {
        let one = ticketer(open_policy(), &source, &FakeClock::at(ours));
        let other = ticketer(open_policy(), &source, &FakeClock::at(theirs));
        let ticket = one.encrypt(b"session").expect("a ticket");
        assert!(other.decrypt(&ticket).is_some(), "{ours} {theirs}");
    }
}

#[test]
fn the_first_file_encrypts_and_all_decrypt() {
    let clock = FakeClock::at(600);
    let only = |byte| ticketer(open_policy(), &TicketSource::Files(vec![file(byte)]), &clock);
    let both = ticketer(open_policy(), &TicketSource::Files(vec![file(2), file(1)]), &clock);
    let of_first = only(1).encrypt(b"session").expect("a ticket");
    assert!(both.decrypt(&of_first).is_some());
    let of_both = both.encrypt(b"session").expect("a ticket");
    assert!(only(2).decrypt(&of_both).is_some());
    assert!(only(1).decrypt(&of_both).is_none());
}

#[test]
fn files_are_replaced_in_use() {
    let clock = FakeClock::at(600);
    let ticketer = ticketer(open_policy(), &TicketSource::Files(vec![file(1)]), &clock);
    let old = ticketer.encrypt(b"session").expect("a ticket");
    assert!(!ticketer.replace(vec![file(1)]), "the same");
    assert!(ticketer.replace(vec![file(2), file(1)]));
    assert!(ticketer.decrypt(&old).is_some());
    let new = ticketer.encrypt(b"session").expect("a ticket");
    assert_ne!(new[..NAME_BYTES], old[..NAME_BYTES]);
    assert!(ticketer.replace(vec![file(2)]));
    assert!(ticketer.decrypt(&old).is_none());
    assert!(ticketer.decrypt(&new).is_some());
}

#[test]
fn what_is_not_a_ticket_is_none() {
    let clock = FakeClock::at(600);
    let ticketer = ticketer(open_policy(), &process(), &clock);
    let ticket = ticketer.encrypt(b"session").expect("a ticket");
    for length in 0..ticket.len() {
        assert_eq!(ticketer.decrypt(&ticket[..length]), None, "{length}");
    }
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert_eq!(ticketer.decrypt(&changed), None, "{at}");
    }
    let mut longer = ticket.clone();
    longer.push(0);
    assert_eq!(ticketer.decrypt(&longer), None);
    longer.resize(LONGEST_TICKET + 1, 0);
    assert_eq!(ticketer.decrypt(&longer), None);
    assert_eq!(ticketer.encrypt(&vec![0; LONGEST_TICKET]), None);
    let longest = ticketer.encrypt(&vec![0; LONGEST_TICKET - 44]).expect("a ticket");
    assert_eq!(ticketer.decrypt(&longest).map(|plain| plain.len()), Some(LONGEST_TICKET - 44));
}

#[test]
fn two_tickets_of_one_session_differ() {
    let ticketer = ticketer(open_policy(), &process(), &FakeClock::at(600));
    assert_ne!(ticketer.encrypt(b"session"), ticketer.encrypt(b"session"));
}
