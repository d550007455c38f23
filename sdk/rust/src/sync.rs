//! Locks and leaders, shared by all instances and versions of a service.
//!
//! They must be granted: `sync = true` under `[grants]` in `micro.toml`. A lock is a lease: it ends with its time, even
//! while its holder still works and does not know. Give [`Lock::fence`] to whatever the lock guards and let it refuse a
//! smaller one than it has seen: only that keeps a late holder from doing harm.

use std::time::Duration;

use crate::{Error, host};

/// How long a leader leads without [`Leader::renew`], unless [`Election::ttl`] says otherwise.
const LEADER_TTL: Duration = Duration::from_secs(30);

/// What the platform gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) token: String,
    pub(crate) fence: u64,
    pub(crate) left: Duration,
}

/// A lock that was taken.
///
/// ```
/// use std::time::Duration;
/// use micro_sdk::sync::Lock;
///
/// # micro_sdk::test::World::new().block_on(async {
/// let lock = Lock::acquire("invoice/7", Duration::from_secs(30), Duration::from_secs(2)).await?;
/// // Write `lock.fence()` along; refuse a write with a smaller one than is there.
/// assert!(lock.renew(Duration::from_secs(30)).await?);
/// lock.release().await?;
/// # Ok::<_, micro_sdk::Error>(())
/// # })?;
/// # Ok::<_, micro_sdk::Error>(())
/// ```
///
/// One that is dropped stays held until its time is over, since to release it takes a call.
#[must_use = "a lock that is dropped stays held until its time is over"]
pub struct Lock {
    name: String,
    held: Held,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token, which is worth the lock.
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("fence", &self.held.fence)
            .finish_non_exhaustive()
    }
}

impl Lock {
    /// Takes the lock of this name for `ttl`, 1 s to 1 h, and waits for it up to `wait`, but not beyond the call's own
    /// deadline.
    ///
    /// # Errors
    /// 408 `lock timeout` when another held it all the time; 400 for a name that is not 1 to 256 bytes, or another
    /// `ttl`; 429 when the namespace holds 1 000 locks or too many of its calls wait; 503 when the server of the locks
    /// does not answer.
    pub async fn acquire(name: impl Into<String>, ttl: Duration, wait: Duration) -> Result<Self, Error> {
        let name = name.into();
        let held = host::lock_acquire(name.clone(), ttl, wait).await?;
        Ok(Self { name, held })
    }

    /// One that was taken elsewhere, perhaps by an earlier call that kept [`Lock::token`]. Its fence is not known: 0.
    pub fn from_token(name: impl Into<String>, token: impl Into<String>) -> Self {
        Self { name: name.into(), held: Held { token: token.into(), fence: 0, left: Duration::ZERO } }
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What proves that it is held. Whoever has it can release the lock.
    pub fn token(&self) -> &str {
        &self.held.token
    }

    /// Greater than that of each earlier holder of this lock.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// The time that was left when it was taken.
    pub fn expires_in(&self) -> Duration {
        self.held.left
    }

    /// Holds it for `ttl` from now. False: it is held no longer, so stop what it guards.
    ///
    /// # Errors
    /// 400 for a `ttl` beyond 1 s to 1 h; 503 when the server of the locks does not answer: it may be held or not.
    pub async fn renew(&self, ttl: Duration) -> Result<bool, Error> {
        host::lock_renew(self.name.clone(), self.held.token.clone(), ttl).await
    }

    /// Gives it up. False: it was not held any more.
    ///
    /// # Errors
    /// 503 when the server of the locks does not answer: it is held until its time is over then.
    pub async fn release(self) -> Result<bool, Error> {
        host::lock_release(self.name, self.held.token).await
    }
}

/// Instances of a service that want one of them to lead.
///
/// ```
/// use std::time::Duration;
/// use micro_sdk::sync::Election;
///
/// # micro_sdk::test::World::new().block_on(async {
/// let election = Election::new("janitor", "instance-1").ttl(Duration::from_secs(60));
/// let leader = election.campaign(Duration::ZERO).await?;
/// assert_eq!(election.leader().await?.as_deref(), Some("instance-1"));
/// // From time to time: false means that another may lead already.
/// assert!(leader.renew().await?);
/// leader.resign().await?;
/// assert_eq!(election.leader().await?, None);
/// # Ok::<_, micro_sdk::Error>(())
/// # })?;
/// # Ok::<_, micro_sdk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    name: String,
    id: String,
    ttl: Duration,
}

impl Election {
    /// An election, in which this one is called `id`. It is the lock of this name too.
    pub fn new(name: impl Into<String>, id: impl Into<String>) -> Self {
        Self { name: name.into(), id: id.into(), ttl: LEADER_TTL }
    }

    /// How long it leads without renewing, 1 s to 1 h. Default: 30 s.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Leads as soon as nobody else does, and waits for it up to `wait`.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub async fn campaign(&self, wait: Duration) -> Result<Leader, Error> {
        let held = host::lock_campaign(self.name.clone(), self.id.clone(), self.ttl, wait).await?;
        Ok(Leader { lock: Lock { name: self.name.clone(), held }, ttl: self.ttl })
    }

    /// Who leads now; none if nobody does.
    ///
    /// # Errors
    /// 400 for a bad name, 503 when the server of the locks does not answer.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        host::lock_leader(self.name.clone()).await
    }
}

/// Proof of having won an [`Election`]. One that is dropped leads until its time is over.
#[derive(Debug)]
#[must_use = "a leader that is dropped leads until its time is over"]
pub struct Leader {
    lock: Lock,
    ttl: Duration,
}

impl Leader {
    /// Greater than that of each leader before.
    pub fn fence(&self) -> u64 {
        self.lock.fence()
    }

    /// Leads on for the election's time from now. False: it leads no longer.
    ///
    /// # Errors
    /// As [`Lock::renew`].
    pub async fn renew(&self) -> Result<bool, Error> {
        self.lock.renew(self.ttl).await
    }

    /// Lets another lead. False: it did not lead any more.
    ///
    /// # Errors
    /// As [`Lock::release`].
    pub async fn resign(self) -> Result<bool, Error> {
        self.lock.release().await
    }
}
