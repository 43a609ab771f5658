//! From a host name to its virtual host, for one listener.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::table::HostId;
use crate::values::HostPattern;

/// The virtual hosts of one listener by name.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: HashMap<String, HostId, RandomState>,
    suffix: HashMap<String, HostId, RandomState>,
    any: Option<HostId>,
}

impl HostIndex {
    /// Adds a name; `Err` with the host that already has it.
    pub(super) fn insert(&mut self, pattern: &HostPattern, host: HostId) -> Result<(), HostId> {
        let taken = match pattern {
            HostPattern::Any => self.any.replace(host),
            HostPattern::Suffix(name) => self.suffix.insert(name.clone(), host),
            HostPattern::Exact(name) => self.exact.insert(name.clone(), host),
        };
        match taken {
            Some(first) => Err(first),
            None => Ok(()),
        }
    }

    /// The virtual host of a normalised name: exact, then the longest suffix,
    /// then `"*"`, which also takes requests without a name.
    pub(super) fn find(&self, host: Option<&str>) -> Option<HostId> {
        let Some(host) = host else { return self.any };
        if let Some(found) = self.exact.get(host) {
            return Some(*found);
        }
        if !self.suffix.is_empty() {
            // Left to right, so the longest suffix comes first.
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(found) = self.suffix.get(parent) {
                    return Some(*found);
                }
                rest = parent;
            }
        }
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_beats_suffix_beats_any() {
        let mut index = HostIndex::default();
        for (id, pattern) in
            ["*", "*.example.com", "*.api.example.com", "www.example.com"].iter().enumerate()
        {
            index.insert(&pattern.parse().unwrap(), HostId(id as u32)).unwrap();
        }
        for (host, expected) in [
            ("www.example.com", 3),
            ("other.example.com", 1),
            ("a.b.example.com", 1),
            ("v1.api.example.com", 2),
            ("api.example.com", 1),
            ("example.com", 0),
            ("localhost", 0),
        ] {
            assert_eq!(index.find(Some(host)), Some(HostId(expected)), "{host}");
        }
        assert_eq!(index.find(None), Some(HostId(0)));
        assert_eq!(index.insert(&"*".parse().unwrap(), HostId(9)), Err(HostId(0)));
    }
}
