//! The `registry` import.

use micro_api::Error;
use micro_api::name::ServiceName;
use micro_api::registry::{Service, Value};
use wasmtime::component::Accessor;

use crate::bindings::platform::micro::platform::{registry as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{registry as wit_sync, types as types_sync};
use crate::ctx::handle;
use crate::{Ctx, Handle, HasCapability, View};

const ID: &str = "go.micro.registry";

impl Handle {
    pub(crate) async fn get_service(&self, name: &str) -> Result<Vec<Service>, Error> {
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
}

/// Both packages have the same records; WIT has no recursive types, so values become a list with indices.
macro_rules! to_wit {
    ($function:ident, $flatten:ident, $wit:ident) => {
        fn $function(service: Service) -> $wit::Service {
            let endpoint = |endpoint: micro_api::registry::Endpoint| {
                let mut values = Vec::new();
                let request = $flatten(endpoint.request, &mut values);
                let response = $flatten(endpoint.response, &mut values);
                let metadata = endpoint.metadata.into_iter().collect();
                $wit::Endpoint { name: endpoint.name, request, response, values, metadata }
            };
            let node = |node: micro_api::registry::Node| $wit::Node {
                id: node.id,
                address: node.address,
                metadata: node.metadata.into_iter().collect(),
            };
            $wit::Service {
                name: service.name,
                version: service.version,
                metadata: service.metadata.into_iter().collect(),
                endpoints: service.endpoints.into_iter().map(endpoint).collect(),
                nodes: service.nodes.into_iter().map(node).collect(),
            }
        }

        fn $flatten(value: Value, values: &mut Vec<$wit::Value>) -> u32 {
            let fields = value.values.into_iter().map(|field| $flatten(field, values)).collect();
            values.push($wit::Value { name: value.name, kind: value.r#type, fields });
            u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
        }
    };
}
to_wit!(to_wit, flatten, wit);
to_wit!(to_wit_sync, flatten_sync, wit_sync);

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn get_service(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<wit::Service>, types::Error>> {
        let handle = store.with(|mut access| handle(&mut access));
        let found = handle.get_service(&name).await;
        Ok(found.map(|all| all.into_iter().map(to_wit).collect()).map_err(Into::into))
    }

    async fn list_services(store: &Accessor<T, Self>) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        let handle = store.with(|mut access| handle(&mut access));
        Ok(handle.list_services().await.map_err(Into::into))
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn get_service(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Vec<wit_sync::Service>, types_sync::Error>> {
        let found = self.handle().get_service(&name).await;
        Ok(found.map(|all| all.into_iter().map(to_wit_sync).collect()).map_err(Into::into))
    }

    async fn list_services(&mut self) -> wasmtime::Result<Result<Vec<String>, types_sync::Error>> {
        Ok(self.handle().list_services().await.map_err(Into::into))
    }
}
