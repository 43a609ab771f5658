//! Upstreams for tests, and what is looked up in them.

use std::path::Path;
use std::sync::Arc;

use super::{EndpointState, Upstream};
use crate::compile::compile_text;
use crate::snapshot::Registry;

/// The upstream `api` with this content, a mapping's.
pub(super) fn upstream(registry: &Registry, content: &str) -> Arc<Upstream> {
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams: {{ api: {{ {content} }} }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#
    );
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, registry);
    assert!(!compiled.has_errors(), "{:#?}", compiled.problems);
    Arc::clone(&compiled.snapshot.unwrap().upstreams[0])
}

/// Those that take requests are to be those that the sources have now.
pub(super) fn arrange(upstream: &Upstream) {
    upstream.arrange(&upstream.members().endpoints);
}

/// Those that take requests, in order.
pub(super) fn labels(upstream: &Upstream) -> Vec<String> {
    let members = upstream.members();
    members.endpoints.iter().map(|endpoint| endpoint.state.label().to_string()).collect()
}

/// One of those that take requests.
pub(super) fn state(upstream: &Upstream, label: &str) -> Arc<EndpointState> {
    let members = upstream.members();
    let found = members.endpoints.iter().find(|endpoint| &**endpoint.state.label() == label);
    Arc::clone(&found.unwrap_or_else(|| panic!("no {label} in {members:?}")).state)
}
