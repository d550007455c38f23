//! What the master key seals in the database, and what happens when that key is replaced.

use std::collections::BTreeSet;

use micro_auth::{SealError, Sealer, sealed_by};
use micro_db::{Db, Place, Sealed};

use crate::CredentialsError;

/// What a signing key is sealed as.
pub(crate) const SIGNING_KEY: &str = "signing_keys.sealed_key";
/// What a refresh token's successor is sealed as.
pub(crate) const SUCCESSOR: &str = "refresh_tokens.sealed_successor";

/// What a person's second factor is sealed as.
pub(crate) fn second_factor(person: &str) -> String {
    format!("people.sealed_totp {person}")
}

/// What the key of a namespace's secrets is sealed as.
pub(crate) fn config_key(namespace: &str) -> String {
    format!("config_documents.sealed_key {namespace}")
}

/// What a key that all nodes share is sealed as.
pub fn platform_key(name: &str) -> String {
    format!("platform_keys.sealed_key {name}")
}

/// Ids of the master keys that these values are sealed by.
pub fn keys_of(sealed: &[Sealed]) -> BTreeSet<String> {
    sealed.iter().filter_map(|sealed| sealed_by(&sealed.value).ok()).map(str::to_owned).collect()
}

/// Seals anew what a master key before the current one sealed, all or nothing: when this returns, only the current one
/// is needed.
pub(crate) async fn renew(db: &Db, sealer: &Sealer) -> Result<(), CredentialsError> {
    if db.sealed().await?.iter().all(|sealed| sealer.is_current(&sealed.value)) {
        return Ok(());
    }
    let renewed = db.reseal(|sealed| anew(sealer, sealed)).await?;
    tracing::info!(renewed, master_key = sealer.id(), "Sealed by the new master key; the one before may go");
    Ok(())
}

/// The same secret under the current key; none if it is already.
fn anew(sealer: &Sealer, sealed: &Sealed) -> Result<Option<String>, CredentialsError> {
    if sealer.is_current(&sealed.value) {
        return Ok(None);
    }
    let (what, context) = match sealed.place {
        Place::SigningKey => ("a signing key", SIGNING_KEY.to_owned()),
        Place::SecondFactor => ("a second factor", second_factor(&sealed.id)),
        Place::Successor => ("a refresh token", SUCCESSOR.to_owned()),
        Place::PlatformKey => ("a key of the platform", platform_key(&sealed.id)),
        Place::ConfigKey => ("the key of a namespace's secrets", config_key(&sealed.id)),
    };
    match sealer.open(&context, &sealed.value) {
        Ok(plain) => Ok(Some(sealer.seal(&context, &plain))),
        Err(SealError::UnknownKey(sealed_by)) => {
            Err(CredentialsError::MasterKey { sealed_by, given: sealer.id().to_owned() })
        }
        Err(_) => Err(CredentialsError::Sealed { what }),
    }
}
