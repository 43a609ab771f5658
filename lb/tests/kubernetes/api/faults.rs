//! What a test can order to go wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::Verb;
use super::answer::Refusal;

/// What happens to every request of a kind, until the test takes it back.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is read, and never answered.
    Hang,
    /// The answer begins, and never goes on.
    Stall,
    /// The answer goes on for as long as it is read.
    Endless,
    /// The connection is closed without an answer.
    Cut,
    /// It is refused.
    Refuse(Refusal),
    /// The answer is not JSON.
    Garbage,
    /// A watch that begins and is over at once.
    End,
    /// A watch whose first line is an ERROR.
    Error(Refusal),
}

/// What is ordered now.
#[derive(Default)]
pub struct Faults(Mutex<BTreeMap<Verb, Fault>>);

impl Faults {
    pub fn set(&self, verb: Verb, fault: Option<Fault>) {
        let mut faults = self.0.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(verb, fault),
            None => faults.remove(&verb),
        };
    }

    pub fn of(&self, verb: Verb) -> Option<Fault> {
        self.0.lock().unwrap().get(&verb).cloned()
    }
}

/// What watches that are open are told to do, once.
#[derive(Debug, Clone)]
pub enum Order {
    /// Say how far they are.
    Bookmark,
    /// Say this.
    Say(String),
    /// End as if their time was over.
    End,
    /// Never say anything again, and never end.
    Freeze,
    /// End in the middle.
    Cut,
}
