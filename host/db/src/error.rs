//! Why a query or a change of state did not happen.

mod refusal;

use micro_api::deployment::DeploymentState;

pub use refusal::Refusal;

/// An error of the control data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address names no database we know, or it cannot be opened.
    #[error("open the database {url}")]
    Connect {
        /// The address without its password.
        url: String,
        #[source]
        source: sqlx::Error,
    },
    /// The address has an unknown scheme.
    #[error("`{0}` is not a database address: use sqlite:// or postgres://")]
    Address(String),
    /// The schema could not be brought up to date.
    #[error("bring the database's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A later version migrated the database.
    #[error(
        "the database was written by a newer version of micro: its schema has step {found}, and this version knows \
         {known}: install that version again, or restore a backup from before the update"
    )]
    NewerSchema {
        /// The first step that is unknown here.
        found: i64,
        /// The last one that is known.
        known: i64,
    },
    /// The database was never migrated.
    #[error("the database holds no platform: it has none of its tables")]
    NoSchema,
    /// A copy may only go into a database that has nothing of a platform.
    #[error("the database holds a platform already: a restore needs an empty one")]
    NotEmpty,
    /// A copy does not have what the schema that it names has.
    #[error("the copy of the database is malformed: {0}")]
    Copy(String),
    /// The database refused or failed.
    #[error("database: {doing}")]
    Sql {
        /// Name of the query or step.
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A stored value is not what this version writes.
    #[error("the database holds a malformed {what}: {text}")]
    Malformed { what: &'static str, text: String },
    /// A record could not be encoded.
    #[error("encode a {what}")]
    Encode {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// The deployment is not in a state that allows the step.
    #[error("deployment {deployment} is {} and cannot become {}", from.as_str(), to.as_str())]
    Illegal { deployment: String, from: DeploymentState, to: DeploymentState },
    /// Another node has taken the deployment since it was read.
    #[error("deployment {deployment} is another node's by now")]
    Elsewhere { deployment: String },
    /// The worker's lease ran out, or the deployment was killed or superseded: stop working on it.
    #[error("the job is no longer this worker's")]
    LeaseLost,
    /// No deployment with this id.
    #[error("deployment not found")]
    NoDeployment,
    /// `run` of a version that runs or is being brought up.
    #[error("service already running")]
    AlreadyRunning,
    /// `update` or `kill` of a version that is not there.
    #[error("{service}:{version} is not running: start it with `micro run`")]
    NotRunning { service: String, version: String },
    /// `update` of a version whose only attempts failed.
    #[error("{service}:{version} is in error: fix it and start it with `micro run`")]
    InError { service: String, version: String },
    /// The request names an upload that is not there, or another namespace's.
    #[error("the upload has expired: send the source again")]
    NoUpload,
    /// The namespace's uploads hold this many bytes, or would.
    #[error(
        "the uploads of this namespace that no build has used yet may hold {} MiB together: wait for the builds \
         under way, or an hour",
        .0 >> 20
    )]
    UploadsFull(u64),
    /// A namespace or person has as many of something as may be.
    #[error("limit: {what}: there may be {max}: remove one first")]
    TooMany { what: &'static str, max: i64 },
    /// The plan of the namespace allows no more. `resets_ms`: when it does again by itself, Unix milliseconds.
    #[error("limit: {limit}: {}", limit_text(limit, *max, *resets_ms))]
    Limit { limit: &'static str, max: i64, resets_ms: Option<i64> },
    /// The operator blocked the namespace.
    #[error("the namespace {0} is blocked: ask the operator of this platform why")]
    Blocked(String),
    /// Micro's text for an account that is there already.
    #[error("Account with this ID already exists")]
    AccountExists,
    /// Micro's text for an account that is not there.
    #[error("Account not found with this ID")]
    NoAccount,
    /// Micro's text for a rule that is there already.
    #[error("A rule with this ID already exists")]
    RuleExists,
    /// Micro's text for a rule that is not there.
    #[error("Rule not found")]
    NoRule,
    /// A namespace's configuration does not take what was asked for.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigFault),
    /// What a person or a team asked for cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many jobs wait.
    #[error("{0} builds are waiting already: try again later")]
    QueueFull(i64),
}

impl Error {
    /// A row with the same key is there already.
    pub(crate) fn is_unique_violation(&self) -> bool {
        let Self::Sql { source, .. } = self else { return false };
        source.as_database_error().is_some_and(|error| error.is_unique_violation())
    }

    /// In how many milliseconds it makes sense to try again, where that is known.
    pub fn retry_ms(&self) -> Option<i64> {
        match self {
            Self::Refused(refusal) => refusal.resets_ms(),
            Self::Limit { resets_ms, .. } => resets_ms.map(|at| at - crate::now_ms()),
            _ => None,
        }
    }

    /// The error for the caller. What went wrong inside stays inside.
    pub fn to_api(&self, id: &str) -> micro_api::Error {
        use micro_api::Error as Api;
        let detail = self.to_string();
        match self {
            Self::AlreadyRunning => Api::conflict(id, detail),
            Self::NoDeployment | Self::NotRunning { .. } | Self::InError { .. } => Api::not_found(id, detail),
            Self::Illegal { .. } | Self::Elsewhere { .. } | Self::LeaseLost => Api::conflict(id, detail),
            Self::NoUpload | Self::AccountExists | Self::NoAccount | Self::RuleExists | Self::NoRule => {
                Api::bad_request(id, detail)
            }
            Self::Config(fault) => fault.to_api(id),
            Self::Refused(refusal) => refusal.to_api(id),
            Self::TooMany { .. } | Self::Blocked(_) | Self::Limit { resets_ms: None, .. } => {
                Api::forbidden(id, detail)
            }
            Self::Limit { .. } => Api::new(id, 429, detail),
            Self::QueueFull(_) | Self::UploadsFull(_) => Api::new(id, 429, detail),
            Self::Sql { source, .. } if is_full(source) => Api::new(id, 507, "the platform's disk is full"),
            Self::Connect { .. }
            | Self::Address(_)
            | Self::Migrate(_)
            | Self::NewerSchema { .. }
            | Self::NoSchema
            | Self::Sql { .. } => Api::new(id, 503, "the platform's database is not available"),
            Self::Malformed { .. } | Self::Encode { .. } | Self::NotEmpty | Self::Copy(_) => {
                Api::internal(id, "internal error")
            }
        }
    }
}

/// What the plan allows, when it starts again, and what one does about it.
fn limit_text(limit: &str, max: i64, resets_ms: Option<i64>) -> String {
    let way_out = crate::quota::way_out(limit);
    match resets_ms {
        None => format!("the plan of this namespace allows {max}: {way_out}"),
        Some(at) => {
            let day = crate::calendar::day_text(crate::calendar::day_of(at));
            format!(
                "the plan of this namespace allows {max} a month, and they are used; it starts again on {day} at \
                 00:00 UTC: {way_out}"
            )
        }
    }
}

/// SQLITE_FULL, or PostgreSQL's disk_full.
fn is_full(source: &sqlx::Error) -> bool {
    let code = source.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("13" | "53100"))
}
