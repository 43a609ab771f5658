//! The engine of a suite gets into every configuration of its tests.

use crate::support::{Engine, engine};

#[test]
fn a_suite_names_its_engine_on_every_listener() {
    let cases = [
        (
            "listeners: { a: { bind: [x] }, b: {bind: [x]} }\nworkers: 1\n",
            "listeners: { a: { engine: pingora, bind: [x] }, b: { engine: pingora,bind: [x]} }\nworkers: 1\n",
        ),
        (
            "workers: 1 # é\nlisteners:\n  a:\n    bind: [x]\n    tls: {}\n  # é\n  b: { bind: [x] }\n",
            "workers: 1 # é\nlisteners:\n  a:\n    engine: pingora\n    bind: [x]\n    tls: {}\n  # é\n  b: { engine: pingora, bind: [x] }\n",
        ),
        (
            "listeners:\n  a:\n    { bind: [x] }\n  b: &b\n    bind: [x]\n  c: *b\nupstreams: {}\n",
            "listeners:\n  a:\n    { engine: pingora, bind: [x] }\n  b: &b\n    engine: pingora\n    bind: [x]\n  c: *b\nupstreams: {}\n",
        ),
        ("upstreams: {}\n", "upstreams: {}\n"),
    ];
    for (written, carried) in cases {
        assert_eq!(Engine::Pingora.carries(written), carried);
        assert_eq!(Engine::Auto.carries(written), written);
    }
}

#[test]
fn a_test_that_names_an_engine_itself_keeps_it() {
    let yaml =
        "listeners:\n  a: { bind: [x], engine: auto }\n  b:\n    bind: [x]\n    engine: pingora\n";
    assert_eq!(Engine::Pingora.carries(yaml), yaml);
}

#[test]
fn the_suite_that_is_named_after_pingora_runs_with_it() {
    let pingora = module_path!().starts_with("e2e_pingora::");
    assert_eq!(engine(), if pingora { Engine::Pingora } else { Engine::Auto });
}
