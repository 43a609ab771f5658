//! The first administrator. Everybody may sign up, as a user; an administrator
//! can make others; the first one comes from the settings.

use std::time::Duration;

use crate::causes::chain;
use crate::domain::{NewUser, Role, UserName};
use crate::services::Shared;
use crate::settings::Admin;
use crate::store::StoreError;

/// From one attempt to the next, until the database takes it.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes an administrator, unless somebody has the address already: whoever that
/// is stays as they are.
pub async fn ensure_admin(services: Shared, admin: Admin) {
    let Admin { email, password } = admin;
    // Every instance begins with the same: only one of them has to hash.
    while !exists(&services, &email).await {
        let password_hash = match services.passwords.hash(password.clone().into_secret()).await {
            Ok(hash) => hash,
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot make the administrator");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(name) = UserName::parse("Administrator") else { return };
        let user = NewUser { email: email.clone(), name, role: Role::Admin, password_hash };
        match services.users.create(user).await {
            Ok(_) => return tracing::info!(%email, "made the administrator"),
            Err(StoreError::EmailTaken) => {}
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot make the administrator yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether somebody has the address; waits until that can be said.
async fn exists(services: &Shared, email: &crate::domain::EmailAddress) -> bool {
    loop {
        let asked = async {
            let Some(credentials) = services.store.credentials(email).await? else {
                return Ok(None);
            };
            let account = services.store.account(credentials.id).await?;
            Ok::<_, StoreError>(account.value)
        };
        match asked.await {
            Ok(Some(account)) if account.user.role == Role::Admin => return true,
            Ok(Some(_)) => {
                tracing::warn!(%email, "whoever has the address of the administrator is none");
                return true;
            }
            Ok(None) => return false,
            // The tables may not be there yet.
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot look for the administrator yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
