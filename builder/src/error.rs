//! Why a build ended without a revision.

use micro_api::deployment::Stage;

use crate::sandbox::{Limit, Limits};

/// Who is named as the one that failed.
const ID: &str = "builder";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The source's fault; the text is for the one who runs it. Its first line stands alone.
    #[error("{text}")]
    Source { code: u16, text: String },
    /// The platform's fault; the text is for the operator only.
    #[error("{0:#}")]
    Platform(#[from] anyhow::Error),
    /// The machine's disk is full.
    #[error("the builder's disk is full")]
    Full,
    /// There is no compiler; the text says why.
    #[error(
        "Rust services cannot be built here: {0}\nthe operator installs Rust (https://rustup.rs, `rustup default \
         stable`) and `rustup target add wasm32-wasip2`, or names a toolchain with --toolchain"
    )]
    Toolchain(String),
    /// The job was killed, superseded, claimed by another builder, or this one stops.
    #[error("the build was given up")]
    Abandoned,
    /// The control plane's database refused a step; it has the words for it.
    #[error("{0}")]
    Refused(#[from] micro_db::Error),
}

impl Error {
    /// A fault of the source.
    pub(crate) fn source(text: impl Into<String>) -> Self {
        Self::Source { code: 400, text: text.into() }
    }

    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self::Source { code: 404, text: text.into() }
    }

    /// A bound that a run hit. `what` is "the build", "fetching the source".
    pub(crate) fn limit(what: &str, limit: Limit, limits: &Limits) -> Self {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let text = match limit {
            Limit::HostDisk => return Self::Full,
            Limit::Memory => format!("{what} used more than {} of memory", mib(limits.memory_bytes)),
            Limit::Processes => format!("{what} started more than {} processes", limits.processes),
            Limit::Cpu => format!("{what} used more than {} s of CPU time", limits.cpu_seconds),
            Limit::Wall => format!("{what} took longer than {} s", limits.wall.as_secs()),
            Limit::Disk | Limit::FileSize => format!("{what} wrote more than {}", mib(limits.disk_bytes)),
            Limit::Output => format!("{what} printed more than {}", mib(limits.output_bytes)),
        };
        Self::Source { code: 413, text }
    }

    /// As everybody may see it, with Micro's words for the stage in front.
    pub(crate) fn to_api(&self, stage: Stage, from_git: bool) -> micro_api::Error {
        let prefix = match stage {
            Stage::Fetch if from_git => "Error fetching git source",
            Stage::Fetch | Stage::Detect => "Error loading source",
            Stage::Build => "Error building service",
            Stage::Validate => "Error validating service",
            Stage::Precompile => "Error compiling service",
            Stage::Publish | Stage::Start => "Error uploading build",
        };
        match self {
            Self::Source { code, text } => micro_api::Error::new(ID, *code, format!("{prefix}: {text}")),
            Self::Toolchain(_) => micro_api::Error::new(ID, 503, format!("{prefix}: {self}")),
            Self::Refused(error) => error.to_api(ID),
            Self::Full => micro_api::Error::new(ID, 507, format!("{prefix}: {self}: ask the operator")),
            Self::Platform(error) if is_full(error) => micro_api::Error::new(
                ID,
                507,
                format!("{prefix}: the builder's disk is full: ask the operator"),
            ),
            Self::Platform(error) if is_away(error) => micro_api::Error::new(
                ID,
                503,
                format!("{prefix}: the platform's bucket cannot be reached: try again"),
            ),
            Self::Platform(_) => {
                micro_api::Error::internal(ID, format!("{prefix}: the builder failed; its own log says why"))
            }
            Self::Abandoned => micro_api::Error::conflict(ID, self.to_string()),
        }
    }
}

/// Adds what was being done to a fault of the platform.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Error>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Doing<T> for Result<T, E> {
    fn doing(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::Platform(anyhow::Error::new(error).context(what)))
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(io, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
            || matches!(cause.downcast_ref(), Some(crate::sandbox::Error::Full))
            || cause.downcast_ref::<micro_artifact::Error>().is_some_and(micro_artifact::Error::is_full)
    })
}

/// Of the bucket that nodes share.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<micro_artifact::Error>().is_some_and(micro_artifact::Error::is_away)
    })
}
