//! Label selectors, as far as they ask for equality.

use k8s_openapi::api::discovery::v1::EndpointSlice;

/// `a=b,c!=d`; everything if empty.
#[derive(Debug, Clone, Default)]
pub struct Selector(Vec<(String, bool, String)>);

impl Selector {
    /// Nothing when it asks for something that is not known here.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.split(',').filter(|part| !part.is_empty());
        let parts = parts.map(|part| {
            let (key, value) = part.split_once('=')?;
            let (key, equal) = key.strip_suffix('!').map_or((key, true), |key| (key, false));
            let value = value.strip_prefix('=').unwrap_or(value);
            let known = !key.is_empty() && !key.contains([' ', '(']);
            known.then(|| (key.to_owned(), equal, value.to_owned()))
        });
        parts.collect::<Option<Vec<_>>>().map(Self)
    }

    pub fn selects(&self, slice: &EndpointSlice) -> bool {
        self.0.iter().all(|(key, equal, value)| {
            let labels = slice.metadata.labels.as_ref();
            (labels.and_then(|labels| labels.get(key)) == Some(value)) == *equal
        })
    }
}
