//! `GET /v1/operator/audit`: the log of the whole platform.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ID;
use crate::Control;
use crate::api::audit::{Page, csv};
use crate::authz::{Authorized, Operate};
use crate::error::Error;
use crate::extract::Query;

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Operate>,
    Query(page): Query<Page>,
) -> Result<Response, Error> {
    if page.is_csv()? {
        let over = caller.revoked(&control);
        return Ok(csv::export(Arc::clone(&control), None, over));
    }
    let lines = control.db.audit_of_all(&page.after, page.limit()?).await.map_err(Error::db(ID))?;
    Ok(Json(lines).into_response())
}
