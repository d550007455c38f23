//! `GET /v1/config/list`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::config::{Entry, flat};

use super::{ID, masked};
use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
) -> Result<Json<Vec<Entry>>, Error> {
    let held = control.db.config(&caller.namespace).await.map_err(Error::db(ID))?;
    let secrets: std::collections::HashSet<_> =
        held.secrets.iter().map(|secret| secret.name.clone()).collect();
    let mut entries = flat(&masked(held)?);
    for entry in &mut entries {
        entry.secret = secrets.contains(&entry.path);
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Json(entries))
}
