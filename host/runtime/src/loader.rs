//! Components in memory: mapped when first called, shared by revisions of the same code and grants, bounded.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use micro_artifact::{Digest, Exports};
use micro_capability::Granted;
use micro_engine::{EngineError, EngineKind};
use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::config::Config;
use crate::fault::Fault;
use crate::revision::{Loaded, Revision};
use crate::runtime::{LoadedCount, Runtime};
use crate::state::State;

pub(crate) struct Loader {
    sync: Engine,
    concurrent: Engine,
    loaded_max: usize,
    count: LoadedCount,
    linkers: Mutex<HashMap<LinkerKey, Arc<Linker<State>>>>,
    shared: Mutex<HashMap<Key, Weak<Loaded>>>,
}

type LinkerKey = (EngineKind, Granted);
/// The same code with the same grants is linked in the same way.
type Key = (Digest, Granted, ExportsKey);
type ExportsKey =
    (Option<micro_artifact::Package>, Option<micro_artifact::Wasi>, Option<micro_artifact::Wasi>);

fn exports_key(exports: &Exports) -> ExportsKey {
    (exports.handler, exports.http, exports.run)
}

impl Loader {
    pub(crate) fn new(config: &Config) -> Result<Self, EngineError> {
        Ok(Self {
            sync: micro_engine::engine(EngineKind::Sync, &config.engine)?,
            concurrent: micro_engine::engine(EngineKind::Async, &config.engine)?,
            loaded_max: config.loaded_max,
            count: LoadedCount::default(),
            linkers: Mutex::new(HashMap::new()),
            shared: Mutex::new(HashMap::new()),
        })
    }

    pub(crate) fn engines(&self) -> Vec<Engine> {
        vec![self.sync.clone(), self.concurrent.clone()]
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn engine(&self, kind: EngineKind) -> &Engine {
        match kind {
            EngineKind::Sync => &self.sync,
            EngineKind::Async => &self.concurrent,
        }
    }

    /// The revision's code, mapped now if need be. Concurrent calls load once.
    pub(crate) async fn load(
        &self,
        runtime: &Runtime,
        revision: &Arc<Revision>,
    ) -> Result<Arc<Loaded>, Fault> {
        revision.touch();
        if let Some(loaded) = revision.loaded.load_full() {
            return Ok(loaded);
        }
        let _one_at_a_time = revision.loading.lock().await;
        if let Some(loaded) = revision.loaded.load_full() {
            return Ok(loaded);
        }
        let loaded = self.share(runtime, revision).await?;
        revision.loaded.store(Some(Arc::clone(&loaded)));
        runtime.remember(revision);
        Ok(loaded)
    }

    async fn share(&self, runtime: &Runtime, revision: &Arc<Revision>) -> Result<Arc<Loaded>, Fault> {
        let manifest = revision.manifest();
        let key = (manifest.native, revision.guest().granted(), exports_key(&manifest.exports));
        if let Some(loaded) = self.shared.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(loaded);
        }
        if self.count() >= self.loaded_max {
            runtime.unload_oldest();
        }
        if self.count() >= self.loaded_max {
            return Err(Fault::Saturated("components loaded on the node"));
        }
        let linker = self.linker(revision.kind, revision.guest().granted())?;
        let (engine, artifact) = (self.engine(revision.kind).clone(), revision.artifact.clone());
        let count = Arc::clone(&self.count);
        let load = move || {
            let component =
                micro_engine::load(&engine, &artifact).map_err(|error| Fault::Load(error.to_string()))?;
            let pre = linker.instantiate_pre(&component);
            // Its text names an import or a type, which the service's author must see.
            let pre = pre.map_err(|error| Fault::Start(format!("{error:#}")))?;
            let loaded = Loaded::new(&engine, &pre, &artifact.manifest().exports, count);
            loaded.map_err(|error| Fault::Start(format!("{error:#}")))
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        let loaded = loaded.unwrap_or_else(|error| Err(Fault::Host(error.to_string())))?;
        let loaded = Arc::new(loaded);
        let mut shared = self.shared.lock();
        shared.retain(|_, loaded| loaded.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    fn linker(&self, kind: EngineKind, granted: Granted) -> Result<Arc<Linker<State>>, Fault> {
        let mut linkers = self.linkers.lock();
        if let Some(linker) = linkers.get(&(kind, granted)) {
            return Ok(Arc::clone(linker));
        }
        let made = crate::linker::linker(self.engine(kind), kind, granted);
        let linker = Arc::new(made.map_err(|error| Fault::Host(format!("{error:#}")))?);
        linkers.insert((kind, granted), Arc::clone(&linker));
        Ok(linker)
    }
}
