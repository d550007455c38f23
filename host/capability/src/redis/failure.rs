//! What an error of the server means for a call.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a call to Redis failed; the texts are for the operator.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// It does not answer; the call did nothing, or may be made again.
    #[error("{0}")]
    Away(String),
    /// It went away under a call that must not be made twice.
    #[error("{0}")]
    Unknown(String),
    /// More calls wait than may.
    #[error("too many calls wait")]
    Busy,
    /// It has no memory left, and throws nothing away.
    #[error("the server's memory is full")]
    Full,
    /// The rest.
    #[error("{0}")]
    Wrong(String),
}

/// The connection is of no use any more; the call may or may not have been done.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.kind() == ErrorKind::Parse
}

/// The server has just started and reads its data.
pub(super) fn is_loading(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}

pub(super) fn failed(error: &RedisError) -> Failure {
    if is_broken(error) {
        return Failure::Away(error.to_string());
    }
    match error.code() {
        Some("OOM") => Failure::Full,
        // Starting, demoted, without its primary, its disk does not take what it writes, or a script runs too long.
        Some("LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MISCONF" | "BUSY") => {
            Failure::Away(error.to_string())
        }
        _ if error.to_string().contains("max number of clients") => Failure::Away(error.to_string()),
        // A script's own errors carry the code of the command that failed as their text.
        _ if error.detail().is_some_and(|detail| detail.starts_with("OOM ")) => Failure::Full,
        _ => Failure::Wrong(error.to_string()),
    }
}
