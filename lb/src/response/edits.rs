//! Header edits, compiled: applied to responses and to forwarded requests alike.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Changes to a header by field name, in the order remove, set, add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields taken away.
    pub remove: Vec<HeaderName>,
    /// Fields that replace any of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields added beside any of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The names that are set or removed: what others say of them does not count.
    pub fn spoken(&self) -> impl Iterator<Item = &HeaderName> {
        self.remove.iter().chain(self.set.iter().map(|(name, _)| name))
    }

    /// Whether a field of this name, in any letter case, is set or removed.
    pub fn speak_of(&self, name: &str) -> bool {
        self.spoken().any(|spoken| spoken.as_str().eq_ignore_ascii_case(name))
    }

    /// These edits with `inner` over them: what `inner` says about a name wins.
    #[must_use]
    pub fn overlaid(&self, inner: &Self) -> Self {
        let mut merged = self.clone();
        let spoken: Vec<&HeaderName> = inner.spoken().collect();
        merged.remove.retain(|name| !spoken.contains(&name));
        merged.set.retain(|(name, _)| !spoken.contains(&name));
        merged.add.retain(|(name, _)| !spoken.contains(&name));
        merged.remove.extend(inner.remove.iter().cloned());
        merged.set.extend(inner.set.iter().cloned());
        merged.add.extend(inner.add.iter().cloned());
        merged
    }

    /// Applies the edits to the header of a message.
    pub fn apply<H: EditFields>(&self, header: &mut H) -> Result<(), H::Error> {
        self.remove.iter().for_each(|name| header.remove(name));
        for (name, value) in &self.set {
            header.set(name, value)?;
        }
        for (name, value) in &self.add {
            header.add(name, value)?;
        }
        Ok(())
    }
}

/// A header that can be edited, however an engine holds it.
pub trait EditFields {
    /// Why a field could not be taken in.
    type Error;
    /// Takes every field of a name away.
    fn remove(&mut self, name: &HeaderName);
    /// Replaces every field of a name by one.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Self::Error>;
    /// Adds a field beside any of the same name.
    fn add(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Self::Error>;
}

impl EditFields for HeaderMap {
    type Error = http::header::MaxSizeReached;

    fn remove(&mut self, name: &HeaderName) {
        Self::remove(self, name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Self::Error> {
        self.try_insert(name.clone(), value.clone()).map(drop)
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Self::Error> {
        self.try_append(name.clone(), value.clone()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&'static str, &'static str)]) -> HeaderEdits {
        let set = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        HeaderEdits { set, ..HeaderEdits::default() }
    }

    #[test]
    fn inner_edits_win_by_name() {
        let outer = set(&[("x-a", "outer"), ("x-b", "outer")]);
        let mut inner = set(&[("x-a", "inner")]);
        inner.remove.push(HeaderName::from_static("x-b"));
        let mut headers = HeaderMap::new();
        headers.insert("x-b", HeaderValue::from_static("upstream"));
        outer.overlaid(&inner).apply(&mut headers).unwrap();
        assert_eq!(headers.get("x-a").unwrap(), "inner");
        assert!(headers.get("x-b").is_none());
    }
}
