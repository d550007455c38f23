//! Configuration and secrets that people set with `micro config`.
//!
//! They must be granted, under `[grants]` in `micro.toml`: `config = ["own"]` lets a service read what stands below its
//! own name, `"*"` everything, and `"secret:stripe.key"` one secret. The `[config]` table of `micro.toml` holds
//! defaults. A change is seen within a second.
//!
//! With the feature `config` of this crate there are typed values with defaults, and other sources: see [`Config`].

use crate::{Error, host};

#[cfg(feature = "config")]
mod duration;
#[cfg(feature = "config")]
mod load;
#[cfg(feature = "config")]
mod merge;
#[cfg(feature = "config")]
mod source;
#[cfg(test)]
#[cfg(feature = "config")]
mod tests;
#[cfg(feature = "config")]
mod value;

#[cfg(feature = "config")]
pub use self::load::{Builder, Config, Watcher};
#[cfg(feature = "config")]
pub use self::merge::merge;
#[cfg(feature = "config")]
pub use self::source::{Environment, Format, Platform, Source, Text};
#[cfg(feature = "config")]
pub use self::value::Value;

/// The value at a dotted path as JSON, such as `"10.0.0.1"` in its quotes; none when there is none. An empty path is
/// everything that the service may read. Secrets are never part of it.
///
/// # Errors
/// 403 when configuration is not granted, 400 for what is no path, 503 when it cannot be read at the moment.
pub async fn get(path: &str) -> Result<Option<String>, Error> {
    host::config_get(path.to_owned()).await
}

/// The text of the secret with this path; none when there is none.
///
/// # Errors
/// 403 when this secret is not granted; else as [`get`].
pub async fn secret(path: &str) -> Result<Option<String>, Error> {
    host::config_secret(path.to_owned()).await
}

/// Grows with each change of the namespace's configuration and secrets.
///
/// # Errors
/// As [`get`].
pub async fn version() -> Result<u64, Error> {
    host::config_version().await
}

/// Waits until the version is another one than `after`, and answers it. Shortly before the call's deadline, and after
/// 30 seconds, it answers the version as it is.
///
/// # Errors
/// As [`get`].
pub async fn next(after: u64) -> Result<u64, Error> {
    host::config_next(after).await
}
