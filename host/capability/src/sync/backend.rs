//! What keeps locks.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::LockKey;

/// Shortest time to live.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time to live.
pub const TTL_MAX: Duration = Duration::from_secs(3_600);
/// Locks that a namespace may hold at once.
pub const HELD_MAX: usize = 1_000;
/// Calls of a namespace that may wait for a lock at once, in one process.
pub const WAITERS_MAX: usize = 1_000;

/// Why a lock was not taken, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No name for a lock or a holder.
    #[error("a name or an id has 1 to 256 bytes and no control characters")]
    Name,
    /// Shorter or longer than a lock may live.
    #[error("a lock lives 1 000 to 3 600 000 ms")]
    Ttl,
    /// Another held it all the time.
    #[error("lock timeout")]
    Timeout,
    /// The namespace holds too many.
    #[error("the namespace holds 1 000 locks: release one, or let it expire")]
    Full,
    /// Too many wait.
    #[error("1 000 calls of the namespace wait for a lock already")]
    Waiters,
    /// All connections are in use.
    #[error("too many calls at once: try again")]
    Busy,
    /// The server of the locks has no memory or disk left; locks that are held stay so, and can be released.
    #[error("the server of the locks has no room left")]
    Memory,
    /// The server of the locks does not answer.
    #[error("the server of the locks: {0}")]
    Away(String),
    /// A bug or a broken server.
    #[error("the server of the locks failed: {0}")]
    Backend(String),
}

/// Who wants a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What a leader is called.
    pub holder: Option<String>,
    /// How long it is held, unless renewed.
    pub ttl: Duration,
    /// When to give up; one that is over already does not wait.
    pub until: Instant,
}

/// A lock that was taken.
#[derive(Clone, PartialEq, Eq)]
pub struct Lock {
    /// What proves it.
    pub token: String,
    /// Greater than that of each earlier holder of this lock.
    pub fence: u64,
    /// Time left.
    pub left: Duration,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret of its holder.
        f.debug_struct("Lock").field("fence", &self.fence).field("left", &self.left).finish_non_exhaustive()
    }
}

/// Keeps the locks of all namespaces. A dropped call waits no longer and leaves nothing behind.
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Takes a lock as soon as nobody holds it.
    ///
    /// # Errors
    /// [`Error::Timeout`] when another holds it at `claim.until`; [`Error::Full`] and [`Error::Waiters`] at the limits.
    async fn acquire(&self, key: &LockKey, claim: Claim) -> Result<Lock, Error>;

    /// Holds it for `ttl` from now. False: the token does not hold it, and nothing changed.
    ///
    /// # Errors
    /// When the server of the locks does not answer.
    async fn renew(&self, key: &LockKey, token: &str, ttl: Duration) -> Result<bool, Error>;

    /// Gives it up. False: the token did not hold it, and nothing changed.
    ///
    /// # Errors
    /// When the server of the locks does not answer.
    async fn release(&self, key: &LockKey, token: &str) -> Result<bool, Error>;

    /// What whoever holds it is called.
    ///
    /// # Errors
    /// When the server of the locks does not answer.
    async fn holder(&self, key: &LockKey) -> Result<Option<String>, Error>;

    /// Whether it answers.
    ///
    /// # Errors
    /// Why it does not.
    async fn check(&self) -> Result<(), Error>;
}

/// A token that nobody guesses: 122 random bits.
pub(super) fn new_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Whether a lock may live so long.
pub(super) fn check_ttl(ttl: Duration) -> Result<(), Error> {
    if (TTL_MIN..=TTL_MAX).contains(&ttl) { Ok(()) } else { Err(Error::Ttl) }
}
