//! The API server in this process, as a cluster.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::api::{ApiServer, Verb};
use crate::kubeconfig::Access;

pub struct Stub {
    pub api: ApiServer,
    renewals: AtomicUsize,
}

impl Stub {
    pub async fn start() -> Self {
        Self { api: ApiServer::start().await, renewals: AtomicUsize::new(0) }
    }

    pub async fn start_with_tls() -> Self {
        Self { api: ApiServer::start_with_tls().await, renewals: AtomicUsize::new(0) }
    }

    fn token(&self, name: &str) -> String {
        format!("token-{}-of-{name}", self.renewals.load(Ordering::Relaxed))
    }

    pub fn user(&self, namespace: &str, name: &str, verbs: &[Verb]) -> Access {
        self.allow(namespace, name, verbs);
        Access {
            server: self.api.url(),
            authority: self.api.authority.clone(),
            insecure: false,
            token: self.token(name),
        }
    }

    pub fn allow(&self, namespace: &str, name: &str, verbs: &[Verb]) {
        let user = format!("system:serviceaccount:{namespace}:{name}");
        self.api.grant(&self.token(name), &user, namespace, verbs);
    }

    pub fn expire(&self, name: &str) {
        self.api.expire(&self.token(name));
    }

    pub fn renew(&self, namespace: &str, name: &str) -> Access {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.user(namespace, name, &[Verb::List, Verb::Watch])
    }
}
