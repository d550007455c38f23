//! `POST /v1/config/set`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::Namespace;
use micro_api::config::{Change, Path, SetValue, VALUE_BYTES_MAX};
use micro_auth::Secret;
use micro_db::{Actor, ConfigFault, ConfigWrite};
use serde_json::Value;

use super::{ID, parse};
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract;

/// How often a secret is sealed anew because the namespace's key was replaced meanwhile.
const TRIES: usize = 3;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    extract::Json(SetValue { path, value, secret }): extract::Json<SetValue>,
) -> Result<Json<Change>, Error> {
    let (path, actor) = (parse(&path)?, caller.actor());
    let change = if secret {
        let Value::String(text) = value else {
            return Err(micro_api::Error::bad_request(ID, "a secret is text").into());
        };
        seal(&control, &caller.namespace, &path, &Secret::new(text), &actor).await?
    } else {
        let write = ConfigWrite::Set(path, value);
        let change =
            control.db.write_config(&caller.namespace, write, &actor).await.map_err(Error::db(ID))?;
        change.unwrap_or_default()
    };
    control.node.config_changed().await;
    Ok(Json(change))
}

async fn seal(
    control: &Control,
    namespace: &Namespace,
    path: &Path,
    text: &Secret,
    actor: &Actor,
) -> Result<Change, Error> {
    if text.expose().len() > VALUE_BYTES_MAX {
        let detail = format!("a secret has at most {} KiB", VALUE_BYTES_MAX >> 10);
        return Err(micro_api::Error::bad_request(ID, detail).into());
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let (vault, key) = control.vault(namespace).await?;
        let sealed = vault.seal(path.as_str(), text);
        match control.db.set_secret(namespace, path, &sealed, &key, actor).await {
            Err(micro_db::Error::Config(ConfigFault::KeyReplaced)) if tries < TRIES => {}
            result => return result.map_err(Error::db(ID)),
        }
    }
}
