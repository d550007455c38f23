//! A runtime with everything around it, in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use micro_api::manifest::{Manifest, Reuse};
use micro_api::name::ServiceName;
use micro_artifact::{Code, Codec, Key, RevisionManifest, Store, publish, verify};
use micro_capability::client::{CallOptions, CallOrigin, Caller};
use micro_capability::http::{Egress, EgressConfig};
use micro_capability::log::{Logs, LogsConfig};
use micro_capability::{Capabilities, Context};
use micro_engine::EngineKind;
use micro_runtime::{Call, Config, Revision, Runtime};

/// See the module.
pub(crate) struct Node {
    pub(crate) runtime: Arc<Runtime>,
    store: Store,
    key: Key,
    _folder: tempfile::TempDir,
}

impl Node {
    /// With all capabilities in memory, but for those that `with` replaces.
    pub(crate) fn new(config: Config, with: impl FnOnce(Capabilities) -> Capabilities) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let logs = Logs::open(LogsConfig::new(folder.path().join("logs")))?;
        let egress = Egress::new(EgressConfig::default())?;
        let capabilities = Capabilities::in_memory(logs, Arc::new(Nobody), egress)?;
        let artifacts = micro_artifact::Config::Filesystem { folder: folder.path().join("artifacts") };
        Ok(Self {
            runtime: Runtime::new(config, Arc::new(with(capabilities)))?,
            store: Store::open(&artifacts)?,
            key: Key::open(&folder.path().join("key"))?,
            _folder: folder,
        })
    }

    /// A revision of the namespace `default` that was granted everything: componentize-js imports all of the world, used
    /// or not.
    pub(crate) fn revision(
        &self,
        name: &str,
        kind: EngineKind,
        wasm: &[u8],
        native: &[u8],
        reuse: Reuse,
    ) -> Result<Arc<Revision>> {
        let found = micro_engine::inspect(wasm)?;
        let mut settings = Manifest::default();
        settings.run.reuse = reuse;
        settings.grants.sync = true;
        settings.grants.events.publish = vec!["*".to_owned()];
        settings.grants.events.consume = vec!["*".to_owned()];
        settings.grants.blob = true;
        settings.grants.broker.publish = vec!["*".to_owned()];
        settings.grants.config = vec!["own".to_owned()];
        settings.grants.store = vec!["own".to_owned()];
        settings.grants.call = vec!["*".to_owned()];
        settings.grants.registry = Some("read".to_owned());
        let code = Code {
            component: self.store.put(wasm)?,
            native: self.store.put(native)?,
            engine: micro_engine::engine_id(kind),
        };
        let manifest = RevisionManifest {
            exports: found.exports,
            codecs: found.codecs,
            ..RevisionManifest::new(name.parse()?, code, settings)
        };
        let digest = publish(&self.store, &self.key, &manifest)?;
        Ok(self.runtime.revision(verify(&self.store, &self.key, &digest)?)?)
    }

    /// Calls it; the answer as it is encoded.
    pub(crate) async fn call(
        &self,
        revision: &Arc<Revision>,
        endpoint: &str,
        codec: Codec,
        request: Bytes,
        wall: Duration,
    ) -> Result<Bytes> {
        let context = Context {
            account: None,
            metadata: Vec::new(),
            deadline: Instant::now() + wall,
            traceparent: String::new(),
            request_id: String::new(),
        };
        let call = Call { endpoint: endpoint.to_owned(), codec, request, context };
        Ok(self.runtime.call(revision, call).await?)
    }
}

/// There are no other services here.
struct Nobody;

#[async_trait]
impl Caller for Nobody {
    async fn call(
        &self,
        _origin: CallOrigin,
        service: ServiceName,
        _endpoint: String,
        _codec: micro_capability::client::Codec,
        _request: Bytes,
        _options: CallOptions,
    ) -> Result<Bytes, micro_api::Error> {
        Err(micro_api::Error::not_found(service.to_string(), "service not found"))
    }

    async fn open(
        &self,
        _origin: CallOrigin,
        service: ServiceName,
        _endpoint: String,
        _codec: micro_capability::client::Codec,
        _request: Option<Bytes>,
        _options: CallOptions,
    ) -> Result<micro_capability::client::Conversation, micro_api::Error> {
        Err(micro_api::Error::not_found(service.to_string(), "service not found"))
    }
}
