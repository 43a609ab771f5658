//! What every store does, whichever database is behind it.

use std::time::{Duration, SystemTime};

use backend::domain::{EmailAddress, Role, TokenId, UserChanges, UserId, UserName};
use backend::secret::Secret;
use backend::store::{Position, SqliteStore, StoreError, UserStore};

use crate::support::{servers, store, user};

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("db")).await.unwrap();
    keeps_the_contract(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() {
    let postgres = servers();
    let store = store(&postgres).await;
    keeps_the_contract(&store).await;
}

async fn keeps_the_contract(store: &dyn UserStore) {
    let created = store.create(user(1)).await.unwrap();
    let (ann, position) = (created.value, created.position);
    assert_eq!((ann.email.as_str(), ann.role), ("User1@example.com", Role::User));
    assert_eq!(ann.name.as_str(), "Robert'); DROP TABLE users;--");
    let age = SystemTime::now().duration_since(ann.created_at).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");

    // An address is taken whatever its case, by new users and by old ones.
    let same = backend::domain::NewUser {
        email: EmailAddress::parse("USER1@EXAMPLE.COM").unwrap(),
        ..user(1)
    };
    let email = Some(same.email.clone());
    assert!(matches!(store.create(same).await, Err(StoreError::EmailTaken)));
    let bob = store.create(user(2)).await.unwrap().value;
    assert!(bob.id > ann.id);
    let changes = UserChanges { email, ..UserChanges::default() };
    assert!(matches!(store.update(bob.id, changes).await, Err(StoreError::EmailTaken)));

    // What was written is read.
    let found = store.find(ann.id, position).await.unwrap();
    assert_eq!(found.value.unwrap().email, ann.email);
    assert!(found.position >= position);
    let credentials = store.credentials(&ann.email).await.unwrap().unwrap();
    assert_eq!((credentials.id, credentials.token_version), (ann.id, 0));
    assert_eq!(credentials.password_hash.expose(), "$argon2id$");

    // Only what is named is changed; a new password is a new version of tokens.
    let nothing = store.update(ann.id, UserChanges::default()).await.unwrap().value.unwrap();
    assert_eq!((nothing.user.name, nothing.token_version), (ann.name, 0));
    let name = UserName::parse("Ann").unwrap();
    let changes = UserChanges { name: Some(name.clone()), ..UserChanges::default() };
    let named = store.update(ann.id, changes).await.unwrap().value.unwrap();
    assert_eq!((named.user.name, named.user.email), (name, ann.email.clone()));
    let changes = UserChanges {
        role: Some(Role::Admin),
        password_hash: Some(Secret::new("$argon2id$new".to_owned())),
        ..UserChanges::default()
    };
    let promoted = store.update(ann.id, changes).await.unwrap();
    let account = store.account(ann.id).await.unwrap().value.unwrap();
    for account in [promoted.value.unwrap(), account] {
        assert_eq!((account.user.role, account.token_version), (Role::Admin, 1));
    }
    let credentials = store.credentials(&ann.email).await.unwrap().unwrap();
    assert_eq!(credentials.password_hash.expose(), "$argon2id$new");

    // A password that was changed since it was checked is not changed again.
    for (version, is_changed) in [(0, false), (1, true), (1, false)] {
        let changes = UserChanges {
            password_hash: Some(Secret::new(format!("$argon2id$for{version}"))),
            if_token_version: Some(version),
            ..UserChanges::default()
        };
        let changed = store.update(ann.id, changes).await.unwrap();
        assert_eq!(changed.value.is_some(), is_changed, "version {version}");
    }

    // Pages by ascending id.
    let carl = store.create(user(3)).await.unwrap();
    let ids = async |after, limit| {
        let users = store.list(after, limit, carl.position).await.unwrap();
        users.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2).await, [ann.id, bob.id]);
    assert_eq!(ids(Some(ann.id), 9).await, [bob.id, carl.value.id]);
    assert_eq!(ids(Some(carl.value.id), 9).await, []);

    // Gone is gone, and never given again.
    let deleted = store.delete(carl.value.id).await.unwrap();
    assert!(deleted.value);
    assert!(!store.delete(carl.value.id).await.unwrap().value);
    assert!(store.find(carl.value.id, deleted.position).await.unwrap().value.is_none());
    assert!(store.account(carl.value.id).await.unwrap().value.is_none());
    let nobody = store.update(carl.value.id, UserChanges::default()).await.unwrap();
    assert!(nobody.value.is_none());
    assert!(store.create(user(3)).await.unwrap().value.id > carl.value.id);
    let none = UserId::from_stored(i64::MAX);
    assert!(store.find(none, Position::START).await.unwrap().value.is_none());

    // A token is refused from then on, however often it is revoked.
    let (token, other) = (TokenId::random(), TokenId::random());
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    assert!(!store.is_revoked(&token).await.unwrap().value);
    for _ in 0..2 {
        store.revoke(&token, in_an_hour).await.unwrap();
    }
    assert!(store.is_revoked(&token).await.unwrap().value);
    assert!(!store.is_revoked(&other).await.unwrap().value);

    // What ended long ago is forgotten when the next one comes.
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    store.revoke(&other, long_ago).await.unwrap();
    assert!(store.is_revoked(&other).await.unwrap().value);
    store.revoke(&TokenId::random(), in_an_hour).await.unwrap();
    assert!(!store.is_revoked(&other).await.unwrap().value);
    assert!(store.is_revoked(&token).await.unwrap().value);

    let status = store.status().await;
    assert!(status.is_migrated && status.can_read() && status.can_write(), "{status:?}");
    store.close().await;
}
