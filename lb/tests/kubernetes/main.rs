//! Endpoints from Kubernetes: a real `lb`, real backends, and an API server.
//!
//! The API server is one in this process (`api`), or a real one for `anywhere`: see
//! `cluster`. What only the one in this process can do is in `stub_only` and `a_minute`.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod a_minute;
mod anywhere;
mod api;
mod checking;
mod cluster;
mod kubeconfig;
mod load;
mod pods;
mod scene;
mod slices;
mod stays;
mod stub_only;

#[path = "../handover/family.rs"]
#[expect(dead_code, reason = "shared with the tests of handing over")]
mod family;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests in e2e")]
mod support;
