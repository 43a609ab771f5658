//! Errors as text, for the log.

use std::error::Error;

/// The messages of `error` and of what caused it, outermost first. Some end with those of their
/// causes; nothing is said twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn a_chain_names_every_cause() {
        let error = StoreError::Failed("disk is full".into());
        assert_eq!(chain(&error), "database failed: disk is full");
    }

    #[test]
    fn what_a_message_says_of_its_cause_is_said_once() {
        let refused = std::io::Error::other("refused");
        let error = StoreError::Unavailable(sqlx::Error::Io(refused).into());
        let expected = "database is unavailable: error communicating with database: refused";
        assert_eq!(chain(&error), expected);
    }
}
