//! Waiting for what no event tells of.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(20);

/// Asks until the answer is yes; an error of `ask` ends the wait.
pub(crate) fn until(
    longest: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + longest;
    loop {
        if ask()? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::TooLate { what: what.to_owned(), longest });
        }
        std::thread::sleep(GLANCE);
    }
}
