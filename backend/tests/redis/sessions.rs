//! Users and sessions of several instances with one cache: quick while nothing changes, and
//! right when something does.

use std::sync::Arc;
use std::time::Duration;

use backend::accounts::Accounts;
use backend::cache::Cache;
use backend::domain::{Credentials, EmailAddress, NewUser, Role, UserChanges, UserId, UserName};
use backend::secret::Secret;
use backend::sessions::Sessions;
use backend::store::{Position, UserStore};
use backend::tokens::{SigningKey, Tokens};
use backend::users::Users;
use fleet::redis::RedisCluster;

use crate::store::MemoryStore;
use crate::support::{Instance, cluster, entry, eventually, time_left};

const HOUR: Duration = Duration::from_secs(3600);

/// An instance of the service, without its HTTP.
struct Service {
    users: Users,
    sessions: Sessions,
    instance: Instance,
}

struct Site {
    cluster: RedisCluster,
    store: Arc<MemoryStore>,
    one: Service,
    two: Service,
    _directory: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let cluster = cluster();
        let store = Arc::new(MemoryStore::default());
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&directory.path().join("key")).unwrap();
        let service = async || {
            let instance = Instance::connect(&cluster).await;
            let aside = instance.aside.clone();
            let accounts = Accounts::new(store.clone(), aside.clone());
            let metrics = instance.metrics.sessions.clone();
            let tokens = Tokens::new(&key, HOUR);
            Service {
                users: Users::new(store.clone(), accounts.clone()),
                sessions: Sessions::new(tokens, store.clone(), accounts, aside, metrics),
                instance,
            }
        };
        let (one, two) = (service().await, service().await);
        Self { cluster, store, one, two, _directory: directory }
    }

    async fn sign_up(&self, name: &str) -> UserId {
        let user = NewUser {
            email: EmailAddress::parse(&format!("{name}@example.com")).unwrap(),
            name: UserName::parse(name).unwrap(),
            role: Role::User,
            password_hash: Secret::new("hash".to_owned()),
        };
        UserId::from_stored(self.one.users.create(user).await.unwrap().value.id)
    }

    fn log_in(&self, id: UserId, token_version: i64) -> String {
        let password_hash = Secret::new("hash".to_owned());
        let credentials = Credentials { id, password_hash, token_version };
        self.one.sessions.issue(&credentials).unwrap().expose().clone()
    }

    fn flush_all(&self) {
        for node in self.cluster.masters().unwrap() {
            self.cluster.ask(node, &["FLUSHALL"]).unwrap();
        }
    }
}

impl Service {
    async fn is_in(&self, token: &str) -> bool {
        self.sessions.authenticate(token).await.unwrap().is_some()
    }

    async fn json(&self, id: UserId) -> Option<String> {
        let found = self.users.find(id, Position::START).await.unwrap();
        found.map(|json| String::from_utf8(json.to_vec()).unwrap())
    }

    /// Until what was read beside an answer has reached the cache.
    async fn has_cached(&self, key: &str) {
        eventually("it is kept", async || self.instance.cache.find(key).await.unwrap()).await;
    }
}

fn id_of(token: &str, site: &Site) -> String {
    // The cache names it; only one of each test is there.
    let keys = site.cluster.masters().unwrap().into_iter().flat_map(|node| {
        match site.cluster.ask(node, &["KEYS", "fastnext:1:session:*"]).unwrap() {
            fleet::redis::Reply::Array(keys) => keys,
            other => panic!("{other:?} for {token}"),
        }
    });
    let keys: Vec<_> = keys.collect();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    key.text().unwrap().strip_prefix("fastnext:1:").unwrap().to_owned()
}

fn renamed(name: &str) -> UserChanges {
    UserChanges { name: Some(UserName::parse(name).unwrap()), ..UserChanges::default() }
}

