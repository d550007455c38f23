//! Deployments: one attempt to bring a source to `running`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::name::{ServiceName, ServiceType};

/// Rows of the largest page of `GET /v1/services`.
pub const SERVICES_PAGE_MAX: usize = 1_000;

/// Where a service's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A repository. `url` is what git is given, `folder` lies inside the repository ("" = its root), `reference` is a
    /// branch, tag or commit ("" = the default branch).
    Git { url: String, folder: String, reference: String },
    /// An archive that was uploaded before; `upload` is its id, `folder` lies inside it ("" = its root).
    Upload { upload: String, folder: String },
}

/// `POST /v1/services` (run) and `PUT /v1/services` (update).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunRequest {
    pub source: Source,
    /// The source as the person gave it: what the SOURCE column shows.
    pub source_given: String,
    /// The name the source suggests; `[service] name` in `micro.toml` wins unless `name_forced`.
    pub name: ServiceName,
    #[serde(default)]
    pub name_forced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<ServiceType>,
    /// The version label; `latest` unless the source has a ref.
    pub version: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Arguments of a job.
    #[serde(default)]
    pub args: Vec<String>,
    /// Restarts of a failing job or start before the status becomes `error`. Micro's default is 3.
    #[serde(default = "default_retries")]
    pub retries: u32,
}

impl RunRequest {
    /// Asks for the version `latest`, without environment and arguments, with Micro's number of retries.
    pub fn new(source: Source, source_given: impl Into<String>, name: ServiceName) -> Self {
        Self {
            source,
            source_given: source_given.into(),
            name,
            name_forced: false,
            r#type: None,
            version: "latest".to_owned(),
            env: BTreeMap::new(),
            args: Vec::new(),
            retries: default_retries(),
        }
    }
}

fn default_retries() -> u32 {
    3
}

/// The states of a deployment. `Running`, `Stopped`, `Superseded` and `Failed` rest; all others are being worked on
/// and survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// Waits for a builder.
    Queued,
    Fetching,
    Building,
    Validating,
    Precompiling,
    /// Published by digest; waits for the reconciler.
    Built,
    /// Being warmed on the node.
    Starting,
    Running,
    /// Draining.
    Stopping,
    /// A job that ended with exit code 0, or a service that was killed.
    Stopped,
    /// A newer deployment of the same service and version took its place.
    Superseded,
    Failed,
}

impl DeploymentState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Fetching => "fetching",
            Self::Building => "building",
            Self::Validating => "validating",
            Self::Precompiling => "precompiling",
            Self::Built => "built",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }

    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Fetching,
        Self::Building,
        Self::Validating,
        Self::Precompiling,
        Self::Built,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Superseded,
        Self::Failed,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing more will happen to a deployment in this state by itself.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Running | Self::Stopped | Self::Superseded | Self::Failed)
    }

    /// The STATUS column of `micro status` (RUN-06).
    pub fn status(self) -> &'static str {
        match self {
            Self::Queued => "pending",
            Self::Fetching | Self::Building | Self::Validating | Self::Precompiling => "building",
            Self::Built | Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped | Self::Superseded => "stopped",
            Self::Failed => "error",
        }
    }
}

/// A stage of the builder's pipeline, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Fetch,
    Detect,
    Build,
    Validate,
    Precompile,
    Publish,
    /// The node loads and warms the revision; the only stage that is not the builder's.
    Start,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Detect => "detect",
            Self::Build => "build",
            Self::Validate => "validate",
            Self::Precompile => "precompile",
            Self::Publish => "publish",
            Self::Start => "start",
        }
    }
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageReport {
    pub stage: Stage,
    pub started_ms: i64,
    /// Absent while the stage runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// The stage's result came from a cache by content.
    #[serde(default)]
    pub cached: bool,
}

/// `GET /v1/deployments/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Deployment {
    pub id: String,
    pub namespace: String,
    /// Short name, `api.greeter`.
    pub service: String,
    pub version: String,
    pub source: Source,
    pub source_given: String,
    pub state: DeploymentState,
    pub stages: Vec<StageReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// The commit that was built, for a git source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The revision it made: the digest of its signed manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// A row of `micro status`: `GET /v1/services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceStatus {
    pub name: String,
    pub version: String,
    pub source: String,
    /// RUN-06: pending, building, starting, running, stopping, stopped, error.
    pub status: String,
    /// The commit, or empty for a local source.
    pub build: String,
    /// When the version last changed state to starting.
    pub updated_ms: i64,
    /// `owner`, `group`, and `error` where there is one. Sorted by key.
    pub metadata: BTreeMap<String, String>,
    /// The deployment that this row speaks of.
    pub deployment: String,
}

/// `POST /v1/uploads` answers with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Upload {
    /// Unguessable; what `Source::Upload` names.
    pub id: String,
    pub size: u64,
}
