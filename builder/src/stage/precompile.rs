//! The component to native code, in a bounded child: compiling can be made slow and hungry by whoever wrote the
//! component.

use std::path::Path;

use micro_api::deployment::Stage;
use micro_artifact::Digest;
use micro_db::CacheEntry;
use micro_engine::{EngineKind, engine_id};

use super::build::Built;
use crate::builder::{Builder, OUT};
use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};
use crate::sandbox::{End, Mount, Spec, tree};

const COMPONENT: &str = "component.wasm";
const NATIVE: &str = "native.cwasm";

/// Native code, in the store.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) digest: Digest,
    pub(crate) engine: String,
    cached: bool,
}

impl Cached for Native {
    fn is_cached(&self) -> bool {
        self.cached
    }
}

pub(crate) async fn run(build: &Build<'_>, built: &Built, kind: EngineKind) -> Result<Native, Error> {
    let engine = tokio::task::spawn_blocking(move || engine_id(kind)).await.doing("name the engine")?;
    let key = format!("native:{}:{engine}", built.component.hex());
    if let Some(entry) = build.reporter.cached(&key).await?
        && let Ok(digest) = entry.value.parse()
        && build.builder.ask_store(move |store| store.contains(&digest)).await?
    {
        return Ok(Native { digest, engine, cached: true });
    }
    let digest = compile(build, built, kind.as_str()).await?;
    let entry = CacheEntry { value: digest.to_string(), artifacts: vec![digest] };
    build.reporter.cache(&key, entry).await?;
    Ok(Native { digest, engine, cached: false })
}

async fn compile(build: &Build<'_>, built: &Built, kind: &str) -> Result<Digest, Error> {
    let builder = build.builder;
    let out = build.job.folder("out")?;
    tokio::fs::write(out.join(COMPONENT), &built.wasm).await.doing("write a component")?;
    builder.folders.give(&out, built.uid)?;
    let mut mounts = builder.mounts();
    mounts.push(Mount::write(&out, OUT));
    let inside = |name: &str| Path::new(OUT).join(name).display().to_string();
    let spec = Spec {
        uid: built.uid,
        mounts,
        env: builder.env(),
        program: Builder::inside(&["precompile", &inside(COMPONENT), &inside(NATIVE), kind]),
        limits: builder.config.precompile,
    };
    let mut last = String::new();
    let end = build.sandbox(Stage::Precompile, &spec, &mut |_, line| line.clone_into(&mut last)).await?;
    match end {
        End::Exit(0) => {}
        End::Limit(limit) => return Err(Error::limit("compiling the component", limit, &spec.limits)),
        End::Exit(_) if last.starts_with("the component") => return Err(Error::source(last)),
        end => return Err(Error::Platform(anyhow::anyhow!("precompile ended with {end:?}: {last}"))),
    }
    let (store, max) = (builder.store.clone(), spec.limits.disk_bytes);
    let kept = tokio::task::spawn_blocking(move || {
        let native = tree::read(&out, Path::new(NATIVE), max).doing("read native code")?;
        let native = native.ok_or_else(|| Error::Platform(anyhow::anyhow!("precompile made nothing")))?;
        store.put(&native).doing("keep native code")
    });
    kept.await.doing("keep native code")?
}
