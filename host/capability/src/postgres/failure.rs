//! What an error of the database means for a call.

use std::time::Duration;

use crate::store::Error;

/// The connection is of no use any more; the statement may or may not have been done.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // The server is going down, or came back.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(code.as_ref(), "57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

pub(crate) fn silent(time: Duration) -> Error {
    Error::Away(format!("no answer within {time:?}"))
}

pub(crate) fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::PoolTimedOut => Error::Busy,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed => Error::Away(error.to_string()),
        sqlx::Error::Database(told) => match told.code().as_deref() {
            // Disk full, out of memory.
            Some("53100" | "53200") => Error::Full,
            // Cancelled for taking too long, shutting down, starting up, too many connections.
            Some("57014" | "57P01" | "57P02" | "57P03" | "53300") => Error::Away(error.to_string()),
            _ => Error::Backend(error.to_string()),
        },
        _ => Error::Backend(error.to_string()),
    }
}
