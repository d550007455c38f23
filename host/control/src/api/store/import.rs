//! `POST /v1/store/{table}/import`: a batch of records.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use micro_api::Namespace;
use micro_api::store::{Import, Imported};
use micro_db::audit::Entry;

use super::check_table;
use crate::Control;
use crate::authz::{Authorized, Deploy};
use crate::error::Error;
use crate::extract::{self, Path};

const ID: &str = "store";
/// Characters of an import's id.
const ID_MAX: usize = 64;
/// Imports that are remembered, of all namespaces. One that is forgotten is written down again.
const IMPORTS_MAX: u64 = 10_000;
/// How long one is remembered.
const IMPORT_TTL: Duration = Duration::from_hours(1);

/// Imports that stand in the audit log: namespace, who, table, id. A large one has thousands of requests and is one line.
pub(crate) type Imports = moka::sync::Cache<(Namespace, String, String, String), ()>;

pub(crate) fn imports() -> Imports {
    moka::sync::Cache::builder().max_capacity(IMPORTS_MAX).time_to_live(IMPORT_TTL).build()
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Deploy>,
    Path(table): Path<String>,
    extract::Json(import): extract::Json<Import>,
) -> Result<Json<Imported>, Error> {
    check_table(&table)?;
    if import.id.is_empty()
        || import.id.len() > ID_MAX
        || !import.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        let detail = format!("`id` is 1 to {ID_MAX} letters, digits and `-`, the same for all of an import");
        return Err(micro_api::Error::bad_request(ID, detail).into());
    }
    write_down(&control, &caller, &table, &import).await?;
    Ok(Json(control.node.store_import(&caller.namespace, &table, import).await?))
}

/// Before anything is written, so that no import is without its line.
async fn write_down(
    control: &Control,
    caller: &Authorized<Deploy>,
    table: &str,
    import: &Import,
) -> Result<(), Error> {
    let actor = caller.actor();
    let known = (caller.namespace.clone(), actor.id.clone(), table.to_owned(), import.id.clone());
    if control.imports.contains_key(&known) {
        return Ok(());
    }
    let way = if import.replace { "what is there is replaced" } else { "what is there is kept" };
    let entry = Entry {
        actor: &actor,
        namespace: caller.namespace.as_str(),
        action: "store.import",
        subject: table,
        detail: &format!("import {}: {way}", import.id),
    };
    control.db.audit(entry).await.map_err(Error::db(ID))?;
    control.imports.insert(known, ());
    Ok(())
}
