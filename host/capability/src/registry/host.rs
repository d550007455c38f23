//! The `registry` import.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use micro_api::Error;
use micro_api::name::ServiceName;
use micro_api::registry::{Action, Change, Changes, Service, Value};
use tokio::time::Instant;
use wasmtime::component::Accessor;

use crate::bindings::platform::micro::platform::{registry as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{registry as wit_sync, types as types_sync};
use crate::ctx::{optional, waits};
use crate::{Ctx, Handle, HasCapability, View};

const ID: &str = "go.micro.registry";
/// The longest that one call waits for a change.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// What is left of the call's own time when it stops waiting, so that the guest still has its answer.
const LEFT: Duration = Duration::from_millis(100);

impl Handle {
    pub(crate) async fn get_service(&self, name: &str) -> Result<Vec<Arc<Service>>, Error> {
        let missing = || Error::not_found(ID, "service not found");
        let name: ServiceName = name.parse().map_err(|_| missing())?;
        let directory = &self.guest.capabilities.registry;
        let found = async { Ok(directory.get(&self.guest.scope.namespace, &name).await) };
        let found = self.bounded(ID, found).await?;
        if found.is_empty() { Err(missing()) } else { Ok(found) }
    }

    pub(crate) async fn list_services(&self) -> Result<Vec<String>, Error> {
        let directory = &self.guest.capabilities.registry;
        self.bounded(ID, async { Ok(directory.list(&self.guest.scope.namespace).await) }).await
    }

    pub(crate) async fn watch_services(
        &self,
        service: Option<&str>,
        after: Option<String>,
        wait_ms: u32,
    ) -> Result<Changes, Error> {
        let wrong = || Error::bad_request(ID, "this is no name of a service");
        let service = service.map(str::parse::<ServiceName>).transpose().map_err(|_| wrong())?;
        let left = Instant::from_std(self.context.deadline).saturating_duration_since(Instant::now());
        let wait = Duration::from_millis(wait_ms.into()).min(WAIT_MAX).min(left.saturating_sub(LEFT));
        let namespace = &self.guest.scope.namespace;
        let directory = &self.guest.capabilities.registry;
        self.bounded(ID, async { Ok(directory.watch(namespace, service.as_ref(), after, wait).await) }).await
    }
}

/// Both packages have the same records; WIT has no recursive types, so values become a list with indices. What is in the
/// directory is not copied first.
macro_rules! to_wit {
    ($function:ident, $flatten:ident, $changes:ident, $wit:ident) => {
        fn $changes(found: Changes) -> $wit::Changes {
            let change = |change: Change| {
                let action = match change.action {
                    Action::Create => $wit::Action::Create,
                    Action::Update => $wit::Action::Update,
                    Action::Delete => $wit::Action::Delete,
                    // These two are fields of the answer.
                    Action::Reset | Action::Ready => return None,
                };
                let timestamp_ms = u64::try_from(change.timestamp).unwrap_or_default();
                Some($wit::Change { action, service: $function(&change.service?), timestamp_ms })
            };
            let changes = found.changes.into_iter().filter_map(change).collect();
            $wit::Changes { reset: found.reset, ready: found.ready, revision: found.revision, changes }
        }

        fn $function(service: &Service) -> $wit::Service {
            let endpoint = |endpoint: &micro_api::registry::Endpoint| {
                let mut values = Vec::new();
                let request = $flatten(&endpoint.request, &mut values);
                let response = $flatten(&endpoint.response, &mut values);
                let metadata = pairs(&endpoint.metadata);
                $wit::Endpoint { name: endpoint.name.clone(), request, response, values, metadata }
            };
            let node = |node: &micro_api::registry::Node| $wit::Node {
                id: node.id.clone(),
                address: node.address.clone(),
                metadata: pairs(&node.metadata),
            };
            $wit::Service {
                name: service.name.clone(),
                version: service.version.clone(),
                metadata: pairs(&service.metadata),
                endpoints: service.endpoints.iter().map(endpoint).collect(),
                nodes: service.nodes.iter().map(node).collect(),
            }
        }

        fn $flatten(value: &Value, values: &mut Vec<$wit::Value>) -> u32 {
            let fields = value.values.iter().map(|field| $flatten(field, values)).collect();
            values.push($wit::Value { name: value.name.clone(), kind: value.r#type.clone(), fields });
            u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
        }
    };
}

fn pairs(metadata: &BTreeMap<String, String>) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

to_wit!(to_wit, flatten, changes, wit);
to_wit!(to_wit_sync, flatten_sync, changes_sync, wit_sync);

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn get_service(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<wit::Service>, types::Error>> {
        waits(store, ID, name.len(), |handle| async move {
            Ok(handle.get_service(&name).await?.iter().map(|service| to_wit(service)).collect())
        })
        .await
    }

    async fn list_services(store: &Accessor<T, Self>) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        waits(store, ID, 0, |handle| async move { handle.list_services().await }).await
    }

    async fn watch(
        store: &Accessor<T, Self>,
        service: Option<String>,
        after: Option<String>,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<wit::Changes, types::Error>> {
        let bytes = optional(service.as_ref()) + optional(after.as_ref());
        waits(store, ID, bytes, |handle| async move {
            Ok(changes(handle.watch_services(service.as_deref(), after, wait_ms).await?))
        })
        .await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn get_service(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Vec<wit_sync::Service>, types_sync::Error>> {
        let found = self.handle().get_service(&name).await;
        Ok(found.map(|all| all.iter().map(|service| to_wit_sync(service)).collect()).map_err(Into::into))
    }

    async fn list_services(&mut self) -> wasmtime::Result<Result<Vec<String>, types_sync::Error>> {
        Ok(self.handle().list_services().await.map_err(Into::into))
    }

    async fn watch(
        &mut self,
        service: Option<String>,
        after: Option<String>,
        wait_ms: u32,
    ) -> wasmtime::Result<Result<wit_sync::Changes, types_sync::Error>> {
        let found = self.handle().watch_services(service.as_deref(), after, wait_ms).await;
        Ok(found.map(changes_sync).map_err(Into::into))
    }
}