fn new_password() -> UserChanges {
    UserChanges { password_hash: Some(Secret::new("new".to_owned())), ..UserChanges::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions() {
    let site = Site::start().await;
    a_session_that_is_known_costs_no_database(&site).await;
    site.flush_all();
    a_logout_holds_everywhere_whatever_the_cache_forgets(&site).await;
    site.flush_all();
    a_new_password_ends_the_old_tokens(&site).await;
    site.flush_all();
    users_are_seen_as_they_were_written(&site).await;
}

async fn a_session_that_is_known_costs_no_database(site: &Site) {
    let ann = site.sign_up("ann").await;
    let token = site.log_in(ann, 0);
    assert!(site.one.is_in(&token).await);
    let session = id_of_when_cached(site, &token, ann).await;
    let reads = site.store.reads();
    for _ in 0..20 {
        assert!(site.one.is_in(&token).await && site.two.is_in(&token).await);
    }
    assert_eq!(site.store.reads(), reads);
    assert!((1..=30_000).contains(&time_left(&site.cluster, &session)));

    assert!(!site.one.is_in("forged").await);
    let events = |event| format!("fastnext_sessions_total{{event=\"{event}\"}}");
    assert_eq!(site.one.instance.metric(&events("issued")), 1.0);
    assert_eq!(site.one.instance.metric(&events("refused")), 1.0);
}

/// The cache's key of the only session there is.
async fn id_of_when_cached(site: &Site, token: &str, user: UserId) -> String {
    site.one.has_cached(&format!("account:{user}")).await;
    eventually("the session is kept", async || {
        let masters = site.cluster.masters().unwrap();
        let counts = masters.into_iter().map(|node| {
            match site.cluster.ask(node, &["KEYS", "fastnext:1:session:*"]).unwrap() {
                fleet::redis::Reply::Array(keys) => keys.len(),
                other => panic!("{other:?}"),
            }
        });
        (counts.sum::<usize>() == 1).then_some(())
    })
    .await;
    id_of(token, site)
}

async fn a_logout_holds_everywhere_whatever_the_cache_forgets(site: &Site) {
    let bob = site.sign_up("bob").await;
    let token = site.log_in(bob, 0);
    assert!(site.two.is_in(&token).await);
    let session = id_of_when_cached(site, &token, bob).await;
    let before = site.store.position();
    let active = site.one.instance.cache.find(&session).await.unwrap().unwrap();
    assert_eq!(active.position, before);

    let current = site.one.sessions.authenticate(&token).await.unwrap().unwrap();
    site.one.sessions.revoke(&current).await.unwrap();
    assert!(!site.two.is_in(&token).await);
    assert!(time_left(&site.cluster, &session) > 3_000_000, "until its end");
    // What an instance read before the logout comes late.
    site.two.instance.cache.fill(&session, active, HOUR).await.unwrap();
    assert!(!site.two.is_in(&token).await);

    let other = site.log_in(bob, 0);
    assert!(site.two.is_in(&other).await);
    site.flush_all();
    for service in [&site.one, &site.two] {
        assert!(!service.is_in(&token).await);
        assert!(service.is_in(&other).await);
    }
    let revoked = "fastnext_sessions_total{event=\"revoked\"}";
    assert_eq!(site.one.instance.metric(revoked), 1.0);
}

async fn a_new_password_ends_the_old_tokens(site: &Site) {
    let cid = site.sign_up("cid").await;
    let old = site.log_in(cid, 0);
    assert!(site.two.is_in(&old).await);
    site.two.has_cached(&format!("account:{cid}")).await;

    site.one.users.update(cid, new_password()).await.unwrap();
    assert!(!site.two.is_in(&old).await);
    assert!(site.two.is_in(&site.log_in(cid, 1)).await);

    // A write that does not reach the cache: a token that is ahead of it is good all the same.
    site.store.update(cid, new_password()).await.unwrap();
    assert!(site.two.is_in(&site.log_in(cid, 2)).await);
    eventually("the cache is corrected", async || {
        (!site.two.is_in(&site.log_in(cid, 1)).await).then_some(())
    })
    .await;
    // What is in the cache cannot be read: the store is asked.
    let garbage = entry(u64::MAX, "garbage");
    site.one.instance.cache.replace(&format!("account:{cid}"), garbage, HOUR).await.unwrap();
    assert!(site.two.is_in(&site.log_in(cid, 2)).await);
    assert!(!site.two.is_in(&old).await);

    let dee = site.sign_up("dee").await;
    let token = site.log_in(dee, 0);
    assert!(site.two.is_in(&token).await);
    site.one.users.delete(dee).await.unwrap();
    assert!(!site.two.is_in(&token).await);
}

async fn users_are_seen_as_they_were_written(site: &Site) {
    let eve = site.sign_up("eve").await;
    let reads = site.store.reads();
    assert!(site.two.json(eve).await.unwrap().contains("\"name\":\"eve\""));
    assert_eq!(site.store.reads(), reads, "written through");
    site.one.users.update(eve, renamed("Eva")).await.unwrap();
    assert_eq!(site.store.reads(), reads + 1, "by who wrote, at the position of the write");
    assert!(site.two.json(eve).await.unwrap().contains("\"name\":\"Eva\""));
    assert_eq!(site.store.reads(), reads + 1, "and by nobody else");
    assert!((30_000..=60_000).contains(&time_left(&site.cluster, &format!("user:{eve}"))));

    // Behind the cache's back: who has seen the write does not see less.
    let written = site.store.update(eve, renamed("Evita")).await.unwrap();
    assert!(site.two.json(eve).await.unwrap().contains("Eva"));
    let found = site.two.users.find(eve, written.position).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&found).contains("Evita"));

    site.one.users.delete(eve).await.unwrap();
    let reads = site.store.reads();
    assert_eq!(site.two.json(eve).await, None);
    assert_eq!(site.store.reads(), reads, "written through");
    assert!((1..=5_000).contains(&time_left(&site.cluster, &format!("user:{eve}"))));

    let nobody = UserId::from_stored(987_654);
    assert_eq!(site.two.json(nobody).await, None);
    site.two.has_cached(&format!("user:{nobody}")).await;
    let reads = site.store.reads();
    assert_eq!(site.one.json(nobody).await, None);
    assert_eq!(site.store.reads(), reads, "known not to be there");
}
