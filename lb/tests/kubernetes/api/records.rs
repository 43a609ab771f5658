//! What the API server was asked.

use std::sync::Mutex;
use std::time::Instant;

use super::Verb;
use super::question::Question;

/// More than any test asks, unless something asks without end.
const MOST: usize = 100_000;

/// A request, answered or not.
#[derive(Debug, Clone)]
pub struct Asked {
    pub verb: Verb,
    pub namespace: String,
    /// The version that was known, if one was named.
    pub version: Option<String>,
    pub at: Instant,
}

/// Every request so far.
#[derive(Default)]
pub struct Records(Mutex<Vec<Asked>>);

impl Records {
    pub fn add(&self, question: &Question) {
        let Question { verb, namespace, version, .. } = question;
        let mut all = self.0.lock().unwrap();
        assert!(all.len() < MOST, "the API server is asked without end");
        all.push(Asked {
            verb: *verb,
            namespace: namespace.clone(),
            version: version.clone(),
            at: Instant::now(),
        });
    }

    pub fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }
}
