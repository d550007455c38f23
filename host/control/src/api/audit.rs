//! `GET /v1/audit`: who did what in a namespace, a page at a time, or all of it as CSV.

pub(crate) mod csv;
pub(crate) mod list;

use micro_api::Error as Api;
use serde::Deserialize;

use crate::error::Error;
use crate::people::ID;

/// Lines of a page that asks for no number.
const LIMIT_DEFAULT: i64 = 50;

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
pub(crate) struct Page {
    /// The last id of the page before; absent: the first page.
    #[serde(default)]
    pub(crate) after: String,
    /// 1 to 200; 50 when absent.
    pub(crate) limit: Option<i64>,
    /// What to look for, where there is a search: what names or addresses begin with.
    #[serde(default)]
    pub(crate) query: String,
    /// `json`, or where there is an export `csv`: all lines, newest first.
    #[serde(default)]
    pub(crate) format: String,
}

impl Page {
    /// The number of lines.
    pub(crate) fn limit(&self) -> Result<i64, Error> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=micro_db::audit::PAGE_MAX).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("`limit` is 1 to {}", micro_db::audit::PAGE_MAX);
        Err(Api::bad_request(ID, detail).into())
    }

    /// Whether all is wanted as CSV.
    pub(crate) fn is_csv(&self) -> Result<bool, Error> {
        match self.format.as_str() {
            "" | "json" => Ok(false),
            "csv" => Ok(true),
            _ => Err(Api::bad_request(ID, "`format` is json or csv").into()),
        }
    }
}
