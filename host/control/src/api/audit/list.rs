//! `GET /v1/audit`, by an owner.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{Page, csv};
use crate::Control;
use crate::authz::{Authorized, Manage};
use crate::error::Error;
use crate::extract::Query;
use crate::people::ID;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Manage>,
    Query(page): Query<Page>,
) -> Result<Response, Error> {
    if page.is_csv()? {
        let namespace = Some(caller.namespace.clone());
        let over = caller.revoked(&control);
        return Ok(csv::export(Arc::clone(&control), namespace, over));
    }
    let limit = page.limit()?;
    let lines = control.db.audit_of(&caller.namespace, &page.after, limit).await.map_err(Error::db(ID))?;
    Ok(Json(lines).into_response())
}
