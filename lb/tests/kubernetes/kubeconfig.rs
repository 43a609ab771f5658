//! Kubeconfig files.

use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// How to reach an API server, and as whom.
#[derive(Debug, Clone)]
pub struct Access {
    pub server: String,
    /// PEM.
    pub authority: Option<String>,
    /// Whoever answers is trusted.
    pub insecure: bool,
    pub token: String,
}

/// A kubeconfig with one context, `test`.
pub fn of(access: &Access) -> Value {
    of_contexts(&[("test", access)])
}

/// A kubeconfig whose first context is the current one.
pub fn of_contexts(contexts: &[(&str, &Access)]) -> Value {
    let each = |entry: fn(&str, &Access) -> Value| {
        contexts.iter().map(|(name, access)| entry(name, access)).collect::<Vec<_>>()
    };
    json!({
        "apiVersion": "v1", "kind": "Config",
        "current-context": contexts[0].0,
        "contexts": each(|name, _| {
            json!({ "name": name, "context": { "cluster": name, "user": name } })
        }),
        "clusters": each(|name, access| {
            let mut cluster = json!({ "server": access.server });
            if let Some(authority) = &access.authority {
                let authority = ByteString(authority.clone().into_bytes());
                cluster["certificate-authority-data"] = json!(authority);
            }
            if access.insecure {
                cluster["insecure-skip-tls-verify"] = json!(true);
            }
            json!({ "name": name, "cluster": cluster })
        }),
        "users": each(|name, access| json!({ "name": name, "user": { "token": access.token } })),
    })
}

/// Writes a file as whoever renews one does: beside it, then over it.
pub fn write(path: &Path, config: &Value) {
    let beside = path.with_extension("new");
    // JSON is YAML.
    std::fs::write(&beside, config.to_string()).unwrap();
    std::fs::rename(beside, path).unwrap();
}
