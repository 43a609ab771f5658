//! Request smuggling: what must not pass, and what must, as published.
//!
//! A case is bytes of a client and what may come of them. The origin keeps every
//! byte and reads it strictly; a request on another connection follows each case,
//! to see whether something was left there.
//!
//! Sources: RFC 9112 and RFC 9110; Linhart and others, "HTTP Request Smuggling"
//! (2005); Kettle, "HTTP Desync Attacks" (2019), "Browser-Powered Desync Attacks"
//! (2022) and "HTTP/1.1 must die" (2025); Weikop, "Funky chunks" (2025).

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod both_lengths;
mod case;
mod chunks;
mod client;
mod connection;
mod content_length;
mod early_answers;
mod expectations;
mod field_lines;
mod hosts;
mod legal;
mod line_ends;
mod origin;
mod request_line;
mod run;
mod strangers;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
mod trailers;
mod transfer_encoding;
mod wire;

use std::collections::HashSet;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::case::{Case, End};
use crate::client::Pace;
use crate::origin::RecordingOrigin;
use crate::run::Bench;
use crate::support::RawOrigin;

/// A name, and its cases.
type Family = (&'static str, fn() -> Vec<Case>);

const FAMILIES: &[Family] = &[
    ("both-lengths", both_lengths::cases),
    ("transfer-encoding", transfer_encoding::cases),
    ("content-length", content_length::cases),
    ("field-lines", field_lines::cases),
    ("line-ends", line_ends::cases),
    ("request-line", request_line::cases),
    ("hosts", hosts::cases),
    ("chunks", chunks::cases),
    ("trailers", trailers::cases),
    ("connection", connection::cases),
    ("expectations", expectations::cases),
    ("early-answers", early_answers::cases),
    ("strangers", strangers::cases),
    ("legal", legal::cases),
];

fn cases_of(name: &str) -> Vec<Case> {
    let (family, cases) = FAMILIES.iter().find(|(family, _)| *family == name).unwrap();
    cases().into_iter().map(|case| case.of(family)).collect()
}

fn corpus() -> Vec<Case> {
    FAMILIES.iter().flat_map(|(family, _)| cases_of(family)).collect()
}

macro_rules! families {
    ($($test:ident: $family:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                run::family(cases_of($family)).await;
            }
        )+

        /// The families that run.
        const RUN: &[&str] = &[$($family),+];
    };
}

families! {
    a_message_has_one_length: "both-lengths";
    the_only_transfer_coding_is_chunked: "transfer-encoding";
    content_length_is_one_number: "content-length";
    field_lines_are_names_and_values: "field-lines";
    only_cr_lf_ends_a_line: "line-ends";
    the_request_line_has_one_form: "request-line";
    a_request_has_one_host: "hosts";
    chunks_are_as_long_as_they_say: "chunks";
    trailers_change_nothing: "trailers";
    connection_takes_nothing_away: "connection";
    an_expectation_shifts_no_response: "expectations";
    an_early_answer_leaves_no_body_behind: "early-answers";
    other_protocols_are_turned_away: "strangers";
    what_is_legal_passes_in_canonical_form: "legal";
}

#[test]
fn the_corpus_has_at_least_a_hundred_cases_with_names_of_their_own() {
    let corpus = corpus();
    assert!(corpus.len() >= 100, "{}", corpus.len());
    let mut targets = HashSet::new();
    for case in &corpus {
        assert!(targets.insert(case.target()), "{} is given twice", case.name);
    }
    let families: Vec<_> = FAMILIES.iter().map(|(family, _)| *family).collect();
    assert_eq!(families, RUN);
    for case in corpus {
        assert!(!case.bytes.is_empty() && !case.outcomes.is_empty(), "{}", case.name);
    }
}

#[test]
fn few_cases_have_more_than_one_outcome() {
    let many = corpus().iter().filter(|case| case.outcomes.len() > 1).count();
    assert!(many * 10 <= corpus().len(), "{many}");
}

/// The corpus finds something: a relay that reads nothing passes no attack.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_only_copies_fails_every_attack() {
    let origin = RecordingOrigin::start().await;
    let address = origin.address;
    let relay = RawOrigin::start(move |mut client| async move {
        let mut origin = TcpStream::connect(address).await.unwrap();
        // Err: one of the two has gone.
        let _ = copy_bidirectional(&mut client, &mut origin).await;
    })
    .await;
    // It fails by being silent, too; that need not take long.
    let mut bench = Bench::new(relay.address, &origin, Duration::from_millis(50));
    for case in cases_of("both-lengths") {
        assert!(case.outcomes.iter().all(|outcome| outcome.end != End::Quiet), "{}", case.name);
        assert!(!bench.run(&case, Pace::AtOnce).await, "{} passed", case.name);
    }
}
