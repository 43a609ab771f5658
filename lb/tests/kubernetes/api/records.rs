//! What the API server was asked.

use std::sync::Mutex;

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
}

/// Every request so far.
#[derive(Default)]
pub struct Records {
    asked: Mutex<Vec<Asked>>,
    others: Mutex<Vec<String>>,
}

impl Records {
    pub fn add(&self, question: &Question) {
        let Question { verb, namespace, version, .. } = question;
        let mut all = self.asked.lock().unwrap();
        assert!(all.len() < MOST, "the API server is asked without end");
        all.push(Asked { verb: *verb, namespace: namespace.clone(), version: version.clone() });
    }

    pub fn all(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// A request for something that is not here.
    pub fn add_other(&self, request: String) {
        let mut others = self.others.lock().unwrap();
        assert!(others.len() < MOST, "the API server is asked without end");
        others.push(request);
    }

    pub fn others(&self) -> Vec<String> {
        self.others.lock().unwrap().clone()
    }
}
