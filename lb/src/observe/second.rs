//! The second of a time, written out: the same for many lines.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-25T17:00:27`, in UTC.
pub(super) type Second = [u8; 19];

/// The second of `time`, and the milliseconds within it.
pub(super) fn second_of(time: SystemTime) -> (Second, u32) {
    thread_local! {
        static LAST: Cell<(u64, Second)> = const { Cell::new((u64::MAX, [b'0'; 19])) };
    }
    // A clock before 1970 is not set.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut written) = LAST.get();
    if second != since.as_secs() {
        second = since.as_secs();
        let whole = UNIX_EPOCH + Duration::from_secs(second);
        let text = humantime::format_rfc3339_seconds(whole).to_string();
        // All years that a clock shows have four digits.
        if let Some(text) = text.as_bytes().first_chunk() {
            written = *text;
        }
        LAST.set((second, written));
    }
    (written, since.subsec_millis())
}
