//! `GET /v1/usage`: what services used, by UTC day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use micro_api::usage::Usage;
use micro_db::calendar::{day_of, parse_day};
use micro_db::usage::PAGE_MAX;
use serde::Deserialize;

use crate::Control;
use crate::authz::{Authorized, Read};
use crate::error::Error;
use crate::extract::Query;

/// Who failed, in errors of these endpoints.
pub(crate) const ID: &str = "usage";
/// As long as days are kept.
const DAYS_MAX: i64 = 400;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Span {
    /// Days back from today, today included; 1 to 400, 30 when it is left out.
    days: Option<i64>,
    /// Go on after this row of the page before: `2026-11-26/helloworld`.
    after: Option<String>,
    /// Rows at most, up to 10 000, which is also the default.
    limit: Option<i64>,
}

pub(crate) async fn handler(
    State(control): State<Arc<Control>>,
    caller: Authorized<Read>,
    Query(span): Query<Span>,
) -> Result<Json<Vec<Usage>>, Error> {
    let days = span.days.unwrap_or(30);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(wrong(format!("`days` is 1 to {DAYS_MAX}")));
    }
    let limit = span.limit.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(wrong(format!("`limit` is 1 to {PAGE_MAX}")));
    }
    let after = match span.after.as_deref() {
        None | Some("") => None,
        Some(text) => Some(row(text).ok_or_else(|| {
            wrong("`after` is the day and service of a row, such as `2026-11-26/helloworld`".to_owned())
        })?),
    };
    let from = day_of(micro_db::now_ms()) - days + 1;
    let rows = control.db.usage(&caller.namespace, from, after, limit).await.map_err(Error::db(ID))?;
    Ok(Json(rows))
}

fn row(text: &str) -> Option<(i64, &str)> {
    let (day, service) = text.split_once('/')?;
    Some((parse_day(day)?, service))
}

fn wrong(detail: String) -> Error {
    micro_api::Error::bad_request(ID, detail).into()
}
