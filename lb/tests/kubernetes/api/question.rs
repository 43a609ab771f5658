//! What is asked of the API server: a list or a watch of one namespace's slices.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;

use super::Verb;
use super::answer::Refusal;
use super::selector::Selector;

/// A request for EndpointSlices.
#[derive(Debug, Clone)]
pub struct Question {
    pub namespace: String,
    pub verb: Verb,
    pub selector: Selector,
    /// The version to watch from, or not to list anything older than.
    pub version: Option<String>,
    /// The token of the page that is wanted, and how long pages may be.
    pub page: Option<String>,
    pub limit: Option<usize>,
    /// When a watch is to end.
    pub timeout: Option<Duration>,
    pub bookmarks: bool,
    pub initial_events: bool,
}

impl Question {
    /// Nothing when somebody asks for something else.
    pub fn of(uri: &Uri) -> Result<Self, Refusal> {
        let namespace = uri
            .path()
            .strip_prefix("/apis/discovery.k8s.io/v1/namespaces/")
            .and_then(|rest| rest.strip_suffix("/endpointslices"))
            .filter(|namespace| !namespace.contains('/'))
            .ok_or_else(Refusal::not_found)?;
        let query = uri.query().unwrap_or_default().as_bytes();
        let query: BTreeMap<_, _> = form_urlencoded::parse(query).into_owned().collect();
        let text = |key: &str| query.get(key).filter(|value| !value.is_empty()).cloned();
        let says = |key: &str| matches!(query.get(key).map(String::as_str), Some("true" | "1"));
        let number = |key: &str| -> Result<Option<u64>, Refusal> {
            let parse = |value: String| value.parse().map_err(|_| Refusal::bad_request(key));
            text(key).map(parse).transpose()
        };
        let selector =
            Selector::parse(&text("labelSelector").unwrap_or_default()).ok_or_else(|| {
                Refusal::bad_request("a labelSelector that this server does not know")
            })?;
        if text("fieldSelector").is_some() {
            return Err(Refusal::bad_request("this server knows no fieldSelector"));
        }
        let limit = number("limit")?.filter(|limit| *limit > 0);
        Ok(Self {
            namespace: namespace.to_owned(),
            verb: if says("watch") { Verb::Watch } else { Verb::List },
            selector,
            version: text("resourceVersion"),
            page: text("continue"),
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            timeout: number("timeoutSeconds")?
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            bookmarks: says("allowWatchBookmarks"),
            initial_events: says("sendInitialEvents"),
        })
    }
}
