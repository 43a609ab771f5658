//! What the errors of the databases mean for a request.

use super::StoreError;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match Failure::of(&error) {
            Failure::EmailTaken => Self::EmailTaken,
            Failure::ReadOnly => Self::ReadOnly(error.into()),
            Failure::Down | Failure::Busy => Self::Unavailable(error.into()),
            Failure::Ours => Self::Failed(error.into()),
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The address is in use.
    EmailTaken,
    /// The server takes no writes.
    ReadOnly,
    /// The server cannot be reached, or is going away or not there yet.
    Down,
    /// The server, or the pool, has too much to do or is damaged; another may be better off.
    Busy,
    /// Anything else: asking again or elsewhere would not help.
    Ours,
}

impl Failure {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::EmailTaken,
            sqlx::Error::Database(cause) => cause.code().map_or(Self::Ours, |code| by_code(&code)),
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Down,
            _ => Self::Ours,
        }
    }
}

/// By SQLSTATE (PostgreSQL, appendix A: five characters, the first two are the
/// class), or by SQLite's extended result code (a decimal number).
fn by_code(code: &str) -> Failure {
    /// `SQLITE_BUSY`, in the low byte of the extended codes.
    const BUSY: i32 = 5;

    if code.len() == 5 {
        return match (&code[..2], code) {
            // read_only_sql_transaction: a primary that has become a replica.
            (_, "25006") => Failure::ReadOnly,
            // query_canceled, by statement_timeout.
            (_, "57014") => Failure::Busy,
            // Connection exceptions; operator intervention: shut down, crashed,
            // starting up; wrong password (somebody is changing it).
            ("08" | "57" | "28", _) => Failure::Down,
            // Insufficient resources; transaction rollback, on replicas the
            // conflict with what is replayed.
            ("53" | "40", _) => Failure::Busy,
            // Errors of the system under it (its disk); data that it finds damaged.
            ("58" | "XX", _) => Failure::Busy,
            _ => Failure::Ours,
        };
    }
    match code.parse::<i32>() {
        Ok(code) if code & 0xff == BUSY => Failure::Busy,
        _ => Failure::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_understood() {
        for (code, failure) in [
            ("25006", Failure::ReadOnly),
            ("57P01", Failure::Down),
            ("57P03", Failure::Down),
            ("57014", Failure::Busy),
            ("08006", Failure::Down),
            ("28P01", Failure::Down),
            ("53300", Failure::Busy),
            ("40001", Failure::Busy),
            ("58030", Failure::Busy),
            ("58P01", Failure::Busy),
            ("XX001", Failure::Busy),
            ("42P01", Failure::Ours),
            ("22021", Failure::Ours),
            ("5", Failure::Busy),
            ("517", Failure::Busy),
            ("1", Failure::Ours),
            ("", Failure::Ours),
        ] {
            assert_eq!(by_code(code), failure, "{code}");
        }
    }
}
