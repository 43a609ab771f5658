//! The service within one process, for tests of what SQLite cannot show:
//! positions, replicas, a primary that is down.

mod cache;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

pub(crate) use cache::MemoryCache;
pub(crate) use store::FakeStore;

use crate::accounts::Accounts;
use crate::cache::{Cache, CacheAside, NoCache};
use crate::http::router;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::rooms::Rooms;
use crate::services::{Services, Shared};
use crate::sessions::Sessions;
use crate::shutdown::Lifecycle;
use crate::store::UserStore;
use crate::tokens::{SigningKey, Tokens};
use crate::users::Users;

/// Services around `store`, with a key of their own and no cache.
pub(crate) async fn services(store: Arc<dyn UserStore>) -> Shared {
    build(store, None).await
}

/// The same with a cache.
pub(crate) async fn services_with(store: Arc<dyn UserStore>, cache: Arc<dyn Cache>) -> Shared {
    build(store, Some(cache)).await
}

async fn build(store: Arc<dyn UserStore>, cache: Option<Arc<dyn Cache>>) -> Shared {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::load_or_create(&directory.path().join("key")).unwrap();
    let metrics = Metrics::new("one", false).unwrap();
    let aside = match &cache {
        Some(cache) => CacheAside::new(cache.clone(), metrics.cache.clone()),
        None => CacheAside::disabled(),
    };
    let accounts = Accounts::new(store.clone(), aside.clone());
    let tokens = Tokens::new(&key, Duration::from_secs(60));
    Arc::new(Services {
        users: Users::new(store.clone(), accounts.clone()),
        sessions: Sessions::new(tokens, store.clone(), accounts, aside, metrics.sessions.clone()),
        store,
        cache: cache.unwrap_or_else(|| Arc::new(NoCache)),
        passwords: Passwords::new(2).await.unwrap(),
        rooms: Rooms::local(),
        metrics,
        lifecycle: Lifecycle::new(),
    })
}

/// The API around a store.
pub(crate) struct Api {
    pub(crate) services: Shared,
    router: TowerToHyperService<Router>,
}

/// An answer of [`Api`].
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) async fn new(store: Arc<FakeStore>) -> Self {
        let services = services(store).await;
        let instance = HeaderValue::from_static("one");
        let router = router::api(services.clone(), instance, Duration::ZERO);
        Self { services, router: TowerToHyperService::new(router) }
    }

    /// Sends a request with these fields, and with `body` as JSON.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.call(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}
