//! The source, in a folder of the job, from git or from an upload; or the knowledge that it was built before.

pub(crate) mod dependencies;
mod explain;
mod git;
mod upload;

use std::path::PathBuf;

use micro_api::deployment::Source;
use micro_api::manifest::Manifest;
use micro_artifact::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};
use crate::source::check_folder;

/// Bumped when the same source would be built differently.
const FORMAT: u32 = 1;

/// What the fetch found.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The source's root, and the service's folder below it. Empty when `known`.
    pub(crate) root: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) commit: Option<String>,
    /// Names everything that the component is made from.
    pub(crate) key: String,
    pub(crate) known: Option<Known>,
}

/// What an earlier build of the same source made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) component: Digest,
    pub(crate) manifest: Manifest,
}

impl Cached for Fetched {
    fn is_cached(&self) -> bool {
        self.known.is_some()
    }
}

pub(crate) async fn run(build: &Build<'_>) -> Result<Fetched, Error> {
    let root = build.job.folder("source")?;
    match &build.request.source {
        Source::Git { url, folder, reference } => {
            let folder = check_folder(folder).map_err(|refused| Error::source(refused.to_string()))?;
            git::run(build, url, reference, root, folder).await
        }
        Source::Upload { upload, folder } => {
            let folder = check_folder(folder).map_err(|refused| Error::source(refused.to_string()))?;
            upload::run(build, upload, root, folder).await
        }
    }
}

/// The key under which the component of a source is remembered. `content` names the source's bytes.
fn key(build: &Build<'_>, content: &str, folder: &std::path::Path) -> String {
    let sdk = build.builder.sdk.as_ref().map(|sdk| sdk.digest.to_string()).unwrap_or_default();
    let format = FORMAT.to_string();
    let folder = folder.to_string_lossy();
    let mut hasher = Hasher::new();
    for part in [format.as_str(), content, &folder, build.builder.toolchain_version(), &sdk] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("component:{}", hasher.finish().hex())
}

/// What an earlier build made, if its component is still there.
async fn known(build: &Build<'_>, key: &str) -> Result<Option<Known>, Error> {
    let Some(entry) = build.reporter.cached(key).await? else { return Ok(None) };
    let known: Known = serde_json::from_str(&entry.value).doing("read a cache entry")?;
    let component = known.component;
    let is_there = build.builder.ask_store(move |store| store.contains(&component)).await?;
    Ok(is_there.then_some(known))
}

/// Remembers what a source became.
pub(crate) async fn remember(build: &Build<'_>, key: &str, known: &Known) -> Result<(), Error> {
    let value = serde_json::to_string(known).doing("write a cache entry")?;
    build.reporter.cache(key, micro_db::CacheEntry { value, artifacts: vec![known.component] }).await
}
