//! Waiting for what no event tells of.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(20);

/// Asks until the answer is yes; an error of `ask`, or being told to stop, ends the wait.
pub(crate) fn until(
    longest: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + longest;
    loop {
        interrupt::check()?;
        if ask()? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::TooLate { what: what.to_owned(), longest });
        }
        std::thread::sleep(GLANCE);
    }
}

/// Waits for the end of something that was told to end, whatever we are told meanwhile;
/// gives whether it came.
pub(crate) fn for_end(longest: Duration, mut has_ended: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + longest;
    while !has_ended() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
    true
}
