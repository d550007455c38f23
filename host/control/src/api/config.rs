//! `/v1/config`: the configuration of a namespace, and its secrets.

pub(crate) mod clone;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod restore;
pub(crate) mod secret;
pub(crate) mod set;

use micro_api::Namespace;
use micro_api::config::{Document, Path, mask};
use micro_db::HeldConfig;

use crate::Control;
use crate::error::{Error, chain};
use crate::vault::Vault;

/// Id of this resource's errors.
pub(crate) const ID: &str = "config";

fn parse(path: &str) -> Result<Path, Error> {
    path.parse().map_err(|error: micro_api::config::PathError| {
        micro_api::Error::bad_request(ID, error.to_string()).into()
    })
}

/// The document as everybody may see it.
fn masked(held: HeldConfig) -> Result<Document, Error> {
    let secrets = held.paths().map_err(Error::db(ID))?;
    Ok(mask(held.document, &secrets))
}

fn missing() -> Error {
    micro_api::Error::not_found(ID, "not found").into()
}

impl Control {
    /// The namespace's key, opened, with its sealed form.
    async fn vault(&self, namespace: &Namespace) -> Result<(Vault, String), Error> {
        let sealer = self.credentials.sealer();
        let first = Vault::new_key(sealer, namespace);
        let key = self.db.config_key(namespace, &first).await.map_err(Error::db(ID))?;
        let vault = Vault::open(sealer, namespace, &key).map_err(|error| sealed(&error))?;
        Ok((vault, key))
    }
}

/// A secret that does not open is the operator's to mend.
fn sealed(error: &micro_auth::SealError) -> Error {
    tracing::error!(error = chain(error), "A secret of a namespace does not open");
    micro_api::Error::internal(
        ID,
        "the secret cannot be opened: its operator finds the reason in the server's log",
    )
    .into()
}
