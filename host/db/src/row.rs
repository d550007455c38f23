//! Rows of `deployments` and their typed form.

use micro_api::deployment::{Deployment, DeploymentState, RunRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::{Action, Error};

/// Decodes a struct from the columns of its fields' names, on both databases. Fields are `String`, `i64` or options of
/// them.
macro_rules! record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl<'r, R> sqlx::FromRow<'r, R> for $type
        where
            R: sqlx::Row,
            &'static str: sqlx::ColumnIndex<R>,
            String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use record;

/// All columns of `deployments d`, in the order of [`DeploymentRow`], and a tail.
macro_rules! select_deployment {
    ($($tail:tt)*) => {
        concat!(
            "SELECT d.id, d.namespace, d.service, d.version, d.action, d.request, d.state, d.stages, d.error, ",
            "d.commit_id, d.revision, d.successor, d.starts, d.job, d.log_bytes, d.created_ms, d.started_ms, ",
            "d.updated_ms, d.node ",
            "FROM deployments d ",
            $($tail)*
        )
    };
}
pub(crate) use select_deployment;

/// A row as stored.
#[derive(Debug)]
pub(crate) struct DeploymentRow {
    id: String,
    namespace: String,
    service: String,
    version: String,
    action: String,
    request: String,
    state: String,
    stages: String,
    error: Option<String>,
    commit_id: Option<String>,
    revision: Option<String>,
    successor: Option<String>,
    starts: i64,
    job: i64,
    log_bytes: i64,
    created_ms: i64,
    started_ms: i64,
    updated_ms: i64,
    node: Option<String>,
}

/// A deployment with what the platform notes beside it.
#[derive(Debug, Clone)]
pub struct Record {
    /// What clients see.
    pub deployment: Deployment,
    /// What was asked for.
    pub request: RunRequest,
    /// How it was asked for.
    pub action: Action,
    /// The deployment that took this one's place.
    pub successor: Option<String>,
    /// How often the node was asked to start it.
    pub starts: i64,
    /// It runs to its end and answers no calls. Known from `running` on.
    pub job: bool,
    /// Bytes of its build log.
    pub log_bytes: i64,
    /// When it last became `starting`; 0 before.
    pub started_ms: i64,
    /// The node that starts it, or runs its job.
    pub node: Option<String>,
}

impl TryFrom<DeploymentRow> for Record {
    type Error = Error;
    fn try_from(row: DeploymentRow) -> Result<Self, Error> {
        let request: RunRequest = decode("request", &row.request)?;
        let state = DeploymentState::parse(&row.state)
            .ok_or_else(|| Error::Malformed { what: "state", text: row.state.clone() })?;
        Ok(Self {
            deployment: Deployment {
                id: row.id,
                namespace: row.namespace,
                service: row.service,
                version: row.version,
                source: request.source.clone(),
                source_given: request.source_given.clone(),
                state,
                stages: decode("stages", &row.stages)?,
                error: row.error.as_deref().map(|error| decode("error", error)).transpose()?,
                commit: row.commit_id,
                revision: row.revision,
                created_ms: row.created_ms,
                updated_ms: row.updated_ms,
            },
            request,
            action: Action::parse(&row.action)?,
            successor: row.successor,
            starts: row.starts,
            job: row.job != 0,
            log_bytes: row.log_bytes,
            started_ms: row.started_ms,
            node: row.node,
        })
    }
}

impl<'r, R> FromRow<'r, R> for DeploymentRow
where
    R: Row,
    usize: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            namespace: row.try_get(1)?,
            service: row.try_get(2)?,
            version: row.try_get(3)?,
            action: row.try_get(4)?,
            request: row.try_get(5)?,
            state: row.try_get(6)?,
            stages: row.try_get(7)?,
            error: row.try_get(8)?,
            commit_id: row.try_get(9)?,
            revision: row.try_get(10)?,
            successor: row.try_get(11)?,
            starts: row.try_get(12)?,
            job: row.try_get(13)?,
            log_bytes: row.try_get(14)?,
            created_ms: row.try_get(15)?,
            started_ms: row.try_get(16)?,
            updated_ms: row.try_get(17)?,
            node: row.try_get(18)?,
        })
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode { what, source })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Malformed { what, text: text.chars().take(200).collect() })
}
