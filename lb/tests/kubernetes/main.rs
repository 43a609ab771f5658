//! Endpoints from Kubernetes: a real `lb`, real backends, and an API server.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

mod api;
mod kubeconfig;
mod slices;
