//! The files of the page, which are part of the program.

use std::future::ready;

use aws_lc_rs::digest;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Browsers keep the files and ask each time whether they are still good: the
/// names do not change with the content, and a page must not mix two builds.
const NO_CACHE: &str = "no-cache";

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

/// A row of [`ASSETS`]: the path, the file in `backend/web`, its type.
macro_rules! asset {
    ($path:literal, $file:literal, $content_type:expr) => {
        Asset {
            path: $path,
            content_type: $content_type,
            body: include_bytes!(concat!("../../web/", $file)),
        }
    };
}

/// All files of the page.
pub static ASSETS: &[Asset] = &[
    asset!("/", "index.html", HTML),
    asset!("/app.css", "app.css", CSS),
    asset!("/app.js", "app.js", JAVASCRIPT),
    asset!("/favicon.svg", "favicon.svg", SVG),
    asset!("/js/account.js", "js/account.js", JAVASCRIPT),
    asset!("/js/admin.js", "js/admin.js", JAVASCRIPT),
    asset!("/js/api.js", "js/api.js", JAVASCRIPT),
    asset!("/js/calls.js", "js/calls.js", JAVASCRIPT),
    asset!("/js/chat.js", "js/chat.js", JAVASCRIPT),
    asset!("/js/dom.js", "js/dom.js", JAVASCRIPT),
    asset!("/js/forms.js", "js/forms.js", JAVASCRIPT),
    asset!("/js/room.js", "js/room.js", JAVASCRIPT),
    asset!("/js/session.js", "js/session.js", JAVASCRIPT),
    asset!("/js/users.js", "js/users.js", JAVASCRIPT),
];

/// Serves `asset`, or says that the client's copy is still good.
pub fn route<S: Clone + Send + Sync + 'static>(asset: &'static Asset) -> MethodRouter<S> {
    let tag = entity_tag(asset.body);
    get(move |request: HeaderMap| ready(respond(asset, &tag, &request)))
}

fn respond(asset: &Asset, tag: &HeaderValue, request: &HeaderMap) -> Response {
    let validators =
        [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static(NO_CACHE))];
    if has_copy(request, tag) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    (validators, content_type, asset.body).into_response()
}

/// Whether `If-None-Match` names the tag (RFC 9110 §13.1.2): by itself, in a
/// list, as a weak one, or with all others as `*`. Our tags have no comma, so
/// that none of theirs that has one can be taken apart into ours.
fn has_copy(request: &HeaderMap, tag: &HeaderValue) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|theirs| theirs == b"*" || theirs.strip_prefix(b"W/").unwrap_or(theirs) == tag)
}

/// A strong tag: the same bytes have the same at every instance.
fn entity_tag(body: &[u8]) -> HeaderValue {
    let digest = digest::digest(&digest::SHA256, body);
    let number = digest.as_ref().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte));
    // Hexadecimal digits in quotes are a header's value.
    HeaderValue::try_from(format!("\"{number:032x}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (header::IF_NONE_MATCH, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_tag_is_that_of_the_bytes() {
        assert_eq!(entity_tag(b""), "\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_ne!(entity_tag(b"a"), entity_tag(b"b"));
    }

    #[test]
    fn a_copy_is_known_by_its_tag() {
        let tag = HeaderValue::from_static("\"abc\"");
        for values in [
            &["\"abc\""][..],
            &["W/\"abc\""],
            &["*"],
            &["\"x\" , \"abc\""],
            &["\"x\"", "W/\"y\",W/\"abc\""],
        ] {
            assert!(has_copy(&request(values), &tag), "{values:?}");
        }
        for values in [&[][..], &[""], &["abc"], &["\"ab\""], &["\"abcd\", \"x\""], &["w/\"abc\""]]
        {
            assert!(!has_copy(&request(values), &tag), "{values:?}");
        }
    }
}
