//! The same truth on both engines: thousands of generated exchanges go through
//! `engine: auto` and through `engine: pingora`, and what origin and client read
//! of them is the same, but for what `allowed.rs` lists.
//!
//! `PROPTEST_CASES` says how many cases each test runs, `PROPTEST_RNG_SEED` with
//! which seed, which every test prints. A case that fails is kept in
//! `failures.txt`, by its own seed, and runs first from then on.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod allowed;
mod barrier;
mod bench;
mod case;
mod client;
mod generate;
mod observed;
mod origin;
mod requests;
mod responses;
mod script;
mod seen;
mod self_test;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
mod text;
mod wire;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestError, TestRunner};

use crate::bench::Bench;
use crate::case::Case;

/// Cases of a test, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 2000;

const FAILURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/failures.txt");

/// Runs cases until one fails, and that in its smallest form.
fn the_engines_agree_on(cases: impl Strategy<Value = Case>) {
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        max_shrink_time: 120_000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => fastrand::u64(..),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    println!("{} cases, PROPTEST_RNG_SEED={seed}", config.cases);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::start());
    let result = TestRunner::new(config)
        .run(&cases, |case| runtime.block_on(bench.judge(&case)).map_err(TestCaseError::fail));
    print!("allowed differences:\n{}", bench.tally);
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => {
            panic!("PROPTEST_RNG_SEED={seed} finds\n{case}\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn sound_exchanges_are_the_same() {
    the_engines_agree_on(generate::sound());
}

#[test]
fn what_is_made_of_unsound_responses_is_the_same() {
    the_engines_agree_on(generate::unsound_responses());
}

#[test]
fn what_is_made_of_unsound_requests_is_the_same() {
    the_engines_agree_on(generate::unsound_requests());
}

#[test]
fn what_is_made_of_early_answers_is_the_same() {
    the_engines_agree_on(generate::early_answers());
}
