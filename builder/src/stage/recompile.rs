//! A revision whose native code was made for another engine: its component, compiled for the one of today. Nothing is
//! fetched or built, and all that was signed of it stays as it is.

use micro_artifact::{Digest, RevisionManifest};

use super::build::Built;
use super::precompile::{self, Native};
use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};

/// The revision's record, and its new code.
#[derive(Debug)]
pub(crate) struct Recompiled {
    manifest: RevisionManifest,
    native: Native,
}

impl Cached for Recompiled {
    fn is_cached(&self) -> bool {
        self.native.is_cached()
    }
}

pub(crate) async fn run(build: &Build<'_>, revision: &Digest) -> Result<Recompiled, Error> {
    let builder = build.builder;
    let (store, key, revision) = (builder.store.clone(), builder.key.clone(), *revision);
    let read = tokio::task::spawn_blocking(move || {
        let manifest = micro_artifact::read_manifest(&store, &key, &revision)?;
        let wasm = store.get(&manifest.component)?;
        // What is compiled is what was signed.
        if Digest::of(&wasm) != manifest.component {
            return Err(micro_artifact::Error::Damaged(manifest.component));
        }
        Ok((manifest, wasm))
    });
    let (manifest, wasm) = read.await.doing("read a revision")?.map_err(|error| match error {
        micro_artifact::Error::Missing(_) | micro_artifact::Error::Damaged(_) => {
            Error::missing("the build's result is gone or damaged: update it again")
        }
        error => Error::Platform(anyhow::Error::new(error).context("read a revision")),
    })?;
    let inspected = wasm.clone();
    let inspection = tokio::task::spawn_blocking(move || micro_engine::inspect(&inspected))
        .await
        .doing("inspect a component")?
        .map_err(|error| Error::source(error.to_string()))?;
    let service = builder.folders.service(build.namespace, &manifest.service)?;
    let _lock = builder.folders.lock(&service.path).await;
    let built = Built::stored(manifest.component, wasm, service.uid);
    let native = precompile::run(build, &built, inspection.kind).await?;
    Ok(Recompiled { manifest, native })
}

pub(crate) async fn publish(build: &Build<'_>, recompiled: Recompiled) -> Result<Digest, Error> {
    let Recompiled { manifest, native } = recompiled;
    let manifest = RevisionManifest { native: native.digest, engine: native.engine, ..manifest };
    let (store, key) = (build.builder.store.clone(), build.builder.key.clone());
    let published = tokio::task::spawn_blocking(move || micro_artifact::publish(&store, &key, &manifest));
    published.await.doing("publish a revision")?.doing("publish a revision")
}
