//! Errors as text, for the log.

use std::error::Error;

/// The messages of `error` and of what caused it, outermost first.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
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
}
