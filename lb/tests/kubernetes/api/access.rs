//! Who may do what: bearer tokens, and rules as RBAC has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::Verb;
use super::answer::Refusal;

/// The users, by their tokens.
#[derive(Default)]
pub struct Access(Mutex<BTreeMap<String, User>>);

#[derive(Default)]
struct User {
    name: String,
    /// Verbs by namespace.
    may: BTreeSet<(String, Verb)>,
}

impl Access {
    /// Lets a token in as somebody who may do these things; whatever else the token
    /// could do before is over.
    pub fn grant(&self, token: &str, name: &str, namespace: &str, verbs: &[Verb]) {
        let may = verbs.iter().map(|verb| (namespace.to_owned(), *verb)).collect();
        let user = User { name: name.to_owned(), may };
        self.0.lock().unwrap().insert(token.to_owned(), user);
    }

    /// A token that nobody has any more.
    pub fn expire(&self, token: &str) {
        self.0.lock().unwrap().remove(token);
    }

    /// Whether the bearer of a token may do this, or what the real one would say.
    pub fn check(
        &self,
        authorization: Option<&str>,
        namespace: &str,
        verb: Verb,
    ) -> Result<(), Refusal> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let users = self.0.lock().unwrap();
        let user = token.and_then(|token| users.get(token)).ok_or_else(Refusal::unauthorized)?;
        let may = user.may.contains(&(namespace.to_owned(), verb));
        if may { Ok(()) } else { Err(Refusal::forbidden(&user.name, verb, namespace)) }
    }
}
