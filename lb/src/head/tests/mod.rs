//! The rules, a table for each, and what holds for any bytes.

mod body;
mod parse;
mod properties;
mod response;
mod response_properties;
mod response_scan;
mod scan;
mod trailer;

use super::{HeadError, HeadLimits};

const LIMITS: HeadLimits = HeadLimits { header_size: 1024, headers: 16, uri: 256 };

/// The verdict on `head` of scanner and parser together.
fn verdict(head: &[u8]) -> Result<(), HeadError> {
    let end = super::Scanner::default().find_end(head, &LIMITS)?;
    assert_eq!(end, Some(head.len()), "{}", head.escape_ascii());
    super::parse(head, &mut super::Slots::new(), &LIMITS).map(|_| ())
}
