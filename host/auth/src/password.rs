//! Passwords: slow hashes, with a bound on how many are worked on at once.
//!
//! A hash takes 19 MiB and some 20 ms of a core by intent, so whoever may ask for one may ask for too many: only
//! [`PasswordConfig::at_once`] run, [`PasswordConfig::waiting_max`] wait, and more are refused. The bound on guesses for
//! one account is the caller's, see [`crate::TokenBuckets`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::random;

/// Bytes of a password. More are refused before anything is computed.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Characters of a new password. Source: NIST SP 800-63B, section 5.1.1.2.
pub const PASSWORD_CHARACTERS_MIN: usize = 8;

/// What a stored hash may ask for, so that a row that someone tampered with cannot eat the machine: KiB, passes, lanes.
const STORED_MAX: (u32, u32, u32) = (256 * 1024, 16, 16);
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Costs and bounds. The default is OWASP's for Argon2id (Password Storage Cheat Sheet, 2024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordConfig {
    /// Memory of one hash, KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes; each hash uses one core however many there are.
    pub lanes: u32,
    /// Hashes that run at once. At least 1.
    pub at_once: usize,
    /// Hashes that wait for their turn.
    pub waiting_max: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1, at_once: 2, waiting_max: 64 }
    }
}

/// Why a password was not hashed or verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// More than [`PASSWORD_BYTES_MAX`].
    #[error("the password is too long: at most {PASSWORD_BYTES_MAX} bytes are allowed")]
    TooLong,
    /// Fewer than [`PASSWORD_CHARACTERS_MIN`].
    #[error("the password is too short: at least {PASSWORD_CHARACTERS_MIN} characters are needed")]
    TooShort,
    /// Too many wait already. Worth trying again.
    #[error("too many passwords are being checked: try again in a moment")]
    Busy,
    /// What is stored is no Argon2id hash, or one that asks for absurd costs. A fault of the platform's data.
    #[error("the stored password hash cannot be used")]
    Stored,
    /// The configured costs are outside of what Argon2 allows.
    #[error("the costs of passwords are invalid: {0}")]
    Config(String),
    /// The process is stopping.
    #[error("the check of a password was cut short")]
    Stopped,
}

/// Hashes and verifies. Meant to exist once in a process, because the bounds are its own.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    /// A hash that no password has: what an unknown account is verified against.
    dummy: Arc<str>,
    /// One for each that runs or waits.
    seats: Arc<Semaphore>,
    /// One for each that runs.
    turns: Arc<Semaphore>,
    verifications: Arc<AtomicU64>,
}

impl Passwords {
    /// Fails when Argon2 does not allow the costs.
    pub fn new(config: PasswordConfig) -> Result<Self, PasswordError> {
        let params = Params::new(config.memory_kib, config.passes, config.lanes, Some(HASH_BYTES))
            .map_err(|error| PasswordError::Config(error.to_string()))?;
        let at_once = config.at_once.clamp(1, Semaphore::MAX_PERMITS);
        let seats = at_once.saturating_add(config.waiting_max).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            dummy: dummy(&params)?.into(),
            params,
            seats: Arc::new(Semaphore::new(seats)),
            turns: Arc::new(Semaphore::new(at_once)),
            verifications: Arc::default(),
        })
    }

    /// Hashes a new password. The answer is a PHC string of some 100 bytes, made to be stored.
    ///
    /// Fails with `TooLong`, `TooShort`, `Busy`.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        bounded(password)?;
        if password.chars().count() < PASSWORD_CHARACTERS_MIN {
            return Err(PasswordError::TooShort);
        }
        let password = Zeroizing::new(password.to_owned());
        let argon2 = argon2(self.params.clone());
        self.run(move || {
            let mut salt = [0; SALT_BYTES];
            random::fill(&mut salt);
            let hash: Result<PasswordHash, _> = argon2.hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| PasswordError::Config(error.to_string()))
        })
        .await?
    }

    /// Whether `password` is the one of the stored `phc`. `None` stands for an account that is unknown or has no
    /// password: the answer is no, after the same work, so that the time does not tell which accounts exist.
    ///
    /// Fails with `TooLong`, `Busy`, `Stored`.
    pub async fn verify(&self, password: &str, phc: Option<&str>) -> Result<bool, PasswordError> {
        bounded(password)?;
        let password = Zeroizing::new(password.to_owned());
        let stored = phc.unwrap_or(&self.dummy);
        let hash = usable(stored)?;
        let known = phc.is_some();
        let argon2 = argon2(self.params.clone());
        let verifications = Arc::clone(&self.verifications);
        self.run(move || {
            verifications.fetch_add(1, Ordering::Relaxed);
            match argon2.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(known),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(_) => Err(PasswordError::Stored),
            }
        })
        .await?
    }

    /// Whether the stored hash was made at other costs than today's. When its password was just verified, it can be
    /// hashed anew.
    pub fn needs_rehash(&self, phc: &str) -> bool {
        let current = ParamsString::try_from(&self.params);
        !usable(phc).is_ok_and(|hash| current.is_ok_and(|current| hash.params == current))
    }

    /// How many verifications were computed since the start, for metrics and for the test that an unknown account costs
    /// as much as a known one.
    pub fn verifications(&self) -> u64 {
        self.verifications.load(Ordering::Relaxed)
    }

    /// Runs `work` on a thread that may block, when its turn comes.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| PasswordError::Stopped)?;
        tokio::task::spawn_blocking(move || {
            // Held by the work and not by the caller: a caller that goes away does not stop the thread.
            let _held = (seat, turn);
            work()
        })
        .await
        .map_err(|_| PasswordError::Stopped)
    }
}

fn argon2(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn bounded(password: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX { Err(PasswordError::TooLong) } else { Ok(()) }
}

/// Parses what is stored, when its algorithm is Argon2id and its costs are bearable.
fn usable(phc: &str) -> Result<PasswordHash, PasswordError> {
    let hash = PasswordHash::new(phc).map_err(|_| PasswordError::Stored)?;
    let params = Params::try_from(&hash).map_err(|_| PasswordError::Stored)?;
    let (memory, passes, lanes) = STORED_MAX;
    let bearable = params.m_cost() <= memory && params.t_cost() <= passes && params.p_cost() <= lanes;
    let whole = hash.salt.is_some() && hash.hash.is_some();
    let current = hash.algorithm == ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into());
    if bearable && whole && current { Ok(hash) } else { Err(PasswordError::Stored) }
}

/// A hash that was drawn and not computed: nobody knows a password for it, and verifying costs what it always costs.
fn dummy(params: &Params) -> Result<String, PasswordError> {
    let invalid = |error: argon2::password_hash::phc::Error| PasswordError::Config(error.to_string());
    let mut drawn = [0; SALT_BYTES + HASH_BYTES];
    random::fill(&mut drawn);
    let (salt, hash) = drawn.split_at(SALT_BYTES);
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|error| PasswordError::Config(error.to_string()))?,
        salt: Some(Salt::new(salt).map_err(invalid)?),
        hash: Some(Output::new(hash).map_err(invalid)?),
    };
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests;
