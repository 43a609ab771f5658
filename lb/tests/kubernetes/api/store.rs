//! The EndpointSlices that there are, and what has changed lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::watch;

use super::selector::Selector;

/// How many changes are remembered; who has seen less has to list again. No test makes
/// so many that somebody who follows falls behind.
const HISTORY: usize = 10_000;
/// How many lists in pages may be under way; older ones have expired.
const LISTS: usize = 16;

/// Versioned objects, as etcd and the watch cache before it have them.
pub struct Store {
    inner: Mutex<Inner>,
    /// Tells who follows of the newest version.
    newest: watch::Sender<u64>,
}

struct Inner {
    version: u64,
    /// Nobody can begin to follow from before this one.
    compacted: u64,
    objects: BTreeMap<(String, String), EndpointSlice>,
    changes: VecDeque<Change>,
    /// Lists of which not every page was asked for, by the number in their tokens.
    lists: BTreeMap<u64, List>,
}

struct Change {
    version: u64,
    before: Option<EndpointSlice>,
    after: Option<EndpointSlice>,
}

/// What a list gives, or the rest of it.
#[derive(Clone)]
pub struct List {
    pub version: u64,
    pub items: Vec<EndpointSlice>,
}

/// What a watch says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Added,
    Modified,
    Deleted,
}

/// What is asked for is no longer known.
#[derive(Debug)]
pub struct Gone;

impl Default for Store {
    fn default() -> Self {
        // As in a cluster where something has happened before.
        let version = 1000;
        let inner = Inner {
            version,
            compacted: version,
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
            lists: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner), newest: watch::Sender::new(version) }
    }
}

impl Store {
    /// Creates or replaces an object.
    pub fn apply(&self, slice: EndpointSlice) {
        let name = |name: &Option<String>| name.clone().expect("slices of tests have names");
        let key = (name(&slice.metadata.namespace), name(&slice.metadata.name));
        self.change(key, Some(slice));
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, namespace: &str, name: &str) {
        self.change((namespace.to_owned(), name.to_owned()), None);
    }

    fn change(&self, key: (String, String), after: Option<EndpointSlice>) {
        let mut inner = self.inner.lock().unwrap();
        let version = inner.version + 1;
        let versioned = |mut slice: EndpointSlice| {
            slice.metadata.resource_version = Some(version.to_string());
            slice
        };
        let after = after.map(versioned);
        let before = match &after {
            Some(slice) => inner.objects.insert(key, slice.clone()),
            None => inner.objects.remove(&key),
        };
        if before.is_none() && after.is_none() {
            return;
        }
        inner.version = version;
        inner.changes.push_back(Change { version, before, after });
        if inner.changes.len() > HISTORY
            && let Some(oldest) = inner.changes.pop_front()
        {
            inner.compacted = inner.compacted.max(oldest.version);
        }
        self.newest.send_replace(version);
    }

    /// Forgets every change so far, and every list that is under way. Whoever follows
    /// already goes on.
    pub fn compact(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.compacted = inner.version;
        inner.lists.clear();
    }

    /// The newest version, and what tells of newer ones.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// What there is now.
    pub fn list(&self, namespace: &str, selector: &Selector) -> List {
        let inner = self.inner.lock().unwrap();
        let of_namespace = inner.objects.iter().filter(|((its, _), _)| its == namespace);
        let items = of_namespace.map(|(_, slice)| slice).filter(|slice| selector.selects(slice));
        List { version: inner.version, items: items.cloned().collect() }
    }

    /// Keeps the rest of a list until somebody asks for it by this token.
    pub fn keep(&self, rest: List) -> String {
        let mut inner = self.inner.lock().unwrap();
        let number = inner.lists.last_key_value().map_or(0, |(number, _)| number + 1);
        inner.lists.insert(number, rest);
        if inner.lists.len() > LISTS {
            inner.lists.pop_first();
        }
        format!("list-{number}")
    }

    /// The rest of a list. Like the real tokens, this one can be used again.
    pub fn kept(&self, token: &str) -> Result<List, Gone> {
        let number = token.strip_prefix("list-").and_then(|number| number.parse::<u64>().ok());
        let inner = self.inner.lock().unwrap();
        number.and_then(|number| inner.lists.get(&number)).cloned().ok_or(Gone)
    }

    /// Whether somebody who knows this version can follow from there.
    pub fn remembers(&self, version: u64) -> Result<(), Gone> {
        if version < self.inner.lock().unwrap().compacted { Err(Gone) } else { Ok(()) }
    }

    /// What has changed after a version, and the version that is known afterwards.
    pub fn since(
        &self,
        version: u64,
        namespace: &str,
        selector: &Selector,
    ) -> (u64, Vec<(Kind, EndpointSlice)>) {
        let inner = self.inner.lock().unwrap();
        let newer = inner.changes.iter().filter(|change| change.version > version);
        let events = newer.filter_map(|change| change.event(namespace, selector)).collect();
        (inner.version, events)
    }
}

impl Change {
    /// What it is for somebody who follows a part: an object that no longer has the
    /// label is deleted for them.
    fn event(&self, namespace: &str, selector: &Selector) -> Option<(Kind, EndpointSlice)> {
        let selected = |slice: &&EndpointSlice| {
            slice.metadata.namespace.as_deref() == Some(namespace) && selector.selects(slice)
        };
        let before = self.before.as_ref().filter(selected);
        let after = self.after.as_ref().filter(selected);
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some((Kind::Added, after.clone())),
            (Some(_), Some(after)) => Some((Kind::Modified, after.clone())),
            (Some(before), None) => {
                let mut last = before.clone();
                last.metadata.resource_version = Some(self.version.to_string());
                Some((Kind::Deleted, last))
            }
        }
    }
}
